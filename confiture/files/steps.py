"""Steps of a migration: what each kind may hold, and reading it."""

from __future__ import annotations

from typing import Any, cast, get_args

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from confiture.files.backfills import BACKFILL, RECONCILE, build_backfill_step, build_reconcile_step
from confiture.files.ddl import TEMPLATE_SUFFIX
from confiture.files.schema.containers import FieldValues, Key, ListOf, Record
from confiture.files.schema.located_text import LocatedText
from confiture.files.schema.reader import InvalidValue, Reader
from confiture.files.schema.types import Boolean, Duration, FilePath, ScalarValue, TextValue
from confiture.models.migration import (
    AnyStep,
    CheckStep,
    Expectation,
    ExpectedRows,
    ExpectedValue,
    FileStep,
    HookStep,
    Operator,
    SqlStep,
)
from confiture.models.records import default_of
from confiture.models.source import LocatedSource

_OPERATORS = get_args(Operator)
_KINDS = ("file", "sql", "check", "backfill", "reconcile", "hook")


class _ExpectationSchema:
    """What a check must return: a value, a comparison such as `{">": 0}`, or `rows: [...]`."""

    _row = ListOf(ScalarValue(), allows_single=True)
    _record = Record(
        {
            operator: Key(value_type=ScalarValue(), description=f"The value is {operator} this one.")
            for operator in _OPERATORS
        }
        | {"rows": Key(value_type=ListOf(_row), description="The rows returned, in order; `[]` for none.")},
        noun="expectation",
    )

    def read(self, node: Node, reader: Reader) -> Expectation:
        if not isinstance(node, MappingNode):
            return ExpectedValue(operator="=", value=ScalarValue().read(node, reader))
        fields = self._record.read(node, reader)
        if len(fields.values) != 1:
            hint = f"write one of {', '.join(_OPERATORS)} or rows"
            raise reader.report(fields.span, "wrong-value", "an expectation has exactly one key", hint)
        ((key, value),) = fields.values.items()
        if key == "rows":
            return ExpectedRows(rows=tuple(tuple(row) for row in value))
        if value is None and key not in ("=", "!="):
            raise reader.report(fields.spans[key], "wrong-value", f"nothing is {key} null", "use = or !=")
        return ExpectedValue(operator=cast(Operator, key), value=value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [ScalarValue().schema(), self._record.schema() | {"minProperties": 1, "maxProperties": 1}]}


_STEP = Record(
    {
        "name": Key(value_type=TextValue(), description="What the step is called in reports."),
        "file": Key(
            value_type=FilePath(),
            description=f"A DDL file below the schemas folder; rendered if it ends in {TEMPLATE_SUFFIX}.",
        ),
        "sql": Key(value_type=LocatedText(), description="SQL, rendered as a Jinja template."),
        "check": Key(value_type=LocatedText(), description="A query, rendered as a Jinja template; see `expect`."),
        "expect": Key(
            value_type=_ExpectationSchema(), description='What the check must return: a value, {">": 0}, or {rows: []}.'
        ),
        "backfill": Key(value_type=BACKFILL, description="A fill in batches that resumes, each committed by itself."),
        "reconcile": Key(value_type=RECONCILE, description="Proves that a table equals its defining query."),
        "hook": Key(value_type=LocatedText(), description="A Python hook: its registered name, or module:Class."),
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
    },
    noun="key of a step",
    one_of=_KINDS,
)


class StepSchema:
    """A DDL file's name, or a mapping with exactly one kind of step."""

    def read(self, node: Node, reader: Reader) -> FieldValues:
        if isinstance(node, ScalarNode):
            return FieldValues({"file": FilePath().read(node, reader)}, {}, reader.span(node), _STEP.defaults)
        try:
            fields = _STEP.read(node, reader)
        except InvalidValue as error:
            raise InvalidValue(error.partial if _has_sql(error.partial) else None) from error
        if "check" in fields and "expect" not in fields:
            raise reader.report(
                fields.spans["check"], "missing-key", "a check needs `expect`: what must it return?", "add `expect: 0`"
            )
        if "expect" in fields and "check" not in fields:
            hint = "write `check:` for what is `sql:` here, or remove `expect`"
            raise reader.report(fields.spans["expect"], "unknown-key", "`expect` belongs to a `check`", hint)
        return fields

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [FilePath().schema(), {"$ref": "#/$defs/step"}]}


def step_schema() -> dict[str, Any]:
    """The JSON Schema of a step that is a mapping."""
    return _STEP.schema() | {"dependentRequired": {"check": ["expect"], "expect": ["check"]}}


def _has_sql(fields: FieldValues | None) -> bool:
    """Whether what could be read of a step with mistakes is one step that can be planned."""
    if fields is None or len(set(_KINDS) & fields.spans.keys()) != 1:
        return False
    if "check" in fields:
        return "expect" in fields
    return any(kind in fields for kind in _KINDS)


def build_step(fields: FieldValues) -> AnyStep:
    """The step that was read."""
    common = {
        "span": fields.span,
        "name": fields.get("name"),
        "when": fields.get("when"),
        "once": fields.get("once"),
        "timeout_ms": fields.get("timeout"),
        "lock_timeout_ms": fields.get("lock_timeout"),
    }
    if "file" in fields:
        asked, file = fields["file"]
        common["name"] = common["name"] or asked.text.strip()
        return FileStep(
            sql=LocatedSource(text=file.text, file=file), is_template=file.path.endswith(TEMPLATE_SUFFIX), **common
        )
    if "check" in fields:
        return CheckStep(sql=fields["check"], expect=fields["expect"], **common)
    if "backfill" in fields:
        return build_backfill_step(fields["backfill"], common)
    if "reconcile" in fields:
        return build_reconcile_step(fields["reconcile"], common)
    if "hook" in fields:
        return HookStep(reference=fields["hook"], **common)
    return SqlStep(sql=fields["sql"], **common)
