"""Shapes that hold others: lists, mappings, records. They read on after a mistake, so one pass finds every mistake."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from confiture.durations import duration_literal
from confiture.errors import Span
from confiture.files.schema.reader import InvalidValue, Reader, is_null
from confiture.files.schema.types import Duration, SchemaType
from confiture.text import did_you_mean


@dataclass(frozen=True)
class ListOf:
    """A list. With `allows_single`, one item may stand without its list."""

    item: SchemaType
    allows_single: bool = False

    def read(self, node: Node, reader: Reader) -> list[Any]:
        reader.check_tag(node)
        if is_null(node):
            return []
        if not isinstance(node, SequenceNode):
            if self.allows_single:
                return [self.item.read(node, reader)]
            raise reader.report_wrong_type(node, "a list", "begin each item with `- `")
        found: list[Any] = []
        broken = False
        with reader.cycle_guarded(node):
            for child in node.value:
                try:
                    found.append(self.item.read(child, reader))
                except InvalidValue as error:
                    broken = True
                    if error.partial is not None:
                        found.append(error.partial)
        if broken:
            raise InvalidValue(found)
        return found

    def schema(self) -> dict[str, Any]:
        listed = {"type": ["array", "null"], "items": self.item.schema()}
        return {"anyOf": [self.item.schema(), listed]} if self.allows_single else listed


@dataclass(frozen=True)
class MapOf:
    """A mapping with keys of the user's choosing."""

    value: SchemaType
    key_pattern: str | None = None
    key_description: str = "a name"

    def read(self, node: Node, reader: Reader) -> dict[str, Any]:
        reader.check_tag(node)
        if is_null(node):
            return {}
        if not isinstance(node, MappingNode):
            raise reader.report_wrong_type(node, "a mapping")
        found: dict[str, Any] = {}
        broken = False
        with reader.cycle_guarded(node):
            for key, value in reader.pairs(node):
                if self.key_pattern and not re.fullmatch(self.key_pattern, key.value):
                    message = f"{reader.format_value(key)!r} is not {self.key_description}"
                    reader.report(reader.span(key), "bad-name", message, "choose another name")
                    broken = True
                    continue
                try:
                    found[key.value] = self.value.read(value, reader)
                except InvalidValue:
                    broken = True
        if broken:
            raise InvalidValue
        return found

    def schema(self) -> dict[str, Any]:
        names = {"propertyNames": {"pattern": f"^{self.key_pattern}$"}} if self.key_pattern else {}
        return {"type": ["object", "null"], "additionalProperties": self.value.schema()} | names


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of a record: its type, and what it means (shown by editors).

    `default` is as reading gives it. What could be read of a value with mistakes is kept if that is a list, or the key
    is `lenient`.
    """

    value_type: SchemaType
    description: str
    required: bool = False
    default: Any = None
    lenient: bool = False


@dataclass(frozen=True)
class FieldValues:
    """What a record held: the values that were there, where their keys stand, and where it begins itself.

    `defaults` are the values of keys that were not.
    """

    values: dict[str, Any]
    spans: dict[str, Span]
    span: Span
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, self.defaults.get(key, default))

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

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The values of the keys that have one if they are left out."""
        return {name: key.default for name, key in self.keys.items() if key.default is not None}

    def read(self, node: Node, reader: Reader) -> FieldValues:
        reader.check_tag(node)
        if not isinstance(node, MappingNode):
            raise reader.report_wrong_type(
                node, f"a mapping with {_join_names(list(self.keys))}", None if is_null(node) else _KEYS
            )
        fields = FieldValues({}, {}, reader.span(node), self.defaults)
        broken = has_unknown = False
        with reader.cycle_guarded(node):
            for key, value in reader.pairs(node):
                known = self.keys.get(key.value)
                if known is None:
                    self._report_unknown(key, reader)
                    broken = has_unknown = True
                    continue
                fields.spans[key.value] = reader.span(key)
                try:
                    fields.values[key.value] = known.value_type.read(value, reader)
                except InvalidValue as error:
                    broken = True
                    if isinstance(error.partial, list) or (known.lenient and error.partial is not None):
                        fields.values[key.value] = error.partial
        if not self._check_required(fields, reader, has_unknown=has_unknown) or broken:
            raise InvalidValue(fields)
        return fields

    def _report_unknown(self, key: ScalarNode, reader: Reader) -> None:
        near = did_you_mean(key.value, self.keys)
        hint = near or f"known keys: {', '.join(self.keys)}"
        reader.report(reader.span(key), "unknown-key", f"unknown {self.noun} {reader.format_value(key)!r}", hint)

    def _check_required(self, fields: FieldValues, reader: Reader, *, has_unknown: bool) -> bool:
        missing = [name for name, key in self.keys.items() if key.required and name not in fields.spans]
        for name in missing:
            reader.report(fields.span, "missing-key", f"the key {name!r} is missing", f"add `{name}:`")
        chosen = [name for name in self.one_of if name in fields.spans]
        if has_unknown and not chosen:
            return False  # the kind may be what is misspelt
        if self.one_of and len(chosen) != 1:
            one = f"exactly one of {', '.join(self.one_of)}"
            message = f"{' and '.join(chosen)} stand together: a step is {one}" if chosen else f"a step is {one}"
            hint = "split it into one step each" if chosen else f"add `{self.one_of[0]}:`, or remove the step"
            reader.report(fields.span, "step-kind", message, hint)
            return False
        return not missing

    def schema(self) -> dict[str, Any]:
        described = {
            name: key.value_type.schema()
            | {"description": key.description}
            | ({"default": _written_default(key)} if key.default is not None else {})
            for name, key in self.keys.items()
        }
        schema: dict[str, Any] = {"type": "object", "properties": described, "additionalProperties": False}
        required = [name for name, key in self.keys.items() if key.required]
        if required:
            schema["required"] = required
        if self.one_of:
            schema["oneOf"] = [{"required": [name]} for name in self.one_of]
        return schema


def _written_default(key: Key) -> Any:
    return duration_literal(key.default) if isinstance(key.value_type, Duration) else key.default


def _join_names(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
