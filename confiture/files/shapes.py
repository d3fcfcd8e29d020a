"""What a YAML file may hold: one definition that reads it, checks it, and describes it as JSON Schema.

A shape reads a node into a value. It reports what is wrong to its `Reader` and raises `Invalid`; a record or a list
reads on, so that one pass finds every mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Protocol

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from confiture.errors import InputError, Problems, Span
from confiture.models.source import SourceFile, SourceText

_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge")}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h)")
_UNIT_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}
_LONGEST_MS = 2**31 - 1  # PostgreSQL holds its timeouts in a signed 32-bit integer
_SECRET = re.compile(r"(://|pass\w*\s*[:=]).*", re.IGNORECASE | re.DOTALL)
_LARGEST_COUNT = 1_000_000
_LONGEST_NUMBER = 1_000
_MOST_LEVELS = 50
_MOST_NODES = 100_000
"""How many values one file may hold, each alias counted as what it stands for: few lines can stand for billions."""


class Invalid(Exception):
    """The node cannot be read; why is already with the reader's problems."""


class Shape(Protocol):
    """What a node may be."""

    def read(self, node: Node, reader: Reader) -> Any:
        """The node's value. Raises Invalid after reporting why there is none."""
        ...

    def schema(self) -> dict[str, Any]:
        """The same, as JSON Schema."""
        ...


class Reader:
    """The file that is read, and what was found wrong with it. `open_named` reads a file that this one names."""

    def __init__(
        self, file: SourceFile, problems: Problems, open_named: Callable[[SourceText], SourceFile] | None = None
    ) -> None:
        self.file = file
        self.problems = problems
        self.open_named = open_named
        self._open: list[int] = []
        self._nodes = 0

    def span(self, node: Node) -> Span:
        """Where a node begins; for a value that is left out, where its key ends."""
        if is_null(node) and node.start_mark.index == node.end_mark.index:
            return self._left_out(node.start_mark.index)
        return Span(path=self.file.path, line=node.start_mark.line + 1, column=node.start_mark.column + 1)

    def _left_out(self, offset: int) -> Span:
        # the parser only notices at the next word, which may stand lines below
        lines = self.file.text[:offset].split("\n")
        while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
            lines.pop()
        return Span(path=self.file.path, line=len(lines), column=len(lines[-1].rstrip()) or 1)

    def report(self, span: Span, code: str, message: str, hint: str) -> Invalid:
        """Records a mistake and the next step. Gives the exception to raise where nothing can be read."""
        self.problems.add(self.file.diagnostic(span, code, message, hint=hint))
        return Invalid()

    def wrong_type(self, node: Node, expected: str, hint: str | None = None) -> Invalid:
        """Records that a node is of another type than expected."""
        hint = hint or ("write it, or remove the key" if is_null(node) else f"write {expected}")
        return self.report(self.span(node), "wrong-type", f"expected {expected}, found {describe(node)}", hint)

    def check_tag(self, node: Node) -> None:
        """Raises Invalid for a tag that is not YAML's own. Every node that is read comes by here: counts them."""
        self._nodes += 1
        if self._nodes == _MOST_NODES:
            self.report(self.span(node), "too-many-values", f"the file stands for over {_MOST_NODES:,} values", _FEWER)
        if self._nodes >= _MOST_NODES:
            raise Invalid
        if str(node.tag) not in _KNOWN_TAGS:
            raise self.report(self.span(node), "unknown-tag", f"unknown tag {node.tag}", "remove the tag")

    def pairs(self, node: MappingNode) -> list[tuple[ScalarNode, Node]]:
        """The keys and values of a mapping, merge keys resolved, duplicates reported."""
        pairs: dict[str, tuple[ScalarNode, Node]] = {}
        merged: list[tuple[ScalarNode, Node]] = []
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.report(self.span(key), "wrong-type", "a key must be text", "write `key: value`")
            elif str(key.tag) not in _KNOWN_TAGS:
                self.report(self.span(key), "unknown-tag", f"unknown tag {key.tag}", "remove the tag")
            elif key.tag == f"{_TAG}merge":
                merged += self._merged(key, value)
            elif key.value in pairs:
                first = self.span(pairs[key.value][0])
                message = f"the key {clipped(key.value)!r} stands twice; first on line {first.line}"
                self.report(self.span(key), "duplicate-key", message, "remove one of the two, or join what they hold")
            else:
                pairs[key.value] = (key, value)
        for key, value in merged:
            pairs.setdefault(key.value, (key, value))
        return list(pairs.values())

    def _merged(self, key: ScalarNode, value: Node) -> list[tuple[ScalarNode, Node]]:
        sources = value.value if isinstance(value, SequenceNode) else [value]
        found: list[tuple[ScalarNode, Node]] = []
        for source in sources:
            if not isinstance(source, MappingNode):
                message = f"`<<` merges mappings, not {describe(source)}"
                self.report(self.span(key), "wrong-type", message, "write `<<: *name`, with the name of a mapping")
                continue
            try:
                self.check_tag(source)
                with self.inside(source, key):
                    found += self.pairs(source)
            except Invalid:
                continue
        return found

    def inside(self, node: Node, place: Node | None = None) -> _Inside:
        """A context that guards against a container that contains itself by way of an alias."""
        return _Inside(self, node, place or node)


_FEWER = "keep data out of YAML: a migration's rows belong into SQL"


class _Inside:
    def __init__(self, reader: Reader, node: Node, place: Node) -> None:
        self._reader, self._node, self._place = reader, node, place

    def __enter__(self) -> None:
        if id(self._node) in self._reader._open:
            raise self._reader.report(
                self._reader.span(self._place), "alias-loop", "an alias refers to what contains it", "remove the alias"
            )
        if len(self._reader._open) >= _MOST_LEVELS:
            raise self._reader.report(
                self._reader.span(self._place), "nested-too-deeply", f"over {_MOST_LEVELS} levels of values", _FEWER
            )
        self._reader._open.append(id(self._node))

    def __exit__(self, *_: object) -> None:
        self._reader._open.pop()


def describe(node: Node) -> str:
    """A node in words: `the number 3`, `a list`."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    kind = str(node.tag).removeprefix(_TAG)
    if kind == "null":
        return "nothing"
    text = clipped(node.value)
    return {"int": f"the number {text}", "float": f"the number {text}", "bool": f"the truth value {text}"}.get(
        kind, f"the text {text!r}"
    )


def clipped(text: str) -> str:
    """The beginning of a text that may be long, or hold a password, for messages."""
    text = _SECRET.sub(r"\1...", text)
    return text if len(text) <= 40 else f"{text[:37]}..."


def is_null(node: Node) -> bool:
    """Whether a node is YAML's null, written or left out."""
    return isinstance(node, ScalarNode) and node.tag == f"{_TAG}null"


def is_text(node: Node) -> bool:
    """Whether a node is text. What looks like a date is text too: YAML's dates have no use here."""
    return isinstance(node, ScalarNode) and node.tag in (f"{_TAG}str", f"{_TAG}timestamp")


@dataclass(frozen=True)
class Text:
    """Text. With `numbers`, a bare number counts as the text it is written as (`version: 002`)."""

    numbers: bool = False
    example: str | None = None

    def read(self, node: Node, reader: Reader) -> str:
        reader.check_tag(node)
        if not (is_text(node) or (self.numbers and _is_of(node, ("int", "float")))):
            raise reader.wrong_type(node, "text", "put the value in quotes" if _is_number_or_truth(node) else None)
        if not node.value.strip():
            raise reader.report(
                reader.span(node), "empty-value", "expected text, found nothing", "write it, or remove the key"
            )
        return str(node.value)

    def schema(self) -> dict[str, Any]:
        kinds: dict[str, Any] = {"type": ["string", "number"] if self.numbers else "string"}
        return kinds | _NOT_BLANK | ({"examples": [self.example]} if self.example else {})


def _is_number_or_truth(node: Node) -> bool:
    return _is_of(node, ("int", "float", "bool"))


@dataclass(frozen=True)
class Passage:
    """Text whose place in the file matters, down to the character: SQL, templates, conditions."""

    also: tuple[str, ...] = ()
    """Which of YAML's other types count as the text they are written as, such as `int` and `bool`."""

    def read(self, node: Node, reader: Reader) -> SourceText:
        reader.check_tag(node)
        if not isinstance(node, ScalarNode) or not (is_text(node) or _is_of(node, self.also)):
            raise reader.wrong_type(node, "text", "put the value in quotes" if _is_number_or_truth(node) else None)
        if not node.value.strip():
            raise reader.report(
                reader.span(node), "empty-value", "expected text, found nothing", "write it, or remove the key"
            )
        return _passage(node, reader.file)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", *(_JSON_TYPES[kind] for kind in self.also)]} | _NOT_BLANK


_NOT_BLANK = {"pattern": r"\S"}
_JSON_TYPES = {"int": "integer", "float": "number", "bool": "boolean"}


def _is_of(node: Node, kinds: tuple[str, ...]) -> bool:
    return isinstance(node, ScalarNode) and str(node.tag).removeprefix(_TAG) in kinds


def _passage(node: ScalarNode, file: SourceFile) -> SourceText:
    """A scalar's text and its place: behind its tag and anchor, behind its quote or below its `|`."""
    start = _PROPERTIES.match(file.text, node.start_mark.index, node.end_mark.index).end()  # type: ignore[union-attr]
    if node.style == "|":
        line = file.text.count("\n", 0, start) + 2
        indent = _indent(file, line, node.value)
        return SourceText(text=node.value, file=file, line=line, column=indent + 1, indent=indent)
    if node.style == ">":
        start = file.text.index("\n", start) + 1
    elif node.style in ("'", '"'):
        start += 1
    line, column = file.text.count("\n", 0, start) + 1, start - file.text.rfind("\n", 0, start)
    written = file.text[start : node.end_mark.index]
    as_written = node.style != ">" and written.startswith(node.value) and "\n" not in node.value
    offsets = () if as_written else _offsets(node.value, written, start, node.style)
    return SourceText(text=node.value, file=file, line=line, column=column, offsets=offsets)


# a tag and an anchor before a scalar, and the comments and line ends between them
_PROPERTIES = re.compile(r"(?:[!&]\S*(?:\s+|#[^\n]*\n)*)*")
# what stands for one character inside each kind of quotes; otherwise each stands for itself
_UNITS = {"'": re.compile(r"''|[\s\S]"), '"': re.compile(r"\\(?:x..|u.{4}|U.{8}|[\s\S])|[\s\S]")}
_BLANK_ESCAPES = frozenset("nrtv f_NLP\t\n")


def _offsets(value: str, written: str, start: int, style: str | None) -> tuple[int, ...]:
    """Where each character of a scalar stands in the file.

    Folding changes white space only, so what is visible comes in the same order in both.
    """
    units = (_UNITS.get(style or "") or re.compile(r"[\s\S]")).finditer(written)
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


def _indent(file: SourceFile, line: int, value: str) -> int:
    """The columns that YAML took off each line of a literal block: what its first line with text has more."""
    number = next(n for n, text in enumerate(value.split("\n")) if text.strip())
    written = file.excerpt(line + number) or ""
    return len(written) - len(value.split("\n")[number]) if written.strip() else 0


@dataclass(frozen=True)
class NamedFile:
    """The name of a file. Read as that file, opened by the reader."""

    def read(self, node: Node, reader: Reader) -> tuple[SourceText, SourceFile]:
        name = Passage().read(node, reader)
        if reader.open_named is None:
            raise reader.report(name.start, "wrong-value", "no file can be named here", "remove it")
        try:
            return name, reader.open_named(name)
        except InputError as error:
            reader.problems.extend(error.diagnostics)
            raise Invalid from error

    def schema(self) -> dict[str, Any]:
        return Passage().schema()


@dataclass(frozen=True)
class Duration:
    """A time with its unit: `500ms`, `2s`, `5min`, `1h`. Read as milliseconds."""

    def read(self, node: Node, reader: Reader) -> int:
        reader.check_tag(node)
        hint = "write a number and its unit: 500ms, 2s, 5min or 1h"
        match = _DURATION.fullmatch(node.value.strip()) if isinstance(node, ScalarNode) else None
        if isinstance(node, ScalarNode) and node.value.strip() == "0":
            return 0
        if match is None:
            raise reader.wrong_type(node, "a duration", hint)
        milliseconds = round(min(Decimal(match[1]), Decimal(_LONGEST_MS + 1)) * _UNIT_MS[match[2]])
        if milliseconds > _LONGEST_MS:
            message = f"{clipped(node.value)} is too long"
            raise reader.report(
                reader.span(node), "wrong-value", message, "write 24 days (576h) at most, or 0 for ever"
            )
        return milliseconds

    def schema(self) -> dict[str, Any]:
        written = {"type": "string", "pattern": r"^\s*(0|[0-9]+(\.[0-9]+)?\s*(ms|s|min|h))\s*$"}
        return {"anyOf": [written, {"const": 0}], "examples": ["2s"]}


@dataclass(frozen=True)
class Count:
    """A whole number that is not negative."""

    def read(self, node: Node, reader: Reader) -> int:
        reader.check_tag(node)
        if not (isinstance(node, ScalarNode) and node.tag == f"{_TAG}int" and node.value.isdecimal()):
            raise reader.wrong_type(node, "a whole number, 0 or more")
        if len(node.value) > len(str(_LARGEST_COUNT)) or int(node.value) > _LARGEST_COUNT:
            message = f"{clipped(node.value)} is too large"
            raise reader.report(reader.span(node), "wrong-value", message, f"write {_LARGEST_COUNT} at most")
        return int(node.value)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 0, "maximum": _LARGEST_COUNT}


@dataclass(frozen=True)
class Flag:
    """`true` or `false`."""

    def read(self, node: Node, reader: Reader) -> bool:
        reader.check_tag(node)
        if not _is_of(node, ("bool",)):
            raise reader.wrong_type(node, "true or false")
        return str(node.value).lower() == "true"

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, node: Node, reader: Reader) -> str:
        reader.check_tag(node)
        if not isinstance(node, ScalarNode) or node.value not in self.words:
            near = nearest(node.value, self.words) if isinstance(node, ScalarNode) else None
            raise reader.wrong_type(node, f"one of {', '.join(self.words)}", near)
        return str(node.value)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Value:
    """Any value; numbers keep the digits they are written with."""

    def read(self, node: Node, reader: Reader) -> Any:
        reader.check_tag(node)
        if isinstance(node, MappingNode):
            with reader.inside(node):
                return {key.value: self.read(value, reader) for key, value in reader.pairs(node)}
        if isinstance(node, SequenceNode):
            with reader.inside(node):
                return [self.read(item, reader) for item in node.value]
        return PlainValue().read(node, reader)

    def schema(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class PlainValue:
    """Text, a number, a truth value or null."""

    def read(self, node: Node, reader: Reader) -> Any:
        reader.check_tag(node)
        if not isinstance(node, ScalarNode):
            raise reader.wrong_type(node, "text, a number, true, false or null")
        try:
            return _scalar(node)
        except (ValueError, ArithmeticError) as error:
            message = f"{clipped(node.value)!r} cannot be read as {str(node.tag).removeprefix(_TAG)}"
            raise reader.report(reader.span(node), "wrong-value", message, "put the value in quotes") from error

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean", "null"]}


def _scalar(node: ScalarNode) -> str | bool | int | Decimal | float | None:
    """A scalar's value by its tag. Raises ValueError or ArithmeticError where it has none."""
    kind = str(node.tag).removeprefix(_TAG)
    if kind not in _WORDS and kind not in ("int", "float"):
        return str(node.value)
    text = str(node.value).lower()
    if kind in _WORDS:
        if text not in _WORDS[kind]:
            raise ValueError(text)
        return _WORDS[kind][text]
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("too many digits")
    text = text.replace("_", "")
    if kind == "int":
        return _integer(text)
    return float(text.replace(".", "", 1)) if text.lstrip("+-") in (".inf", ".nan") else Decimal(text)


_WORDS: dict[str, dict[str, bool | None]] = {
    "null": {"": None, "~": None, "null": None},
    "bool": {"true": True, "false": False},
}


def _integer(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    return sign * int(digits, 0 if digits[:2] in ("0x", "0o", "0b") else 10)


@dataclass(frozen=True)
class ListOf:
    """A list. With `single`, one item may stand without its list."""

    item: Shape
    single: bool = False

    def read(self, node: Node, reader: Reader) -> list[Any]:
        reader.check_tag(node)
        if is_null(node):
            return []
        if not isinstance(node, SequenceNode):
            if self.single:
                return [self.item.read(node, reader)]
            raise reader.wrong_type(node, "a list", "begin each item with `- `")
        found: list[Any] = []
        broken = False
        with reader.inside(node):
            for child in node.value:
                try:
                    found.append(self.item.read(child, reader))
                except Invalid:
                    broken = True
        if broken:
            raise Invalid
        return found

    def schema(self) -> dict[str, Any]:
        listed = {"type": ["array", "null"], "items": self.item.schema()}
        return {"anyOf": [self.item.schema(), listed]} if self.single else listed


@dataclass(frozen=True)
class MapOf:
    """A mapping with keys of the user's choosing."""

    value: Shape
    key_pattern: str | None = None
    key_description: str = "a name"

    def read(self, node: Node, reader: Reader) -> dict[str, Any]:
        reader.check_tag(node)
        if is_null(node):
            return {}
        if not isinstance(node, MappingNode):
            raise reader.wrong_type(node, "a mapping")
        found: dict[str, Any] = {}
        broken = False
        with reader.inside(node):
            for key, value in reader.pairs(node):
                if self.key_pattern and not re.fullmatch(self.key_pattern, key.value):
                    message = f"{clipped(key.value)!r} is not {self.key_description}"
                    reader.report(reader.span(key), "bad-name", message, "choose another name")
                    broken = True
                    continue
                try:
                    found[key.value] = self.value.read(value, reader)
                except Invalid:
                    broken = True
        if broken:
            raise Invalid
        return found

    def schema(self) -> dict[str, Any]:
        names = {"propertyNames": {"pattern": f"^{self.key_pattern}$"}} if self.key_pattern else {}
        return {"type": ["object", "null"], "additionalProperties": self.value.schema()} | names


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of a record: its shape, and what it means (shown by editors)."""

    shape: Shape
    description: str
    required: bool = False
    default: Any = None


@dataclass(frozen=True)
class Fields:
    """What a record held: the values that were there, where their keys stand, and where it begins itself."""

    values: dict[str, Any]
    spans: dict[str, Span]
    span: Span

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def __contains__(self, key: str) -> bool:
        return key in self.values


_KEYS = "write one `key: value` a line"


@dataclass(frozen=True)
class Record:
    """A mapping with known keys. Of the keys in `one_of`, exactly one must stand there."""

    keys: dict[str, Key]
    noun: str = "key"
    one_of: tuple[str, ...] = field(default=())

    def read(self, node: Node, reader: Reader) -> Fields:
        reader.check_tag(node)
        if not isinstance(node, MappingNode):
            raise reader.wrong_type(
                node, f"a mapping with {_listed(list(self.keys))}", None if is_null(node) else _KEYS
            )
        fields = Fields({}, {}, reader.span(node))
        broken = False
        with reader.inside(node):
            for key, value in reader.pairs(node):
                known = self.keys.get(key.value)
                if known is None:
                    self._unknown(key, reader)
                    broken = True
                    continue
                fields.spans[key.value] = reader.span(key)
                try:
                    fields.values[key.value] = known.shape.read(value, reader)
                except Invalid:
                    broken = True
        if not self._complete(fields, reader) or broken:
            raise Invalid
        return fields

    def _unknown(self, key: ScalarNode, reader: Reader) -> None:
        near = nearest(key.value, list(self.keys))
        hint = near or f"known keys: {', '.join(self.keys)}"
        reader.report(reader.span(key), "unknown-key", f"unknown {self.noun} {clipped(key.value)!r}", hint)

    def _complete(self, fields: Fields, reader: Reader) -> bool:
        missing = [name for name, key in self.keys.items() if key.required and name not in fields.spans]
        for name in missing:
            reader.report(fields.span, "missing-key", f"the key {name!r} is missing", f"add `{name}:`")
        chosen = [name for name in self.one_of if name in fields.spans]
        if self.one_of and len(chosen) != 1:
            one = f"exactly one of {', '.join(self.one_of)}"
            message = f"{' and '.join(chosen)} stand together: a step is {one}" if chosen else f"a step is {one}"
            hint = "split it into one step each" if chosen else f"add `{self.one_of[0]}:`, or remove the step"
            reader.report(fields.span, "step-kind", message, hint)
            return False
        return not missing

    def schema(self) -> dict[str, Any]:
        described = {
            name: key.shape.schema()
            | {"description": key.description}
            | ({"default": key.default} if key.default is not None else {})
            for name, key in self.keys.items()
        }
        schema: dict[str, Any] = {"type": "object", "properties": described, "additionalProperties": False}
        required = [name for name, key in self.keys.items() if key.required]
        if required:
            schema["required"] = required
        if self.one_of:
            schema["oneOf"] = [{"required": [name]} for name in self.one_of]
        return schema


def nearest(word: str, known: Sequence[str]) -> str | None:
    """`did you mean ...?`, or None where nothing is near."""
    matches = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"did you mean {matches[0]!r}?" if matches else None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
