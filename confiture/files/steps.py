"""Steps of a migration: what each kind may hold, and reading it."""

from __future__ import annotations

from typing import Any, cast, get_args

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from confiture.files.backfills import BACKFILL, RECONCILE, backfill_step, reconcile_step
from confiture.files.containers import Fields, Key, ListOf, Record
from confiture.files.ddl import TEMPLATE_SUFFIX
from confiture.files.passages import Passage
from confiture.files.reader import Invalid, Reader
from confiture.files.shapes import Duration, Flag, NamedFile, PlainValue, Text
from confiture.models.migration import (
    AnyStep,
    CheckStep,
    Comparison,
    Expectation,
    ExpectedRows,
    FileStep,
    HookStep,
    Operator,
    SqlStep,
)
from confiture.models.source import SourceText

_OPERATORS = get_args(Operator)
_KINDS = ("file", "sql", "check", "backfill", "reconcile", "hook")


class _ExpectShape:
    """What a check must return: a value, a comparison such as `{">": 0}`, or `rows: [...]`."""

    _row = ListOf(PlainValue(), single=True)
    _record = Record(
        {operator: Key(shape=PlainValue(), description=f"The value is {operator} this one.") for operator in _OPERATORS}
        | {"rows": Key(shape=ListOf(_row), description="The rows returned, in order; `[]` for none.")},
        noun="expectation",
    )

    def read(self, node: Node, reader: Reader) -> Expectation:
        if not isinstance(node, MappingNode):
            return Comparison(operator="=", value=PlainValue().read(node, reader))
        fields = self._record.read(node, reader)
        if len(fields.values) != 1:
            hint = f"write one of {', '.join(_OPERATORS)} or rows"
            raise reader.report(fields.span, "wrong-value", "an expectation has exactly one key", hint)
        ((key, value),) = fields.values.items()
        if key == "rows":
            return ExpectedRows(rows=tuple(tuple(row) for row in value))
        if value is None and key not in ("=", "!="):
            raise reader.report(fields.spans[key], "wrong-value", f"nothing is {key} null", "use = or !=")
        return Comparison(operator=cast(Operator, key), value=value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [PlainValue().schema(), self._record.schema() | {"minProperties": 1, "maxProperties": 1}]}


_STEP = Record(
    {
        "name": Key(shape=Text(), description="What the step is called in reports."),
        "file": Key(
            shape=NamedFile(),
            description=f"A DDL file below the schemas folder; rendered if it ends in {TEMPLATE_SUFFIX}.",
        ),
        "sql": Key(shape=Passage(), description="SQL, rendered as a Jinja template."),
        "check": Key(shape=Passage(), description="A query, rendered as a Jinja template; see `expect`."),
        "expect": Key(
            shape=_ExpectShape(), description='What the check must return: a value, {">": 0}, or {rows: []}.'
        ),
        "backfill": Key(shape=BACKFILL, description="A fill in batches that resumes, each committed by itself."),
        "reconcile": Key(shape=RECONCILE, description="Proves that a table equals its defining query."),
        "hook": Key(shape=Passage(), description="A Python hook: its registered name, or module:Class."),
        "once": Key(
            shape=Flag(),
            description="Holds only right after the migration: `confiture verify` leaves it out.",
            default=False,
        ),
        "when": Key(
            shape=Passage(also=("bool",)), description="A Jinja condition: the step is skipped if it is false."
        ),
        "timeout": Key(shape=Duration(), description="The longest that each statement may run; 0 for no limit."),
        "lock_timeout": Key(shape=Duration(), description="The longest wait for a lock; 0 for no limit."),
    },
    noun="key of a step",
    one_of=_KINDS,
)


class StepShape:
    """A DDL file's name, or a mapping with exactly one kind of step."""

    def read(self, node: Node, reader: Reader) -> Fields:
        if isinstance(node, ScalarNode):
            return Fields({"file": NamedFile().read(node, reader)}, {}, reader.span(node))
        try:
            fields = _STEP.read(node, reader)
        except Invalid as error:
            raise Invalid(error.partial if _has_sql(error.partial) else None) from error
        if "check" in fields and "expect" not in fields:
            raise reader.report(
                fields.spans["check"], "missing-key", "a check needs `expect`: what must it return?", "add `expect: 0`"
            )
        if "expect" in fields and "check" not in fields:
            hint = "write `check:` for what is `sql:` here, or remove `expect`"
            raise reader.report(fields.spans["expect"], "unknown-key", "`expect` belongs to a `check`", hint)
        return fields

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [NamedFile().schema(), {"$ref": "#/$defs/step"}]}


def step_schema() -> dict[str, Any]:
    """The JSON Schema of a step that is a mapping."""
    return _STEP.schema() | {"dependentRequired": {"check": ["expect"], "expect": ["check"]}}


def _has_sql(fields: Fields | None) -> bool:
    """Whether what could be read of a step with mistakes is one step that can be planned."""
    if fields is None or len(set(_KINDS) & fields.spans.keys()) != 1:
        return False
    if "check" in fields:
        return "expect" in fields
    return any(kind in fields for kind in _KINDS)


def step_of(fields: Fields) -> AnyStep:
    """The step that was read."""
    common = {
        "span": fields.span,
        "name": fields.get("name"),
        "when": fields.get("when"),
        "once": fields.get("once", False),
        "timeout_ms": fields.get("timeout"),
        "lock_timeout_ms": fields.get("lock_timeout"),
    }
    if "file" in fields:
        asked, file = fields["file"]
        common["name"] = common["name"] or asked.text.strip()
        return FileStep(
            sql=SourceText(text=file.text, file=file), is_template=file.path.endswith(TEMPLATE_SUFFIX), **common
        )
    if "check" in fields:
        return CheckStep(sql=fields["check"], expect=fields["expect"], **common)
    if "backfill" in fields:
        return backfill_step(fields["backfill"], common)
    if "reconcile" in fields:
        return reconcile_step(fields["reconcile"], common)
    if "hook" in fields:
        return HookStep(reference=fields["hook"], **common)
    return SqlStep(sql=fields["sql"], **common)
