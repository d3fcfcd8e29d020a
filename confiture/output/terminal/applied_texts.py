"""The texts that an applied migration ran."""

from __future__ import annotations

from confiture.models.applied_texts import AppliedText, AppliedTexts


def format_applied_texts(texts: AppliedTexts) -> str:
    """Return a header, the migration's own file, and the files that its steps name, each below its name."""
    row = texts.row
    when = f"{row.state.value} {row.applied_at.astimezone():%Y-%m-%d %H:%M:%S}" if row.applied_at else row.state.value
    header = f"{row.version} {row.name}  ({when} by {row.applied_by})\n"
    if texts.own is None:
        return f"{header}\nThe text is unknown: {texts.problem}.\n"
    return header + "".join(_format_text(one) for one in (texts.own, *texts.files))


def _format_text(text: AppliedText) -> str:
    content = f"unknown: {text.problem}" if text.text is None else text.text
    return f"\n--- {text.name}\n{content}" + ("" if content.endswith("\n") else "\n")
