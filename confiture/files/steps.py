"""Steps of a migration: what all kinds may hold, and reading one of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ruamel.yaml.nodes import Node, ScalarNode

from confiture.files.schema.containers import FieldValues, Key, Record
from confiture.files.schema.located_text import LocatedText
from confiture.files.schema.reader import InvalidValue, Reader
from confiture.files.schema.types import Boolean, Duration, FilePath, TextValue
from confiture.models.migration import SqlStep, Step
from confiture.models.records import default_of


class StepKindSchema(Protocol):
    """What reading a step needs to know of its kind."""

    @property
    def key(self) -> str:
        """The key of a step that makes it one of this kind."""

    @property
    def keys(self) -> Mapping[str, Key]:
        """The keys that a step of this kind has besides those of all steps, `key` the first of them."""

    def check_keys(self, fields: FieldValues, reader: Reader) -> None:
        """Raises InvalidValue where one of these keys lacks another. Called for steps of every kind."""

    def is_complete(self, fields: FieldValues) -> bool:
        """Whether what could be read of a step of this kind is enough to plan it."""

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """The step; `common_fields` are what all kinds of steps have."""

    @property
    def dependent_keys(self) -> Mapping[str, Sequence[str]]:
        """For the JSON Schema: which keys each of these keys needs beside it."""


_FIRST_KEYS = {
    "name": Key(value_type=TextValue(), description="What the step is called in reports."),
}
_LAST_KEYS = {
    "once": Key(
        value_type=Boolean(),
        description="Holds only right after the migration: `confiture verify` leaves it out.",
        default=default_of(SqlStep, "once"),
    ),
    "when": Key(
        value_type=LocatedText(other_tags=("bool",)),
        description="A Jinja condition: the step is skipped if it is false.",
    ),
    "timeout": Key(value_type=Duration(), description="The longest that each statement may run; 0 for no limit."),
    "lock_timeout": Key(value_type=Duration(), description="The longest wait for a lock; 0 for no limit."),
}


class StepSchema:
    """A DDL file's name, or a mapping with exactly one kind of step."""

    def __init__(self, kinds: Sequence[StepKindSchema]) -> None:
        self._kinds = {kind.key: kind for kind in kinds}
        keys = {name: key for kind in kinds for name, key in kind.keys.items()}
        self._record = Record(_FIRST_KEYS | keys | _LAST_KEYS, noun="key of a step", one_of=tuple(self._kinds))

    def read(self, node: Node, reader: Reader) -> FieldValues:
        if isinstance(node, ScalarNode):
            return FieldValues({"file": FilePath().read(node, reader)}, {}, reader.span(node), self._record.defaults)
        try:
            fields = self._record.read(node, reader)
        except InvalidValue as error:
            raise InvalidValue(error.partial if self._is_plannable(error.partial) else None) from error
        for kind in self._kinds.values():
            kind.check_keys(fields, reader)
        return fields

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [FilePath().schema(), {"$ref": "#/$defs/step"}]}

    def mapping_schema(self) -> dict[str, Any]:
        """The JSON Schema of a step that is a mapping."""
        dependent = {key: list(others) for kind in self._kinds.values() for key, others in kind.dependent_keys.items()}
        return self._record.schema() | {"dependentRequired": dependent}

    def _is_plannable(self, fields: FieldValues | None) -> bool:
        """Whether what could be read of a step with mistakes is one step that can be planned."""
        if fields is None:
            return False
        named = [kind for key, kind in self._kinds.items() if key in fields.spans]
        return len(named) == 1 and named[0].is_complete(fields)

    def build(self, fields: FieldValues) -> Step:
        """The step that was read."""
        common = {
            "span": fields.span,
            "name": fields.get("name"),
            "when": fields.get("when"),
            "once": fields.get("once"),
            "timeout_ms": fields.get("timeout"),
            "lock_timeout_ms": fields.get("lock_timeout"),
        }
        return next(kind for key, kind in self._kinds.items() if key in fields).build(fields, common)
