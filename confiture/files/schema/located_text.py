"""Text with the location of each character in the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.nodes import Node, ScalarNode

from confiture.files.schema.reader import Reader, has_tag, is_number_or_bool, is_text
from confiture.models.source import LocatedSource, SourceFile


class LocatedScalar(ScalarNode):
    """A scalar that was not read from YAML, with a known location."""

    def __init__(self, passage: LocatedSource, tag: str, start_mark: Any, end_mark: Any) -> None:
        super().__init__(tag, passage.text, start_mark, end_mark)
        self.passage = passage


@dataclass(frozen=True)
class LocatedText:
    """Text with the location of each character: SQL, templates, and conditions."""

    other_tags: tuple[str, ...] = ()
    """Other YAML types, such as `int` and `bool`, that are accepted and kept as written."""

    def read(self, node: Node, reader: Reader) -> LocatedSource:
        reader.check_tag(node)
        if not isinstance(node, ScalarNode) or not (is_text(node) or has_tag(node, self.other_tags)):
            raise reader.report_wrong_type(node, "text", "put the value in quotes" if is_number_or_bool(node) else None)
        if not node.value.strip():
            raise reader.report(
                reader.span(node), "empty-value", "expected text, found nothing", "add a value, or remove the key"
            )
        return node.passage if isinstance(node, LocatedScalar) else _locate_scalar(node, reader.file)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", *(_JSON_TYPES[kind] for kind in self.other_tags)]} | NOT_BLANK


NOT_BLANK = {"pattern": r"\S"}
_JSON_TYPES = {"int": "integer", "float": "number", "bool": "boolean"}


def scalar_start(text: str, node: ScalarNode) -> int:
    """Return the offset of a scalar in the text, after the scalar's tag and anchor."""
    return _PROPERTIES.match(text, node.start_mark.index, node.end_mark.index).end()  # type: ignore[union-attr]


def _locate_scalar(node: ScalarNode, file: SourceFile) -> LocatedSource:
    """Return a scalar's text and location: after the tag and the anchor, and after the quote or below the `|`."""
    start = scalar_start(file.text, node)
    if node.style == "|":
        line = file.text.count("\n", 0, start) + 2
        indent = _block_indent(file, line, node.value)
        return LocatedSource(text=node.value, file=file, line=line, column=indent + 1, indent=indent)
    if node.style == ">":
        start = file.text.index("\n", start) + 1
    elif node.style in ("'", '"'):
        start += 1
    line, column = file.text.count("\n", 0, start) + 1, start - file.text.rfind("\n", 0, start)
    raw = file.text[start : node.end_mark.index]
    is_literal = node.style != ">" and raw.startswith(node.value) and "\n" not in node.value
    offsets = () if is_literal else _character_offsets(node.value, raw, start, node.style)
    return LocatedSource(text=node.value, file=file, line=line, column=column, offsets=offsets)


# a tag and an anchor before a scalar, with comments and line endings between them
_PROPERTIES = re.compile(r"(?:[!&]\S*(?:\s+|#[^\n]*\n)*)*")
# the units that represent one character inside each kind of quotes; elsewhere, each character represents itself
_CHARACTER_UNITS = {"'": re.compile(r"''|[\s\S]"), '"': re.compile(r"\\(?:x..|u.{4}|U.{8}|[\s\S])|[\s\S]")}
_BLANK_ESCAPES = frozenset("nrtv f_NLP\t\n")


def _character_offsets(value: str, raw: str, start: int, style: str | None) -> tuple[int, ...]:
    """Return the file offset of each character in a scalar.

    Folding changes only white space, so visible characters occur in the same order in the file and in the value.
    """
    units = (_CHARACTER_UNITS.get(style or "") or re.compile(r"[\s\S]")).finditer(raw)
    visible = [start + unit.start() for unit in units if not _is_blank(unit[0])]
    places: list[int] = []
    count = 0
    for character in value:
        if character.isspace():
            places.append(places[-1] + 1 if places else start)
        else:
            places.append(visible[min(count, len(visible) - 1)] if visible else start)
            count += 1
    return tuple(places)


def _is_blank(unit: str) -> bool:
    if len(unit) > 2:
        return chr(int(unit[2:], 16)).isspace()
    return unit[1] in _BLANK_ESCAPES if unit[0] == "\\" and len(unit) == 2 else unit.isspace()


def _block_indent(file: SourceFile, line: int, value: str) -> int:
    """Return the indentation that YAML removes from each line of a literal block: that of the first non-blank line."""
    number = next(n for n, text in enumerate(value.split("\n")) if text.strip())
    raw = file.excerpt(line + number) or ""
    return len(raw) - len(value.split("\n")[number]) if raw.strip() else 0
