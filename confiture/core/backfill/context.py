"""What the parts of one backfill share, once it is known what there is to do."""

from __future__ import annotations

from dataclasses import dataclass

from confiture.core.backfill.backfill_store import BackfillStore
from confiture.core.backfill.batch_key import BatchKey
from confiture.core.backfill.heartbeat import Heartbeat
from confiture.core.db.connection import Connection
from confiture.models.catalog import QualifiedName
from confiture.models.events import Emit
from confiture.models.plan import PlannedBackfill, PlannedStep


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillContext:
    """One backfill: its step, its key, the table that it fills, its number, and the run's connection (in autocommit).

    `retries` is how often is tried again what fails for want of a lock, `max_blocking_ms` for how long others may wait
    for one of ours (0: for ever), `pulse` its sign of life; `estimated_rows` is what the planner believes the driving
    table to have, None where it was never analysed.
    """

    connection: Connection
    emit: Emit
    retries: int
    max_blocking_ms: int
    heartbeat: Heartbeat
    step: PlannedStep
    backfill: PlannedBackfill
    key: BatchKey
    into: QualifiedName
    store: BackfillStore
    number: int
    estimated_rows: int | None
