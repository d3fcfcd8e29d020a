"""The state of batched backfills as read from the database."""

from __future__ import annotations

from datetime import datetime

from confiture.models.records import record

CANCELLED = "cancelled"
"""The code of the diagnostic for a run whose backfill was cancelled. The rows that it filled stay."""


@record(frozen=True, kw_only=True, slots=True)
class BackfillState:
    """A backfill as read from the database.

    `state` is `preparing`, `filling`, `draining` or `done`. `is_running` is whether a run sent a heartbeat within the
    last seconds; `control` is what the backfill was requested to do. `source_rows` and `estimated_rows` count rows of
    the driving table; `busy_ms` is the total time of all batches.
    """

    attempt: str
    segment: int
    number: int
    version: str
    step: str
    source: str
    target: str
    state: str
    control: str
    waiting_for: str | None
    batch_rows: int | None
    runner: str | None
    estimated_rows: int | None
    started_at: datetime
    finished_at: datetime | None
    is_running: bool
    batches: int
    source_rows: int
    written_rows: int
    busy_ms: float
    ranges: int
    ranges_done: int
