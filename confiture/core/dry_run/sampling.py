"""Dry-run a batched backfill: run sample batches, spread over the key range, inside the dry run's transaction.

The sample is extrapolated: each batch represents its share of the rows. Triggers that capture writes are created in a
savepoint and rolled back at once: otherwise they would hold their locks until the dry run ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from statistics import fmean

import psycopg

from confiture.core.backfill.backfill_source import find_source
from confiture.core.backfill.batch_key import BatchKey, KeyRange, KeyValues
from confiture.core.backfill.batches import add_where, batch_diagnostic
from confiture.core.backfill.concurrent_writes import check_capture
from confiture.core.backfill.key_ranges import sample_split_points
from confiture.core.backfill.keyset_cursor import (
    CursorPosition,
    KeysetCursor,
    count_rows,
    find_last_key,
    position_after,
)
from confiture.core.backfill.plan_check import check_batch_plan
from confiture.core.backfill.source_tables import resolve_table, tables_to_capture
from confiture.core.db.errors import StepFailed
from confiture.core.db.server_messages import server_messages_reported
from confiture.core.dry_run.estimates import LEVEL_PERCENT, student_quantile
from confiture.core.hooks.hook_runner import HookRunner
from confiture.core.run.context import RunContext
from confiture.core.run.statement_observer import StatementObserver
from confiture.models.events import Outcome, StepFinished, StepStarted
from confiture.models.migration import OnConcurrentWrites
from confiture.models.plan import PlannedBackfill, PlannedStep, Segment, StepId
from confiture.models.steps import StepOutcome, build_step_id
from confiture.text import pluralize

_SAMPLES = 10
UNJUDGED = "ran, but not evaluated: the preceding backfill was only sampled; `--full` runs it completely"
SKIPPED = "needs the complete preceding backfill, which was only sampled; `--full` runs it completely"


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillSample:
    """A backfill sample: the batches, their duration, and the factor from the sample to the real run."""

    batches: int
    scale_factor: float
    duration_ms: float

    @property
    def is_whole(self) -> bool:
        """Whether the whole backfill ran."""
        return self.scale_factor == 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleContext:
    """`ignore_reads` is called after reads that a real run does not do, `begin` once the backfill is not refused."""

    ignore_reads: Callable[[], None]
    begin: Callable[[], None]


_NOTHING = BackfillSample(batches=0, scale_factor=1.0, duration_ms=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _SampleBatch:
    rows: int
    written_rows: int
    duration_ms: float


class BackfillSampler:
    """Runs a sample of one backfill, or the whole backfill if it is small or the option `full` is set."""

    def __init__(self, context: RunContext, hook_runner: HookRunner) -> None:
        self._hook_runner = hook_runner
        self._connection = context.connection
        self._emit = context.emit
        self._full = context.mode.rehearsal.full

    def run(
        self, version: str, segment: Segment, context: SampleContext, observer: StatementObserver
    ) -> BackfillSample:
        """Run the single step of a segment. Raise StepFailed and psycopg.Error."""
        (step,) = segment.steps
        identity = build_step_id(version, segment, step)
        self._emit(StepStarted(step=identity))
        started = time.perf_counter()
        try:
            with server_messages_reported(self._connection, identity, self._emit):
                outcome, sample = self._run_step(step, identity, context, observer)
        except BaseException:
            spent_ms = (time.perf_counter() - started) * 1000
            self._emit(StepFinished(step=identity, outcome=Outcome.FAILED, duration_ms=spent_ms))
            raise
        self._emit(outcome.to_event(identity, sample.duration_ms))
        return sample

    def _run_step(
        self, step: PlannedStep, identity: StepId, context: SampleContext, observer: StatementObserver
    ) -> tuple[StepOutcome, BackfillSample]:
        if step.hook is None:
            return self._sample(step, identity, context, observer)
        outcome, sample = StepOutcome(rows=None), _NOTHING

        def sample_for_hook(planned: PlannedStep) -> int:
            nonlocal outcome, sample
            context.ignore_reads()
            outcome, sample = self._sample(planned, identity, context, observer)
            return outcome.rows or 0

        result = self._hook_runner.run_batched(self._connection, identity, step, sample_for_hook)
        return replace(outcome, rows=result.rows_affected, stats=result.stats), sample

    def _sample(
        self, step: PlannedStep, identity: StepId, context: SampleContext, observer: StatementObserver
    ) -> tuple[StepOutcome, BackfillSample]:
        backfill = _require_backfill(step)
        source = find_source(self._connection, step, backfill)
        into = resolve_table(self._connection, step, backfill.into)
        notes: list[str] = []
        if backfill.on_writes is OnConcurrentWrites.CAPTURE:
            tables = tables_to_capture(self._connection, step, backfill, source.key, into)
            check_capture(self._connection, step, backfill, source.key, into, tables)
            notes += [_capture_note([str(table.name) for table in tables])] if tables else []
        end = find_last_key(self._connection, source.key)
        if end is None:
            return StepOutcome(rows=0, note="; ".join(notes) or None), _NOTHING
        check_batch_plan(self._connection, step, source.key, end)
        context.begin()
        total = source.estimated_rows
        if total is None:
            total = count_rows(self._connection, source.key, KeyRange())
        whole = self._full or total <= _SAMPLES * backfill.batch_rows
        batches = []
        for key_range in list(self._iterate_key_ranges(source.key, end, backfill.batch_rows, is_whole=whole)):
            rows = count_rows(self._connection, source.key, key_range)
            context.ignore_reads()
            batches.append(self._run_batch(step, identity, source.key, key_range, rows, observer))
        sampled_rows = sum(batch.rows for batch in batches)
        if not whole and sampled_rows >= total:
            # The estimate was too low.
            total = count_rows(self._connection, source.key, KeyRange())
            context.ignore_reads()
        sample = BackfillSample(
            batches=len(batches),
            scale_factor=1.0 if whole or not sampled_rows else total / sampled_rows,
            duration_ms=sum(batch.duration_ms for batch in batches),
        )
        notes[:0] = [] if sample.is_whole else [_sample_note(batches, total)]
        return StepOutcome(rows=sum(batch.written_rows for batch in batches), note="; ".join(notes) or None), sample

    def _iterate_key_ranges(self, key: BatchKey, end: KeyValues, rows: int, *, is_whole: bool) -> Iterator[KeyRange]:
        if is_whole:
            cursor = KeysetCursor(self._connection, key, end)
            position: CursorPosition | None = CursorPosition()
            while position is not None and (chunk := cursor.next_chunk(position, rows)) is not None:
                yield chunk.key_range
                position = chunk.next_position
            return
        ends = [*sample_split_points(self._connection, key, end, _SAMPLES), end]
        starts = [position_after(self._connection, key, *both) for both in pairwise(ends)]
        for start, stop in zip((CursorPosition(), *starts), ends, strict=True):
            chunk = KeysetCursor(self._connection, key, stop).next_chunk(start, rows)
            if chunk is not None:
                yield chunk.key_range

    def _run_batch(
        self,
        step: PlannedStep,
        identity: StepId,
        key: BatchKey,
        key_range: KeyRange,
        rows: int,
        observer: StatementObserver,
    ) -> _SampleBatch:
        (statement,) = step.statements
        condition = key.predicate(key_range).as_string(self._connection)
        text = add_where(statement, condition)
        started = time.perf_counter()
        try:
            cursor = self._connection.execute(text.encode())
        except psycopg.Error as error:
            raise StepFailed(batch_diagnostic(error, statement, step, condition), error.sqlstate) from error
        duration_ms = (time.perf_counter() - started) * 1000
        observer.after(identity, step, replace(statement, text=text), duration_ms)
        return _SampleBatch(rows=rows, written_rows=max(cursor.rowcount, 0), duration_ms=duration_ms)


def _require_backfill(step: PlannedStep) -> PlannedBackfill:
    if step.backfill is None:
        raise ValueError(step.name)
    return step.backfill


def _capture_note(tables: list[str]) -> str:
    """Return a note on the lock that the dry run releases at once, because it would hold it until its end."""
    return f"the real run briefly acquires SHARE ROW EXCLUSIVE on {', '.join(tables)} at its start and end"


def _sample_note(batches: list[_SampleBatch], total: int) -> str:
    """Return a note about the sample: its size, and the estimated duration with one worker, with a range."""
    sampled_rows = sum(batch.rows for batch in batches)
    text = (
        f"sampled: {pluralize(len(batches), 'batch', 'batches')}, {sampled_rows:,} of about {pluralize(total, 'row')};"
        f" one worker would need about {_ms_per_row(batches) * total / 1000:.1f} s for all rows"
    )
    if len(batches) > 1:
        low, high = (max(bound * total / 1000, 0.0) for bound in _ms_per_row_range(batches))
        text += f" ({low:.1f} to {high:.1f} s given the spread of the batches; excludes commits and batch growth)"
    return f"{text}; `--full` runs all batches"


def _ms_per_row(batches: list[_SampleBatch]) -> float:
    """Return the milliseconds per driving-table row."""
    return sum(batch.duration_ms for batch in batches) / sum(batch.rows for batch in batches)


def _ms_per_row_range(batches: list[_SampleBatch]) -> tuple[float, float]:
    """Return the range of the cost per row: the sample's ratio estimate plus or minus t standard errors.

    With n batches of r rows on average and duration residuals e, the standard error is
    √(Σe² / (n - 1)) / (r·√n) (Cochran, Sampling Techniques, 6.4), and t has n - 1 degrees of freedom.
    """
    cost, number = _ms_per_row(batches), len(batches)
    residuals = sum((batch.duration_ms - cost * batch.rows) ** 2 for batch in batches)
    error = sqrt(residuals / (number - 1)) / (fmean(batch.rows for batch in batches) * sqrt(number))
    reach = student_quantile(LEVEL_PERCENT / 100, number - 1) * error
    return cost - reach, cost + reach
