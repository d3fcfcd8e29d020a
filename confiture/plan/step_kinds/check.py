"""`check:`: a query and its expected result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, cast, get_args

from ruamel.yaml.nodes import MappingNode, Node

from confiture.errors import DiagnosticCollector
from confiture.files.schema.containers import FieldValues, Key, ListOf, Record
from confiture.files.schema.located_text import LocatedText
from confiture.files.schema.reader import Reader
from confiture.files.schema.types import ScalarValue
from confiture.models.migration import (
    CheckStep,
    Expectation,
    ExpectedRows,
    ExpectedValue,
    Operator,
    Scalar,
    Step,
)
from confiture.models.plan import PlannedStep, Statement, StepAction
from confiture.models.source import RenderedSql
from confiture.plan.step_kinds.step_kind import StepKind, check_single_query

_OPERATORS = get_args(Operator)
_HINT = "replace `check:` with `sql:`, or write a query that checks the result"


class _ExpectationSchema:
    """The expected result of a check: a value, a comparison such as `{">": 0}`, or `rows: [...]`."""

    _row = ListOf(ScalarValue(), allows_single=True)
    _record = Record(
        {
            operator: Key(value_type=ScalarValue(), description=f"The result must be {operator} this value.")
            for operator in _OPERATORS
        }
        | {"rows": Key(value_type=ListOf(_row), description="The expected rows, in order; `[]` for none.")},
        noun="expectation",
    )

    def read(self, node: Node, reader: Reader) -> Expectation:
        if not isinstance(node, MappingNode):
            return ExpectedValue(operator="=", value=ScalarValue().read(node, reader))
        fields = self._record.read(node, reader)
        if len(fields.values) != 1:
            hint = f"write one of {', '.join(_OPERATORS)} or rows"
            raise reader.report(fields.span, "wrong-value", "an expectation must have exactly one key", hint)
        ((key, value),) = fields.values.items()
        if key == "rows":
            return ExpectedRows(rows=tuple(tuple(row) for row in value))
        if value is None and key not in ("=", "!="):
            raise reader.report(fields.spans[key], "wrong-value", f"{key} cannot be used with null", "use = or !=")
        return ExpectedValue(operator=cast(Operator, key), value=value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [ScalarValue().schema(), self._record.schema() | {"minProperties": 1, "maxProperties": 1}]}


class CheckKind(StepKind):
    """A step that compares the result of a query with the expected result."""

    step_type = CheckStep
    key = "check"
    keys: ClassVar = {
        "check": Key(value_type=LocatedText(), description="A query, rendered as a Jinja template; see `expect`."),
        "expect": Key(
            value_type=_ExpectationSchema(), description='The expected result: a value, {">": 0}, or {rows: []}.'
        ),
    }
    dependent_keys: ClassVar = {"check": ["expect"], "expect": ["check"]}
    action = StepAction.CHECK
    details_key = "expect"

    def check_keys(self, fields: FieldValues, reader: Reader) -> None:
        """Raise InvalidValue if `check` or `expect` is used without the other key."""
        if "check" in fields and "expect" not in fields:
            raise reader.report(
                fields.spans["check"], "missing-key", "a check needs `expect`", "add a result, such as `expect: 0`"
            )
        if "expect" in fields and "check" not in fields:
            hint = "replace `sql:` with `check:`, or remove `expect`"
            raise reader.report(fields.spans["expect"], "unknown-key", "`expect` is only valid with `check`", hint)

    def is_complete(self, fields: FieldValues) -> bool:
        """Whether both keys are present."""
        return "check" in fields and "expect" in fields

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """Build the step."""
        return CheckStep(sql=fields["check"], expect=fields["expect"], **common_fields)

    def check_statements(
        self, statements: Sequence[Statement], rendered: RenderedSql, problems: DiagnosticCollector
    ) -> None:
        """Check that the step contains a single query."""
        check_single_query(statements, rendered, "check", _HINT, problems)

    def content(self, step: Step) -> object | None:
        """Return the expectation."""
        return step.expect if isinstance(step, CheckStep) else None

    def expected_parts(self, step: Step) -> object:
        """Return the operator and the value, or the rows."""
        if not isinstance(step, CheckStep):
            return None
        expect = step.expect
        return (expect.operator, expect.value) if isinstance(expect, ExpectedValue) else expect.rows

    def description(self, planned: PlannedStep) -> str | None:
        """Return the expected result in words."""
        return f"expects {_expectation_text(planned.expect)}" if planned.expect is not None else None

    def details(self, planned: PlannedStep) -> dict[str, Any] | None:
        """Return the expected result as an object."""
        return _expectation_object(planned.expect) if planned.expect is not None else None


def _expectation_text(expect: Expectation) -> str:
    if isinstance(expect, ExpectedValue):
        return f"{expect.operator} {'null' if expect.value is None else expect.value}"
    return f"the rows {[tuple(map(str, row)) for row in expect.rows]}" if expect.rows else "no rows"


def _expectation_object(expect: Expectation) -> dict[str, Any]:
    if isinstance(expect, ExpectedValue):
        return {"operator": expect.operator, "value": _to_json_scalar(expect.value)}
    return {"rows": [[_to_json_scalar(value) for value in row] for row in expect.rows]}


def _to_json_scalar(value: Scalar) -> str | bool | int | float | None:
    return str(value) if isinstance(value, Decimal) else value
