"""`backfill:`: a statement that runs in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from confiture.files.backfills import BACKFILL, build_backfill_step
from confiture.files.schema.containers import FieldValues, Key
from confiture.models.migration import BackfillStep, Phase, Step
from confiture.models.plan import BATCH, PlannedStep, TransactionMode
from confiture.plan.backfills import plan_backfill
from confiture.plan.rendering import RenderContext
from confiture.plan.step_kinds.step_kind import StepKind, StepPlanContext


class BackfillKind(StepKind):
    """A step that runs a statement in batches, each committed with its progress."""

    step_type = BackfillStep
    key = "backfill"
    keys: ClassVar = {
        "backfill": Key(
            value_type=BACKFILL, description="A resumable backfill in batches, each in its own transaction."
        )
    }
    details_key = "backfill"

    def build(self, fields: FieldValues, common_fields: Mapping[str, Any]) -> Step:
        """Build the step."""
        return build_backfill_step(fields["backfill"], common_fields)

    def render_context(self, context: RenderContext) -> RenderContext:
        """Add `batch`, the condition for a batch."""
        return replace(context, batch=BATCH)

    def plan(self, step: Step, planned: PlannedStep, context: StepPlanContext) -> PlannedStep:
        """Add the backfill plan. The statement runs in separate transactions."""
        if not isinstance(step, BackfillStep):
            return planned
        if planned.phase in (Phase.ON_ERROR, Phase.DOWN):
            message = f"{planned.phase.value} cannot contain a backfill"
            hint = "write the statement as `sql:`"
            context.problems.add(step.sql.file.diagnostic(step.span, "backfill-phase", message, hint=hint))
        backfill = plan_backfill(step, planned.rendered, context.render_context, context.problems)
        statements = tuple(
            replace(statement, transaction_mode=TransactionMode.BATCHED) for statement in planned.statements
        )
        return replace(planned, content=backfill, statements=statements)

    def details(self, planned: PlannedStep) -> dict[str, Any] | None:
        """Return the backfill options."""
        backfill = planned.backfill
        if backfill is None:
            return None
        return {
            "into": str(backfill.into),
            "from": str(backfill.source),
            "alias": backfill.alias,
            "key": list(backfill.key),
            "batch_rows": backfill.batch_rows,
            "batch_time_ms": backfill.batch_time_ms,
            "workers": backfill.workers,
            "on_writes": backfill.on_writes.value,
            "captures": {str(capture.table): list(capture.columns) for capture in backfill.captures},
            "throttle": {
                "replica_lag_ms": backfill.replica_lag_ms,
                "wal_bytes_per_s": backfill.wal_bytes_per_s,
                "long_transaction_ms": backfill.long_transaction_ms,
                "query": backfill.throttle_query,
            },
        }
