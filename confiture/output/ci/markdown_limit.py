"""Markdown within the limits of the services that show it: rows are cut from the longest sections."""

from __future__ import annotations

import re
from dataclasses import dataclass

COMMENT_BYTES = 65_536
"""GitHub's limit for a comment, in characters. Bytes are never fewer."""
SUMMARY_BYTES = 1_048_576
"""GitHub's limit for the job summary of a step."""
_SECTION = re.compile(r"(?m)^(?=#{3,4} )")
_ITEM = re.compile(r"^(?:\| (?!---)|- )")
_NOTE_BYTES = 80


@dataclass(slots=True)
class _Section:
    """A heading with the lines before its first item, its items (a table row or a list item), and the lines after."""

    head: list[str]
    items: list[list[str]]
    omitted: int = 0

    def text(self) -> str:
        lines = [*self.head, *(line for item in self.items for line in item)]
        text = "\n".join(lines).rstrip("\n")
        if self.omitted:
            noun = "row" if self.omitted == 1 else "rows"
            text += f"\n\n{self.omitted:,} more {noun} omitted."
        return text

    def size(self) -> int:
        return len(self.text().encode())


def limit_markdown(text: str, limit: int = COMMENT_BYTES) -> str:
    """Return a document of at most `limit` bytes. Cut whole items from the largest sections, and report their number.

    Sections begin with `###` or `####`. An item is a table row, or a list item with its nested lines.
    """
    if len(text.encode()) <= limit:
        return text
    sections = [_parse_section(part) for part in _SECTION.split(text) if part]
    while sum(section.size() + 2 for section in sections) > limit:
        largest = max((one for one in sections if one.items), key=_Section.size, default=None)
        if largest is None:
            break
        excess = sum(section.size() + 2 for section in sections) - limit + _NOTE_BYTES
        while largest.items and excess > 0:
            item = largest.items.pop()
            largest.omitted += 1
            excess -= len("\n".join(item).encode()) + 1
            if largest.size() < limit // 8:
                break
    limited = "\n\n".join(section.text() for section in sections) + "\n"
    encoded = limited.encode()
    return limited if len(encoded) <= limit else encoded[: limit - 1].decode(errors="ignore") + "\n"


def _parse_section(part: str) -> _Section:
    lines = part.rstrip("\n").split("\n")
    start = next((number for number, line in enumerate(lines) if line.startswith("|--")), None)
    first = (
        start + 1 if start is not None else next((n for n, line in enumerate(lines) if _ITEM.match(line)), len(lines))
    )
    section = _Section(head=lines[:first], items=[])
    for line in lines[first:]:
        if _ITEM.match(line) or not section.items:
            section.items.append([line])
        else:
            section.items[-1].append(line)
    return section


def comment_marker(document: str, project: str, environment: str) -> str:
    """Return the hidden first line by which a comment is found and replaced."""
    name = re.sub(r"[^A-Za-z0-9_./ ]|-(?=-)", "_", f"{document} {project} {environment}")
    return f"<!-- confiture {name} -->"
