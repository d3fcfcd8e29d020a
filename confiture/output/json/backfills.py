"""The progress of batched backfills as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confiture.models.backfills import BackfillState
from confiture.output.json.document import with_schema_version
from confiture.output.json.objects import round_to_microseconds


def backfills_document(backfills: Sequence[BackfillState], database: str) -> dict[str, Any]:
    """Return the document for `confiture backfill status --format json`."""
    return with_schema_version("confiture.backfills") | {
        "database": database,
        "backfills": [_backfill_object(backfill) for backfill in backfills],
    }


def _backfill_object(backfill: BackfillState) -> dict[str, Any]:
    return {
        "attempt": backfill.attempt,
        "segment": backfill.segment,
        "number": backfill.number,
        "version": backfill.version,
        "step": backfill.step,
        "source": backfill.source,
        "target": backfill.target,
        "state": backfill.state,
        "control": backfill.control,
        "waiting_for": backfill.waiting_for,
        "batch_rows": backfill.batch_rows,
        "runner": backfill.runner,
        "estimated_rows": backfill.estimated_rows,
        "started_at": backfill.started_at.isoformat(),
        "finished_at": backfill.finished_at.isoformat() if backfill.finished_at else None,
        "is_running": backfill.is_running,
        "batches": backfill.batches,
        "source_rows": backfill.source_rows,
        "written_rows": backfill.written_rows,
        "busy_ms": round_to_microseconds(backfill.busy_ms),
        "ranges": backfill.ranges,
        "ranges_done": backfill.ranges_done,
    }
