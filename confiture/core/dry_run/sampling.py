"""Rehearses a batched backfill: some batches spread over the key's range, inside the dry run's transaction.

How the rest would go follows from them: each batch stands for its share of the rows. No trigger is made: it would keep
its lock until the dry run ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from statistics import fmean

import psycopg

from confiture.core.backfill.batches import batch_failure, with_condition
from confiture.core.backfill.guard import refuse_bad_plan
from confiture.core.backfill.keys import BatchKey, Piece, Values
from confiture.core.backfill.ranges import cuts
from confiture.core.backfill.source import find_source
from confiture.core.backfill.tables import captured_tables, resolved
from confiture.core.backfill.walking import Position, Walk, count_rows, last_key, starting_behind
from confiture.core.database import Connection
from confiture.core.dry_run.estimates import LEVEL_PERCENT, student_quantile
from confiture.core.events import Emit
from confiture.core.failures import StepFailed
from confiture.core.hooks.running import HookRuns
from confiture.core.steps import Observe
from confiture.models.events import Outcome, StepFinished, StepStarted
from confiture.models.migration import OnWrites
from confiture.models.plan import PlannedBackfill, PlannedStep, Segment, StepId
from confiture.models.steps import Did, step_id
from confiture.models.words import count

_SAMPLES = 10
UNJUDGED = "ran, but not judged: the backfill before it was only sampled; `--full` runs all of it"
SKIPPED = "needs the whole backfill before it, which was only sampled; `--full` runs all of it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """What was run of a backfill: how many batches, for how long, and how many times their work the real run does."""

    batches: int
    times: float
    duration_ms: float

    @property
    def is_whole(self) -> bool:
        """Whether all of it ran."""
        return self.times == 1.0


_NOTHING = Sampled(batches=0, times=1.0, duration_ms=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    rows: int
    written: int
    duration_ms: float


class Sampling:
    """Runs the sample of one backfill. With `full`, or where there is little to do, all of it."""

    def __init__(self, connection: Connection, emit: Emit, hooks: HookRuns, *, full: bool) -> None:
        self._hooks = hooks
        self._connection = connection
        self._emit = emit
        self._full = full

    def run(self, version: str, segment: Segment, overlook: Callable[[], None], observe: Observe) -> Sampled:
        """Runs the one step of a segment. `overlook` is called after reading that a real run does not do.

        Raises StepFailed and psycopg.Error.
        """
        (step,) = segment.steps
        identity = step_id(version, segment, step)
        self._emit(StepStarted(step=identity))
        started = time.perf_counter()
        try:
            did, sampled = self._run(step, identity, overlook, observe)
        except BaseException:
            spent_ms = (time.perf_counter() - started) * 1000
            self._emit(StepFinished(step=identity, outcome=Outcome.FAILED, duration_ms=spent_ms))
            raise
        self._emit(did.finished(identity, sampled.duration_ms))
        return sampled

    def _run(
        self, step: PlannedStep, identity: StepId, overlook: Callable[[], None], observe: Observe
    ) -> tuple[Did, Sampled]:
        if step.hook is None:
            return self._sample(step, identity, overlook, observe)
        did, sampled = Did(rows=None), _NOTHING

        def sample_for_hook(planned: PlannedStep) -> int:
            nonlocal did, sampled
            overlook()
            did, sampled = self._sample(planned, identity, overlook, observe)
            return did.rows or 0

        result = self._hooks.run_batched(self._connection, identity, step, sample_for_hook)
        return replace(did, rows=result.rows_affected, stats=result.stats), sampled

    def _sample(
        self, step: PlannedStep, identity: StepId, overlook: Callable[[], None], observe: Observe
    ) -> tuple[Did, Sampled]:
        backfill = _backfill(step)
        source = find_source(self._connection, step, backfill)
        into = resolved(self._connection, step, backfill.into)
        notes: list[str] = []
        if backfill.on_writes is OnWrites.CAPTURE:
            tables = captured_tables(self._connection, step, backfill, source.key, into)
            notes += [_capture_note([str(table.name) for table in tables])] if tables else []
        end = last_key(self._connection, source.key)
        if end is None:
            return Did(rows=0, note="; ".join(notes) or None), _NOTHING
        refuse_bad_plan(self._connection, step, source.key, end)
        total = source.estimated_rows
        if total is None:
            total = count_rows(self._connection, source.key, Piece())
        whole = self._full or total <= _SAMPLES * backfill.batch_rows
        batches = []
        for piece in list(self._pieces(source.key, end, backfill.batch_rows, whole=whole)):
            rows = count_rows(self._connection, source.key, piece)
            overlook()
            batches.append(self._batch(step, identity, source.key, piece, rows, observe))
        seen = sum(batch.rows for batch in batches)
        if not whole and seen >= total:
            # the estimate was too low
            total = count_rows(self._connection, source.key, Piece())
            overlook()
        sampled = Sampled(
            batches=len(batches),
            times=1.0 if whole or not seen else total / seen,
            duration_ms=sum(batch.duration_ms for batch in batches),
        )
        notes[:0] = [] if sampled.is_whole else [_note(batches, total)]
        return Did(rows=sum(batch.written for batch in batches), note="; ".join(notes) or None), sampled

    def _pieces(self, key: BatchKey, end: Values, rows: int, *, whole: bool) -> Iterator[Piece]:
        if whole:
            walk = Walk(self._connection, key, end)
            position: Position | None = Position()
            while position is not None and (stretch := walk.next(position, rows)) is not None:
                yield stretch.piece
                position = stretch.then
            return
        ends = [*cuts(self._connection, key, end, _SAMPLES), end]
        starts = [starting_behind(self._connection, key, *both) for both in pairwise(ends)]
        for start, stop in zip((Position(), *starts), ends, strict=True):
            stretch = Walk(self._connection, key, stop).next(start, rows)
            if stretch is not None:
                yield stretch.piece

    def _batch(
        self, step: PlannedStep, identity: StepId, key: BatchKey, piece: Piece, rows: int, observe: Observe
    ) -> _Batch:
        (statement,) = step.statements
        condition = key.predicate(piece).as_string(self._connection)
        text = with_condition(statement, condition)
        started = time.perf_counter()
        try:
            cursor = self._connection.execute(text.encode())
        except psycopg.Error as error:
            raise StepFailed(batch_failure(error, statement, step, condition), error.sqlstate) from error
        duration_ms = (time.perf_counter() - started) * 1000
        observe(identity, replace(statement, text=text), duration_ms)
        return _Batch(rows=rows, written=max(cursor.rowcount, 0), duration_ms=duration_ms)


def _backfill(step: PlannedStep) -> PlannedBackfill:
    if step.backfill is None:
        raise ValueError(step.name)
    return step.backfill


def _capture_note(tables: list[str]) -> str:
    """What the dry run does not take, as it would keep it until it ends."""
    return f"the real run takes SHARE ROW EXCLUSIVE on {', '.join(tables)} for a moment at its start and at its end"


def _note(batches: list[_Batch], total: int) -> str:
    """How much of it ran, and how long all of it takes one worker, with the range that the batches' spread gives."""
    seen = sum(batch.rows for batch in batches)
    text = (
        f"sampled: {count(len(batches), 'batch', 'batches')}, {seen:,} of about {count(total, 'row')};"
        f" all take one worker about {_cost(batches) * total / 1000:.1f} s"
    )
    if len(batches) > 1:
        low, high = (max(bound * total / 1000, 0.0) for bound in _bounds(batches))
        text += f" ({low:.1f} to {high:.1f} s by the batches' spread; commits and the growing of batches are not in it)"
    return f"{text}; `--full` runs all"


def _cost(batches: list[_Batch]) -> float:
    """Milliseconds for each row of the driving table."""
    return sum(batch.duration_ms for batch in batches) / sum(batch.rows for batch in batches)


def _bounds(batches: list[_Batch]) -> tuple[float, float]:
    """The range of that cost: the ratio estimate of a sample, plus and minus t standard errors.

    With n batches of r rows each on average, and residuals e of their times from the cost, the standard error is
    √(Σe² / (n - 1)) / (r·√n) (Cochran, Sampling Techniques, 6.4), and t has n - 1 degrees of freedom.
    """
    cost, number = _cost(batches), len(batches)
    residuals = sum((batch.duration_ms - cost * batch.rows) ** 2 for batch in batches)
    error = sqrt(residuals / (number - 1)) / (fmean(batch.rows for batch in batches) * sqrt(number))
    reach = student_quantile(LEVEL_PERCENT / 100, number - 1) * error
    return cost - reach, cost + reach
