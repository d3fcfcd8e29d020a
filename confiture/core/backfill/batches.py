"""Run one batch in one transaction: select the rows, write them, and store the range's new position."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from confiture.core.backfill.backfill_store import BackfillStore, StoredRange
from confiture.core.backfill.batch_key import KeyRange
from confiture.core.backfill.context import WorkerConfig
from confiture.core.backfill.keyset_cursor import KeysetCursor, count_rows
from confiture.core.db.blocking_monitor import BlockingMonitor
from confiture.core.db.connection import Connection
from confiture.core.db.errors import StepFailed, over_budget_error, statement_diagnostic
from confiture.errors import Diagnostic
from confiture.models.plan import BATCH, PlannedStep, Statement

_RISING, _FALLING = 0.3, 0.7
"""The weights of the last batch. A falling rate has a greater weight than a rising one."""
_SHRINK, _GROW = 0.5, 1.5
"""The limits for a single change in batch size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A committed batch. `source_rows` counts rows of the driving table. With `is_last`, the range is done."""

    range_number: int
    source_rows: int
    written_rows: int
    duration_ms: float
    is_last: bool


class BatchFailed(Exception):
    """A batch failed and was rolled back. `rows` is the maximum number of driving-table rows.

    `key_range` selects the batch's rows, or is None if the rows are not the cause. `sqlstate` is None if the connection
    was lost.
    """

    def __init__(self, failure: StepFailed, rows: int, key_range: KeyRange | None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.sqlstate = failure.sqlstate
        self.rows = rows
        self.key_range = key_range


class BatchRunner:
    """Runs one step's batches over one connection, which is in autocommit mode."""

    def __init__(self, connection: Connection, config: WorkerConfig, monitor: BlockingMonitor) -> None:
        self._connection = connection
        self._max_blocking_ms = config.settings.max_blocking_ms
        self._step = config.step
        self._key = config.key
        self._store = BackfillStore(connection, config.backfill_id)
        self._monitor = monitor

    def run(self, stored_range: StoredRange, rows: int, before_batch: Callable[[], None] | None = None) -> Batch | None:
        """Commit the next batch of about `rows` rows in a range; return None if the range is done.

        `before_batch` is called in the batch's transaction, before the statement. Raise BatchFailed for statement
        errors and psycopg.Error for all others. After an error, nothing in the batch is committed unless the connection
        was lost during the commit. In that case, the range's stored position shows the outcome.
        """
        with self._monitor.budget_enforced():
            try:
                with self._connection.transaction():
                    try:
                        batch = self._run_batch(stored_range, rows, before_batch)
                    finally:
                        # Neither the commit nor the rollback may be cancelled.
                        self._monitor.stop_enforcing()
            except (BatchFailed, psycopg.Error) as failure:
                over = self._monitor.waiter_over_budget
                if over is None:
                    raise
                diagnostic = failure.failure.diagnostic if isinstance(failure, BatchFailed) else None
                raise BatchFailed(over_budget_error(over, self._max_blocking_ms, diagnostic), rows, None) from failure
        return batch

    def _run_batch(self, stored_range: StoredRange, rows: int, before_batch: Callable[[], None] | None) -> Batch | None:
        started = time.perf_counter()
        self._connection.execute("SET LOCAL synchronous_commit = off")
        position = self._store.lock_range(stored_range.number)
        if position is None:
            return None
        chunk = KeysetCursor(self._connection, self._key, stored_range.end).next_chunk(position, rows)
        if chunk is None:
            self._store.advance_range(stored_range.number, None, source_rows=0, written_rows=0, busy_ms=0.0)
            return None
        # Count before the statement, because a DELETE leaves no rows to count.
        source_rows = rows if chunk.is_full else count_rows(self._connection, self._key, chunk.key_range)
        if before_batch is not None:
            before_batch()
        written_rows = self._execute(chunk.key_range, rows)
        duration_ms = (time.perf_counter() - started) * 1000
        self._store.advance_range(
            stored_range.number,
            chunk.next_position,
            source_rows=source_rows,
            written_rows=written_rows,
            busy_ms=duration_ms,
        )
        return Batch(
            range_number=stored_range.number,
            source_rows=source_rows,
            written_rows=written_rows,
            duration_ms=duration_ms,
            is_last=chunk.next_position is None,
        )

    def _execute(self, key_range: KeyRange, rows: int) -> int:
        (statement,) = self._step.statements
        predicate = self._key.predicate(key_range).as_string(self._connection)
        try:
            cursor = self._connection.execute(add_where(statement, predicate).encode())
        except psycopg.Error as error:
            diagnostic = batch_diagnostic(error, statement, self._step, predicate)
            raise BatchFailed(StepFailed(diagnostic, error.sqlstate), rows, key_range) from error
        return max(cursor.rowcount, 0)


def add_where(statement: Statement, condition: str) -> str:
    """Return a backfill statement with a condition in place of the batch placeholder."""
    return statement.text.replace(BATCH, _parenthesize(condition), 1)


def batch_diagnostic(
    error: psycopg.Error, statement: Statement, step: PlannedStep, condition: str, prefix: int = 0
) -> Diagnostic:
    """Return a failed batch's diagnostic, located in the file. The server's position refers to the text that was sent.

    `prefix` is the number of characters sent before the statement's own text.
    """
    position = int(error.diag.statement_position or 0) - 1 - prefix
    placeholder, growth = statement.text.index(BATCH), len(_parenthesize(condition)) - len(BATCH)
    shift = 0 if position < placeholder else min(growth, position - placeholder)
    return statement_diagnostic(error, statement, step.rendered, prefix=prefix + shift)


def _parenthesize(condition: str) -> str:
    return f"({condition})"


class BatchSizer:
    """Computes the next batch size from the rates of earlier batches. `target_ms` is the target duration of a batch.

    The rule and its weights come from measurements on PostgreSQL 15. The batch size reaches 80 % of the optimum within
    13 batches.
    """

    def __init__(self, rows: int, target_ms: float) -> None:
        self.rows = max(rows, 1)
        self._target_ms = target_ms
        self._rate: float | None = None

    def record(self, rows: int, duration_ms: float) -> None:
        """Record that a batch of `rows` rows took `duration_ms`.

        A fast batch that contains only the last few rows of a group is ignored, because it does not predict the rate of
        larger batches.
        """
        if rows < self.rows * _SHRINK and duration_ms < self._target_ms:
            return
        rate = max(rows, 1) / max(duration_ms, 0.001)
        if self._rate is None:
            self._rate = rate
        else:
            weight = _RISING if rate > self._rate else _FALLING
            self._rate += weight * (rate - self._rate)
        wanted = self._target_ms * self._rate
        self.rows = max(round(min(max(wanted, self.rows * _SHRINK), self.rows * _GROW)), 1)

    def halve(self) -> None:
        """Halve the batch size after a batch that was too large."""
        self.rows = max(self.rows // 2, 1)
