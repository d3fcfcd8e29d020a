"""What a plan says of its steps beyond their SQL, for machines."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from confiture.models.migration import Comparison, Expectation, Scalar
from confiture.models.plan import PlannedBackfill, PlannedHook, PlannedReconcile, PlannedStep


def particulars(step: PlannedStep) -> dict[str, Any]:
    """What holds for one kind of step alone, by kind; None for the others."""
    return {
        "expect": _expect(step.expect) if step.expect else None,
        "backfill": _backfill(step.backfill) if step.backfill else None,
        "reconcile": _reconcile(step.reconcile) if step.reconcile else None,
        "hook": _hook(step.hook) if step.hook else None,
    }


def _expect(expect: Expectation) -> dict[str, Any]:
    if isinstance(expect, Comparison):
        return {"operator": expect.operator, "value": _plain(expect.value)}
    return {"rows": [[_plain(value) for value in row] for row in expect.rows]}


def _plain(value: Scalar) -> str | bool | int | float | None:
    return str(value) if isinstance(value, Decimal) else value


def _backfill(backfill: PlannedBackfill) -> dict[str, Any]:
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


def _reconcile(reconcile: PlannedReconcile) -> dict[str, Any]:
    return {
        "table": str(reconcile.table),
        "key": list(reconcile.key),
        "by": reconcile.by,
        "by_default": reconcile.by_default,
    }


def _hook(hook: PlannedHook) -> dict[str, Any]:
    return {"name": hook.name, "batched": hook.is_batched}
