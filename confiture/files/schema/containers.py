"""Container types: lists, mappings, records. These types continue after an error, so one pass reports all errors."""

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
    """A list. With `allows_single`, a single value counts as a list of one item."""

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
        items: list[Any] = []
        has_errors = False
        with reader.cycle_guarded(node):
            for child in node.value:
                try:
                    items.append(self.item.read(child, reader))
                except InvalidValue as error:
                    has_errors = True
                    if error.partial is not None:
                        items.append(error.partial)
        if has_errors:
            raise InvalidValue(items)
        return items

    def schema(self) -> dict[str, Any]:
        array = {"type": ["array", "null"], "items": self.item.schema()}
        return {"anyOf": [self.item.schema(), array]} if self.allows_single else array


@dataclass(frozen=True)
class MapOf:
    """A mapping with arbitrary keys."""

    value: SchemaType
    key_pattern: str | None = None
    key_description: str = "a name"

    def read(self, node: Node, reader: Reader) -> dict[str, Any]:
        reader.check_tag(node)
        if is_null(node):
            return {}
        if not isinstance(node, MappingNode):
            raise reader.report_wrong_type(node, "a mapping")
        values: dict[str, Any] = {}
        has_errors = False
        with reader.cycle_guarded(node):
            for key, value in reader.pairs(node):
                if self.key_pattern and not re.fullmatch(self.key_pattern, key.value):
                    message = f"{reader.format_value(key)!r} is not {self.key_description}"
                    reader.report(reader.span(key), "bad-name", message, "choose another name")
                    has_errors = True
                    continue
                try:
                    values[key.value] = self.value.read(value, reader)
                except InvalidValue:
                    has_errors = True
        if has_errors:
            raise InvalidValue
        return values

    def schema(self) -> dict[str, Any]:
        names = {"propertyNames": {"pattern": f"^{self.key_pattern}$"}} if self.key_pattern else {}
        return {"type": ["object", "null"], "additionalProperties": self.value.schema()} | names


@dataclass(frozen=True, kw_only=True)
class Key:
    """A record key: the value's type and a description for editors.

    `default` is a value in the form that `read` returns. The readable part of a value with errors is kept if the value
    is a list, or if the key is `lenient`.
    """

    value_type: SchemaType
    description: str
    required: bool = False
    default: Any = None
    lenient: bool = False


@dataclass(frozen=True)
class FieldValues:
    """The contents of a record: the values, the locations of the keys, and the location of the record.

    `defaults` are the values of missing keys.
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


_KEYS = "write one `key: value` per line"


@dataclass(frozen=True)
class Record:
    """A mapping with known keys. Exactly one of the keys in `one_of` must be present."""

    keys: dict[str, Key]
    noun: str = "key"
    one_of: tuple[str, ...] = field(default=())

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Default values by key."""
        return {name: key.default for name, key in self.keys.items() if key.default is not None}

    def read(self, node: Node, reader: Reader) -> FieldValues:
        reader.check_tag(node)
        if not isinstance(node, MappingNode):
            raise reader.report_wrong_type(
                node, f"a mapping with {_join_names(list(self.keys))}", None if is_null(node) else _KEYS
            )
        fields = FieldValues({}, {}, reader.span(node), self.defaults)
        has_errors = has_unknown = False
        with reader.cycle_guarded(node):
            for key, value in reader.pairs(node):
                definition = self.keys.get(key.value)
                if definition is None:
                    self._report_unknown(key, reader)
                    has_errors = has_unknown = True
                    continue
                fields.spans[key.value] = reader.span(key)
                try:
                    fields.values[key.value] = definition.value_type.read(value, reader)
                except InvalidValue as error:
                    has_errors = True
                    if isinstance(error.partial, list) or (definition.lenient and error.partial is not None):
                        fields.values[key.value] = error.partial
        if not self._check_required(fields, reader, has_unknown=has_unknown) or has_errors:
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
            return False  # the unknown key may be a misspelt kind
        if self.one_of and len(chosen) != 1:
            message = f"a step must have exactly one of {', '.join(self.one_of)}"
            if chosen:
                message += f"; found {' and '.join(chosen)}"
            hint = "split the step into separate steps" if chosen else f"add `{self.one_of[0]}:`, or remove the step"
            reader.report(fields.span, "step-kind", message, hint)
            return False
        return not missing

    def schema(self) -> dict[str, Any]:
        properties = {
            name: key.value_type.schema()
            | {"description": key.description}
            | ({"default": _written_default(key)} if key.default is not None else {})
            for name, key in self.keys.items()
        }
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
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
