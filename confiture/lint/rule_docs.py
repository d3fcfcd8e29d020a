"""The rule documentation, generated from rule metadata by `python -m confiture.lint.rule_docs FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from confiture.lint.engine.rule import Example, Group, IgnoreCommentRule, Option, Rule, SchemaFilesRule, SchemaRule

_KINDS = {str: "string", int: "number", bool: "true or false"}


def render_page(rule: Rule) -> str:
    """Return the page for a rule: summary, impact, fix, and both examples."""
    parts = [f"# {rule.name}", f"{rule.summary}.", _facts_text(rule), f"**Impact.** {rule.impact}"]
    parts.append(f"**Fix.** {rule.fix_hint[:1].upper()}{rule.fix_hint[1:]}.")
    each = f"Each in a separate {'file' if isinstance(rule, SchemaRule) else 'migration'}:"
    parts += _example_lines("Reported", rule.bad, rule.options, each)
    parts += _example_lines("Not reported", rule.good, rule.options, each)
    if rule.options:
        parts.append("## Settings")
        parts.append("\n".join(["| key | value | meaning |", "|---|---|---|", *_options_lines(rule.options)]))
    return "\n\n".join(parts) + "\n"


def _facts_text(rule: Rule) -> str:
    target = "migrations"
    if isinstance(rule, SchemaRule):
        target = "the schema"
    elif isinstance(rule, IgnoreCommentRule):
        target = "ignore comments"
    elif isinstance(rule, SchemaFilesRule):
        target = "the schema files"
    facts = [f"Severity: {rule.severity}", f"checks {target}", rule.group.value]
    if rule.off_by_default:
        facts.append("off by default")
    if rule.aliases:
        facts.append(f"formerly {', '.join(rule.aliases)}")
    return " · ".join(facts)


def _example_lines(title: str, example: Example, options: Mapping[str, Option], each: str) -> Iterable[str]:
    yield f"## {title}"
    if example.options:
        option_text = ", ".join(
            f"`{name}: {_format_value(value)}`" for name, value in example.options.items() if name in options
        )
        yield f"With {option_text}."
    if example.before:
        yield f"With this schema:\n\n{_sql_block([example.before])}"
    if example.schema_files is not None:
        yield f"With these schema files:\n\n{_sql_block([example.schema_files])}"
        each = "And these migrations:"
    if len(example.sql) > 1 or example.schema_files is not None:
        yield each
    yield "\n\n".join(_sql_block([text]) for text in example.sql)
    first, last = example.versions
    if (first, last) != (14, None):
        yield f"On PostgreSQL {first} {'and later' if last is None else f'to {last}'}."


def _sql_block(texts: Iterable[str]) -> str:
    lines = (text.strip() + ("" if text.rstrip().endswith(";") else ";") for text in texts)
    return "```sql\n" + "\n".join(lines) + "\n```"


def _options_lines(options: Mapping[str, Option]) -> Iterable[str]:
    for name, option in options.items():
        need = " (required)" if option.required else ""
        default = f"; default: `{_format_value(option.default)}`" if option.default not in (None, "", []) else ""
        kind = _KINDS.get(option.kind, "list of strings")
        yield f"| `{name}` | {kind}{need} | {option.description.rstrip('.')}{default} |"


def _format_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)


def render_index(rules: Mapping[str, Rule]) -> str:
    """Return the list of all rules, by group, with links to the rule pages."""
    parts = [
        "# Lint rules",
        "[lint](../lint.md) describes the settings. `confiture lint --explain RULE` prints a rule's page.",
    ]
    for group in Group:
        here = sorted((rule for rule in rules.values() if rule.group is group), key=lambda rule: rule.name)
        if here:
            parts.append(f"## {group.value}")
            rows = (f"| [{rule.name}]({rule.name}.md) | {_severity_text(rule)} | {rule.summary} |" for rule in here)
            parts.append("\n".join(["| rule | severity | finding |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _severity_text(rule: Rule) -> str:
    return f"{rule.severity}, optional" if rule.off_by_default else rule.severity


def all_pages(rules: Mapping[str, Rule]) -> dict[str, str]:
    """Return all pages, by file name."""
    return {"README.md": render_index(rules)} | {
        f"{name}.md": render_page(rule) for name, rule in sorted(rules.items())
    }


def write_pages(folder: Path, rules: Mapping[str, Rule]) -> None:
    """Write all pages to a folder, and remove the pages for rules that no longer exist."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = all_pages(rules)
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    from confiture.lint.registry import built_in_rules

    write_pages(Path(sys.argv[1]), built_in_rules())
