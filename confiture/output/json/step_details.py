"""What a plan says of its steps beyond their SQL, for machines."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from confiture.models.migration import Expectation, ExpectedValue, Scalar
from confiture.models.plan import PlannedBackfill, PlannedHook, PlannedReconcile, PlannedStep


def step_details(step: PlannedStep) -> dict[str, Any]:
    """What holds for one kind of step alone, by kind; None for the others."""
    return {
        "expect": _expectation_object(step.expect) if step.expect else None,
        "backfill": _backfill_object(step.backfill) if step.backfill else None,
        "reconcile": _reconcile_object(step.reconcile) if step.reconcile else None,
        "hook": _hook_object(step.hook) if step.hook else None,
    }


def _expectation_object(expect: Expectation) -> dict[str, Any]:
    if isinstance(expect, ExpectedValue):
        return {"operator": expect.operator, "value": _to_json_scalar(expect.value)}
    return {"rows": [[_to_json_scalar(value) for value in row] for row in expect.rows]}


def _to_json_scalar(value: Scalar) -> str | bool | int | float | None:
    return str(value) if isinstance(value, Decimal) else value


def _backfill_object(backfill: PlannedBackfill) -> dict[str, Any]:
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


def _reconcile_object(reconcile: PlannedReconcile) -> dict[str, Any]:
    return {
        "table": str(reconcile.table),
        "key": list(reconcile.key),
        "by": reconcile.by,
        "by_default": reconcile.by_is_inferred,
    }


def _hook_object(hook: PlannedHook) -> dict[str, Any]:
    return {"name": hook.name, "batched": hook.is_batched}
