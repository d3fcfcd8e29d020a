"""The types for values in YAML files. A single definition reads and checks a value, and generates JSON Schema.

A type converts a node to a value, reports errors to its `Reader`, and raises `InvalidValue`. Records and lists continue
after an error, so one pass reports all errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from confiture.durations import DURATION_PATTERN, parse_duration_ms
from confiture.errors import InputError
from confiture.files.schema.located_text import NOT_BLANK, LocatedText
from confiture.files.schema.reader import (
    TAG,
    InvalidValue,
    Reader,
    has_tag,
    is_number_or_bool,
    is_text,
    shorten,
)
from confiture.models.settings import PROJECT_NAME, PROJECT_NAME_HINT
from confiture.models.source import LocatedSource, NamedFile
from confiture.text import did_you_mean

_SIZE = re.compile(r"([0-9]{1,9})\s*(kB|MB|GB)")
_UNIT_BYTES = {"kB": 1024, "MB": 1024**2, "GB": 1024**3}
_MAX_MS = 2**31 - 1  # PostgreSQL's timeouts are signed 32-bit integers
_MAX_INTEGER = 1_000_000
_MAX_DIGITS = 1_000


class SchemaType(Protocol):
    """The type of a node."""

    def read(self, node: Node, reader: Reader) -> Any:
        """Return the node's value. If the node is invalid, report the error to the reader and raise InvalidValue."""
        ...

    def schema(self) -> dict[str, Any]:
        """Return the type as JSON Schema."""
        ...


@dataclass(frozen=True)
class TextValue:
    """Text. With `allows_numbers`, an unquoted number is read as text (`version: 002`)."""

    allows_numbers: bool = False
    example: str | None = None

    def read(self, node: Node, reader: Reader) -> str:
        reader.check_tag(node)
        if not (is_text(node) or (self.allows_numbers and has_tag(node, ("int", "float")))):
            raise reader.report_wrong_type(node, "text", "put the value in quotes" if is_number_or_bool(node) else None)
        if not node.value.strip():
            raise reader.report(
                reader.span(node), "empty-value", "expected text, found nothing", "add a value, or remove the key"
            )
        return str(node.value)

    def schema(self) -> dict[str, Any]:
        kinds: dict[str, Any] = {"type": ["string", "number"] if self.allows_numbers else "string"}
        return kinds | NOT_BLANK | ({"examples": [self.example]} if self.example else {})


@dataclass(frozen=True)
class ProjectName:
    """A project name for the history."""

    def read(self, node: Node, reader: Reader) -> str:
        name = TextValue(allows_numbers=True).read(node, reader)
        if PROJECT_NAME.fullmatch(name) is None:
            message = f"{shorten(name)} is not a valid project name"
            raise reader.report(reader.span(node), "wrong-value", message, PROJECT_NAME_HINT)
        return name

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number"], "pattern": f"^{PROJECT_NAME.pattern}$"}


@dataclass(frozen=True)
class FilePath:
    """A file name. Reading the value opens the file."""

    def read(self, node: Node, reader: Reader) -> tuple[LocatedSource, NamedFile]:
        name = LocatedText().read(node, reader)
        if reader.open_named is None:
            raise reader.report(name.start, "wrong-value", "a file name is not allowed here", "remove the file name")
        try:
            return name, reader.open_named(name)
        except InputError as error:
            reader.problems.extend(error.diagnostics)
            raise InvalidValue from error

    def schema(self) -> dict[str, Any]:
        return LocatedText().schema()


@dataclass(frozen=True)
class Duration:
    """A duration with a unit: `500ms`, `2s`, `5min`, `1h`. Read as milliseconds."""

    def read(self, node: Node, reader: Reader) -> int:
        reader.check_tag(node)
        hint = "write a number and a unit: 500ms, 2s, 5min or 1h"
        milliseconds = parse_duration_ms(node.value) if isinstance(node, ScalarNode) else None
        if milliseconds is None:
            raise reader.report_wrong_type(node, "a duration", hint)
        if milliseconds > _MAX_MS:
            message = f"{reader.format_value(node)} is too long"
            raise reader.report(
                reader.span(node), "wrong-value", message, "write at most 24 days (576h), or 0 for no limit"
            )
        return milliseconds

    def schema(self) -> dict[str, Any]:
        written = {"type": "string", "pattern": rf"^\s*(0|{DURATION_PATTERN})\s*$"}
        return {"anyOf": [written, {"const": 0}], "examples": ["2s"]}


@dataclass(frozen=True)
class Size:
    """A size with a unit: `500kB`, `16MB`, `1GB`. Read as bytes; units are powers of 1024 as in PostgreSQL."""

    def read(self, node: Node, reader: Reader) -> int:
        reader.check_tag(node)
        match = _SIZE.fullmatch(node.value.strip()) if isinstance(node, ScalarNode) else None
        if match is None:
            raise reader.report_wrong_type(node, "a size", "write a number and a unit: 500kB, 16MB or 1GB")
        return int(match[1]) * _UNIT_BYTES[match[2]]

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\s*[0-9]{1,9}\s*(kB|MB|GB)\s*$", "examples": ["16MB"]}


@dataclass(frozen=True)
class NonNegativeInteger:
    """A non-negative integer, at least `minimum`."""

    minimum: int = 0

    def read(self, node: Node, reader: Reader) -> int:
        reader.check_tag(node)
        is_count = isinstance(node, ScalarNode) and node.tag == f"{TAG}int" and node.value.isdecimal()
        if not is_count or (not node.value.lstrip("0") and self.minimum):
            raise reader.report_wrong_type(node, f"an integer, {self.minimum} or more")
        if len(node.value) > len(str(_MAX_INTEGER)) or int(node.value) > _MAX_INTEGER:
            message = f"{reader.format_value(node)} is too large"
            raise reader.report(reader.span(node), "wrong-value", message, f"write at most {_MAX_INTEGER}")
        return int(node.value)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": _MAX_INTEGER}


@dataclass(frozen=True)
class Boolean:
    """`true` or `false`."""

    def read(self, node: Node, reader: Reader) -> bool:
        reader.check_tag(node)
        if not has_tag(node, ("bool",)):
            raise reader.report_wrong_type(node, "true or false")
        return str(node.value).lower() == "true"

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    words: tuple[str, ...]

    def read(self, node: Node, reader: Reader) -> str:
        reader.check_tag(node)
        if not isinstance(node, ScalarNode) or node.value not in self.words:
            near = did_you_mean(node.value, self.words) if isinstance(node, ScalarNode) else None
            raise reader.report_wrong_type(node, f"one of {', '.join(self.words)}", near)
        return str(node.value)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class AnyValue:
    """Any value; numbers keep their exact digits."""

    def read(self, node: Node, reader: Reader) -> Any:
        reader.check_tag(node)
        if isinstance(node, MappingNode):
            with reader.cycle_guarded(node):
                return {key.value: self.read(value, reader) for key, value in reader.pairs(node)}
        if isinstance(node, SequenceNode):
            with reader.cycle_guarded(node):
                return [self.read(item, reader) for item in node.value]
        return ScalarValue().read(node, reader)

    def schema(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class ScalarValue:
    """Text, a number, a boolean or null."""

    def read(self, node: Node, reader: Reader) -> Any:
        reader.check_tag(node)
        if not isinstance(node, ScalarNode):
            raise reader.report_wrong_type(node, "text, a number, true, false or null")
        try:
            return _parse_scalar(node)
        except (ValueError, ArithmeticError) as error:
            message = f"{reader.format_value(node)!r} cannot be read as {str(node.tag).removeprefix(TAG)}"
            raise reader.report(reader.span(node), "wrong-value", message, "put the value in quotes") from error

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean", "null"]}


def _parse_scalar(node: ScalarNode) -> str | bool | int | Decimal | float | None:
    """Return a scalar's value according to its tag. Raise ValueError or ArithmeticError if the text is not valid."""
    kind = str(node.tag).removeprefix(TAG)
    if kind not in _KEYWORD_VALUES and kind not in ("int", "float"):
        return str(node.value)
    text = str(node.value).lower()
    if kind in _KEYWORD_VALUES:
        if text not in _KEYWORD_VALUES[kind]:
            raise ValueError(text)
        return _KEYWORD_VALUES[kind][text]
    if len(text) > _MAX_DIGITS:
        raise ValueError("too many digits")
    text = text.replace("_", "")
    if kind == "int":
        return _parse_integer(text)
    return float(text.replace(".", "", 1)) if text.lstrip("+-") in (".inf", ".nan") else Decimal(text)


_KEYWORD_VALUES: dict[str, dict[str, bool | None]] = {
    "null": {"": None, "~": None, "null": None},
    "bool": {"true": True, "false": False},
}


def _parse_integer(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    return sign * int(digits, 0 if digits[:2] in ("0x", "0o", "0b") else 10)
