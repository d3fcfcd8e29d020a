"""`reconcile:`: compares a table with its defining query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from confiture.errors import DiagnosticCollector
from confiture.files.backfills import RECONCILE, build_reconcile_step
from confiture.files.schema.containers import FieldValues, Key
from confiture.models.migration import ReconcileStep, Step
from confiture.models.plan import PlannedStep, Statement, StepAction
from confiture.models.source import RenderedSql
from confiture.plan.backfills import plan_reconcile
from confiture.plan.step_kinds.step_kind import StepKind, StepPlanContext, check_single_query

_HINT = "write a SELECT that returns the table's expected rows"


class ReconcileKind(StepKind):
    """A step that compares a table with a query, key by key."""

    step_type = ReconcileStep
    key = "reconcile"
    keys: ClassVar = {"reconcile": Key(value_type=RECONCILE, description="Compares a table with its defining query.")}
    action = StepAction.RECONCILE
    details_key = "reconcile"

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """Build the step."""
        return build_reconcile_step(fields["reconcile"], common_fields)

    def check_statements(
        self, statements: Sequence[Statement], rendered: RenderedSql, problems: DiagnosticCollector
    ) -> None:
        """Check that the step contains a single query."""
        check_single_query(statements, rendered, "reconcile", _HINT, problems)

    def plan(self, step: Step, planned: PlannedStep, context: StepPlanContext) -> PlannedStep:
        """Add the table, the key, and the grouping column to the step."""
        if not isinstance(step, ReconcileStep):
            return planned
        reconcile = plan_reconcile(step, context.render_context, context.tenant_column, context.problems)
        return replace(planned, content=reconcile)

    def checksum_parts(self, step: Step) -> tuple[object, ...]:
        """Return the query, the table, the key, and the grouping column."""
        if not isinstance(step, ReconcileStep):
            raise TypeError(step.kind)
        compared = step.table.text, [column.text for column in step.key], step.by.text if step.by else None
        return *super().checksum_parts(step), compared

    def fingerprint_parts(self, planned: PlannedStep) -> tuple[object, ...]:
        """Return the table, the key and the grouping column."""
        compared = planned.reconcile
        return (str(compared.table), compared.key, compared.by) if compared else ()

    def description(self, planned: PlannedStep) -> str | None:
        """Return the name of the compared table."""
        compared = planned.reconcile
        if compared is None:
            return None
        by = f", by {compared.by}" if compared.by and not compared.by_is_inferred else ""
        return f"compared with {compared.table}{by}"

    def details(self, planned: PlannedStep) -> dict[str, Any] | None:
        """Return the table, the key and the grouping column."""
        compared = planned.reconcile
        if compared is None:
            return None
        return {
            "table": str(compared.table),
            "key": list(compared.key),
            "by": compared.by,
            "by_default": compared.by_is_inferred,
        }


def check_reconcile_query(
    statements: Sequence[Statement], rendered: RenderedSql, problems: DiagnosticCollector
) -> None:
    """Add an error to `problems` unless the text is a single query that a reconcile supports."""
    check_single_query(statements, rendered, "reconcile", _HINT, problems)
