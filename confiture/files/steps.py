"""Migration steps: the keys common to all step kinds, and reading a step of any kind."""

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
    """The schema for a step kind."""

    @property
    def key(self) -> str:
        """The key that identifies steps of this kind."""

    @property
    def keys(self) -> Mapping[str, Key]:
        """The keys for steps of this kind, in addition to the common keys; `key` is the first."""

    def check_keys(self, fields: FieldValues, reader: Reader) -> None:
        """Raise InvalidValue if one of these keys is used without a required key. Called for all steps."""

    def is_complete(self, fields: FieldValues) -> bool:
        """Whether the readable part of a step of this kind is enough to plan it."""

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """Build the step; `common_fields` are the fields common to all kinds."""

    @property
    def dependent_keys(self) -> Mapping[str, Sequence[str]]:
        """The keys that each of these keys requires, for the JSON Schema."""


_FIRST_KEYS = {
    "name": Key(value_type=TextValue(), description="The step's name in reports."),
}
_LAST_KEYS = {
    "once": Key(
        value_type=Boolean(),
        description="Valid only right after the migration; `confiture verify` skips the step.",
        default=default_of(SqlStep, "once"),
    ),
    "when": Key(
        value_type=LocatedText(other_tags=("bool",)),
        description="A Jinja condition; if it is false, the step is skipped.",
    ),
    "timeout": Key(value_type=Duration(), description="The time limit for each statement; 0 for no limit."),
    "lock_timeout": Key(value_type=Duration(), description="The maximum wait for a lock; 0 for no limit."),
}


class StepSchema:
    """A DDL file's name, or a mapping with exactly one step kind."""

    def __init__(self, kinds: Sequence[StepKindSchema]) -> None:
        self._kinds = {kind.key: kind for kind in kinds}
        keys = {name: key for kind in kinds for name, key in kind.keys.items()}
        self._record = Record(_FIRST_KEYS | keys | _LAST_KEYS, noun="step key", one_of=tuple(self._kinds))

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
        """Return the JSON Schema for a step in mapping form."""
        dependent = {key: list(others) for kind in self._kinds.values() for key, others in kind.dependent_keys.items()}
        return self._record.schema() | {"dependentRequired": dependent}

    def _is_plannable(self, fields: FieldValues | None) -> bool:
        """Whether the readable part of a step with errors can be planned."""
        if fields is None:
            return False
        kinds = [kind for key, kind in self._kinds.items() if key in fields.spans]
        return len(kinds) == 1 and kinds[0].is_complete(fields)

    def build(self, fields: FieldValues) -> Step:
        """Build the step."""
        common = {
            "span": fields.span,
            "name": fields.get("name"),
            "when": fields.get("when"),
            "once": fields.get("once"),
            "timeout_ms": fields.get("timeout"),
            "lock_timeout_ms": fields.get("lock_timeout"),
        }
        return next(kind for key, kind in self._kinds.items() if key in fields).build(fields, common)
