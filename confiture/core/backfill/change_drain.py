"""Fills again what others wrote while the batches ran, until nothing is left of it.

Each drain takes notes, and what they are about is deleted and made anew, in one READ COMMITTED transaction: the
statement that makes it sees every write whose note was taken, and a write that commits later leaves its note for the
next drain. The last one keeps writers out for a moment, so that nothing is left after it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg import sql

from confiture.core.backfill.backfill_source import backfill_error
from confiture.core.backfill.batch_key import KeyValues
from confiture.core.backfill.batches import add_where, batch_diagnostic
from confiture.core.backfill.capture import CapturedTable, ChangeCapture, SourceTruncated
from confiture.core.backfill.context import BackfillContext
from confiture.core.backfill.source_tables import own_rows_predicate
from confiture.core.db.connection import QUEUE_LOCK_TIMEOUT_MS, Connection, set_lock_timeout
from confiture.core.db.errors import (
    KEY_CONFLICTS,
    LOCK_CONFLICTS,
    QUERY_CANCELED,
    SERIALIZATION_FAILURE,
    StepFailed,
)
from confiture.core.db.queries import quote_table
from confiture.core.db.retry import Retry, RetryPolicy
from confiture.text import pluralize

_RETRYABLE = LOCK_CONFLICTS | {SERIALIZATION_FAILURE, QUERY_CANCELED}
_NOTES = 2_000
"""How many notes one drain takes."""
_ALL_NOTES = 1_000_000
_LAST_NOTES, _FEW_NOTES = 500, 20
"""The last drain begins when no more than these are left: others wait for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterWaitLimit:
    """How long a drain may keep writers out: until `deadline`, None for as long as it takes."""

    deadline: float | None = None

    @classmethod
    def start(cls, limit_ms: int) -> WriterWaitLimit:
        """From now on; 0 for as long as it takes."""
        return cls(deadline=time.perf_counter() + limit_ms / 1000 if limit_ms else None)

    def apply_statement_timeout(self, connection: Connection) -> None:
        """Called before each statement, in a transaction. Raises QueryCanceled after the deadline."""
        if self.deadline is None:
            return
        left_ms = (self.deadline - time.perf_counter()) * 1000
        if left_ms < 1:
            raise psycopg.errors.QueryCanceled("the last drain took longer than max_blocking")
        connection.execute(f"SET LOCAL statement_timeout = {int(left_ms)}".encode())


class ChangeDrain:
    """The drains of one backfill, one after the other, over the run's own connection (in autocommit)."""

    def __init__(self, context: BackfillContext, capture: ChangeCapture) -> None:
        self._context = context
        self._connection = context.connection
        self._capture = capture
        self.refilled_writes = 0
        """How many notes were taken."""
        self._retry_policy = RetryPolicy(sqlstates=_RETRYABLE, retries=context.settings.retries)
        self._notes_left = _LAST_NOTES
        """The last drain begins when no more notes than these are left; fewer after each failure of it."""
        self._needs_clearing = False
        """Whether a drain deletes the rows of all notes first: those of one were in the way of another's."""

    def run(self, tables: Sequence[CapturedTable]) -> float:
        """Drains until nothing is left, and ends the backfill. Returns for how many milliseconds writers were kept out,
        the wait for the lock included: they queue behind it.

        Raises StepFailed, psycopg.Error and Cancelled.
        """
        try:
            return self._retry_policy.run(partial(self._drain_all, tables), self._leave_fewer_notes)
        except (psycopg.Error, StepFailed) as error:
            if not self._retry_policy.is_retryable(error.sqlstate):
                raise
            raise self._gave_up_error(error) from error

    def _leave_fewer_notes(self, _: Retry) -> None:
        """What was too much for the last drain is not left to it again."""
        self._notes_left = max(self._notes_left // 2, _FEW_NOTES)

    def _drain_all(self, tables: Sequence[CapturedTable]) -> float:
        try:
            return self._drain_until_empty(tables)
        except (psycopg.Error, StepFailed) as error:
            is_in_own_way = error.sqlstate in KEY_CONFLICTS and self._context.backfill.target_columns
            if not is_in_own_way or self._needs_clearing:
                raise
            self._needs_clearing = True
        return self._drain_until_empty(tables)

    def _drain_until_empty(self, tables: Sequence[CapturedTable]) -> float:
        self._context.heartbeat.beat_if_due()
        self._capture_new_partitions(tables)
        while self._drain_once() > self._notes_left:
            self._context.heartbeat.beat_if_due(self._status_text())
        return self._drain_under_lock(tables)

    def _drain_once(self) -> int:
        with self._connection.transaction():
            self._connection.execute("SET LOCAL confiture.filling = 'on'")
            return self._apply_changes(_NOTES, WriterWaitLimit())

    def _drain_under_lock(self, tables: Sequence[CapturedTable]) -> float:
        budget_ms = self._context.settings.max_blocking_ms
        lock_timeout_ms = min(QUEUE_LOCK_TIMEOUT_MS, max(budget_ms // 2, 1)) if budget_ms else QUEUE_LOCK_TIMEOUT_MS
        with self._connection.transaction():
            self._connection.execute("SET LOCAL confiture.filling = 'on'")
            set_lock_timeout(self._connection, lock_timeout_ms, local=True)
            names = sql.SQL(", ").join(sql.Identifier(*table.name) for table in tables)
            asked = time.perf_counter()
            # from here on: who waits behind the lock of one table waits while that of the next is waited for
            limit = WriterWaitLimit.start(budget_ms)
            limit.apply_statement_timeout(self._connection)
            if tables:
                self._connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))
            if self._capture.leaf_partitions(tables).keys() != self._capture.stored_partitions():
                raise psycopg.errors.LockNotAvailable("the partitions of a table have changed just now")
            while self._apply_changes(_ALL_NOTES, limit):
                pass
            limit.apply_statement_timeout(self._connection)
            self._context.store.mark_finished()
        return (time.perf_counter() - asked) * 1000

    def _capture_new_partitions(self, tables: Sequence[CapturedTable]) -> None:
        """Notes what came with partitions that were attached meanwhile. Raises StepFailed where some are gone, and with
        them what could tell their keys.
        """
        leaves, known = self._capture.leaf_partitions(tables), self._capture.stored_partitions()
        if known - leaves.keys():
            raise backfill_error(
                self._context.step,
                "partitions-changed",
                "partitions of a table that the backfill reads were detached or dropped meanwhile, and what was filled"
                " from them is still there",
                f"`confiture backfill cancel`, TRUNCATE {quote_table(self._context.backfill.into)}, and run again",
            )
        if leaves.keys() - known:
            with self._connection.transaction():
                for oid in leaves.keys() - known:
                    self._capture.capture_all_rows(leaves[oid])
                self._capture.store_partitions(leaves)

    def _gave_up_error(self, error: psycopg.Error | StepFailed) -> StepFailed:
        told = error.diagnostic.message if isinstance(error, StepFailed) else str(error).strip()
        return backfill_error(
            self._context.step,
            "not-drained",
            f"what others wrote could not be brought in: {self._retry_policy.retries} times, the last: {told}",
            "look with `confiture locks` for a transaction that stays open there; `confiture migrate up` goes on",
        )

    def _status_text(self) -> str:
        return f"fills again what others wrote, {pluralize(self.refilled_writes, 'write')} so far"

    def _apply_changes(self, notes: int, limit: WriterWaitLimit) -> int:
        """Fills again what up to `notes` notes are about; returns how many there were."""
        limit.apply_statement_timeout(self._connection)
        try:
            taken, keys = self._capture.pop_keys(notes)
        except SourceTruncated as error:
            raise backfill_error(
                self._context.step,
                "source-truncated",
                "a table that the backfill reads was truncated meanwhile",
                f"`confiture backfill cancel`, TRUNCATE {quote_table(self._context.backfill.into)}, and run again",
            ) from error
        if keys:
            self._refill(keys, limit)
        self.refilled_writes += taken
        return taken

    def _refill(self, keys: Sequence[KeyValues], limit: WriterWaitLimit) -> None:
        """Makes anew what belongs to some keys; of keys that are gone, nothing comes back."""
        work = self._context
        names = work.target_key
        if names is not None:
            own = own_rows_predicate(self._connection, work.backfill, work.into)
            if self._needs_clearing:
                self._capture.delete_captured_rows(work.into, names, own)
            limit.apply_statement_timeout(self._connection)
            gone = self._capture.keys_predicate(keys, [sql.Identifier("t", name) for name in names])
            self._connection.execute(
                sql.SQL("DELETE FROM {} AS t WHERE {} AND {}").format(sql.Identifier(*work.into), gone, own)
            )
        read = [work.key.column(place) for place in range(len(work.key))]
        condition = self._capture.keys_predicate(keys, read).as_string(self._connection)
        (statement,) = work.step.statements
        limit.apply_statement_timeout(self._connection)
        try:
            self._connection.execute(add_where(statement, condition).encode())
        except psycopg.Error as error:
            raise StepFailed(batch_diagnostic(error, statement, work.step, condition), error.sqlstate) from error
