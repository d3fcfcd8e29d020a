"""The state of batched backfills as read from the database."""

from __future__ import annotations

from datetime import datetime

from confiture.models.records import record

CANCELLED = "cancelled"
"""The diagnostic code for a run that stopped because its backfill was cancelled. Filled rows are kept."""
PROGRESS_LOST = "progress-lost"
"""The code of a backfill whose stored progress is missing."""


@record(frozen=True, kw_only=True, slots=True)
class BackfillState:
    """A backfill as read from the database.

    `state` is `preparing`, `filling`, `draining` or `done`. `is_running` is whether a run has sent a heartbeat within
    the last few seconds; `control` is the action requested of the backfill. `source_rows` and `estimated_rows` count
    rows in the driving table; `busy_ms` is the total time spent on batches.
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
