"""Batched backfills as the database tells of them."""

from __future__ import annotations

from datetime import datetime

from confiture.models.records import record

CANCELLED = "cancelled"
"""The code of the diagnostic that ends a run whose backfill was given up: what it filled stays."""


@record(frozen=True, kw_only=True, slots=True)
class BackfillState:
    """A backfill as the database tells of it.

    `state` is `preparing`, `filling`, `draining` or `done`; `is_running` says whether a run gave a sign of life in the
    last seconds, `control` what it is asked to do. Rows are those of the driving table, `busy_ms` the time of all its
    batches.
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
