"""Refill the rows that other sessions wrote while the batches ran, until the change log is empty.

Each drain removes log entries, deletes the rows with the logged keys and fills those keys again, in one READ COMMITTED
transaction. The refill statement sees every write whose log entry was removed. A write that commits later leaves an
entry for the next drain. The last drain briefly locks out writers so that no entries remain afterwards.
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
"""The maximum number of log entries in one drain."""
_ALL_NOTES = 1_000_000
_LAST_NOTES, _FEW_NOTES = 500, 20
"""The last drain starts when at most this many entries are left, because writers must wait while it runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterWaitLimit:
    """The time limit for locking out writers. It ends at `deadline`; None means no limit."""

    deadline: float | None = None

    @classmethod
    def start(cls, limit_ms: int) -> WriterWaitLimit:
        """Start the time limit now; 0 means no limit."""
        return cls(deadline=time.perf_counter() + limit_ms / 1000 if limit_ms else None)

    def apply_statement_timeout(self, connection: Connection) -> None:
        """Set the timeout before each statement in a transaction. Raise QueryCanceled after the deadline."""
        if self.deadline is None:
            return
        remaining_ms = (self.deadline - time.perf_counter()) * 1000
        if remaining_ms < 1:
            raise psycopg.errors.QueryCanceled("the last drain took longer than max_blocking")
        connection.execute(f"SET LOCAL statement_timeout = {int(remaining_ms)}".encode())


def ensure_captured(context: BackfillContext, capture: ChangeCapture, tables: Sequence[CapturedTable]) -> None:
    """Raise StepFailed if writes may have been missed because triggers are missing, or were changed or disabled."""
    ensure_partitions_kept(context, capture, tables)
    missing = [str(table.name) for table in tables if not capture.is_installed(table)]
    if not missing and capture.is_unchanged():
        return
    message = "the triggers that capture concurrent writes were changed or disabled while the backfill ran"
    if missing:
        message = f"the triggers that capture concurrent writes are missing or disabled on {', '.join(missing)}"
    hint = f"run `confiture backfill cancel`, empty {context.backfill.into}, and run again"
    raise backfill_error(context.step, "capture-lost", message, hint)


def ensure_partitions_kept(context: BackfillContext, capture: ChangeCapture, tables: Sequence[CapturedTable]) -> None:
    """Raise StepFailed if partitions were removed, because the keys of their rows can no longer be determined."""
    if capture.stored_partitions() - capture.leaf_partitions(tables).keys():
        raise backfill_error(
            context.step,
            "partitions-changed",
            "partitions of a table that the backfill reads were detached or dropped during it, and the rows filled"
            " from them are still in the target",
            f"run `confiture backfill cancel`, TRUNCATE {quote_table(context.backfill.into)}, and run again",
        )


class _Paused(Exception):
    """A pause or cancel was requested while the last drain ran."""


class ChangeDrain:
    """Runs the drains of one backfill in sequence over the run's own connection, which is in autocommit mode."""

    def __init__(self, context: BackfillContext, capture: ChangeCapture) -> None:
        self._context = context
        self._connection = context.connection
        self._capture = capture
        self.refilled_writes = 0
        """The number of log entries applied."""
        self._retry_policy = RetryPolicy(sqlstates=_RETRYABLE, retries=context.settings.retries)
        self._notes_left = _LAST_NOTES
        """The last drain starts when at most this many entries are left; each failed attempt lowers the number."""
        self._needs_clearing = False
        """Whether a drain first deletes the rows for all entries, because rows for different entries conflicted."""

    def run(self, tables: Sequence[CapturedTable]) -> float:
        """Drain until no entries are left, then finish the backfill.

        Return the milliseconds for which writers were locked out, including the wait for the lock, because writers
        queue behind it. Raise StepFailed, psycopg.Error and BackfillCancelled.
        """
        try:
            return self._retry_policy.run(partial(self._drain_all, tables), self._leave_fewer_notes)
        except (psycopg.Error, StepFailed) as error:
            if not self._retry_policy.is_retryable(error.sqlstate):
                raise
            raise self._gave_up_error(error) from error

    def _leave_fewer_notes(self, _: Retry) -> None:
        """Lower the number of entries left for the last drain after a failed attempt."""
        self._notes_left = max(self._notes_left // 2, _FEW_NOTES)

    def _drain_all(self, tables: Sequence[CapturedTable]) -> float:
        try:
            return self._drain_until_empty(tables)
        except (psycopg.Error, StepFailed) as error:
            is_self_conflict = error.sqlstate in KEY_CONFLICTS and self._context.backfill.target_columns
            if not is_self_conflict or self._needs_clearing:
                raise
            self._needs_clearing = True
        return self._drain_until_empty(tables)

    def _drain_until_empty(self, tables: Sequence[CapturedTable]) -> float:
        self._context.heartbeat.beat_if_due()
        self._capture_new_partitions(tables)
        while self._drain_once() > self._notes_left:
            self._context.heartbeat.beat_if_due(self._status_text())
        try:
            return self._drain_under_lock(tables)
        except _Paused:
            self._context.heartbeat.wait_while_paused()
            return self._drain_until_empty(tables)

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
            started = time.perf_counter()
            # Start the limit here, because sessions already queue behind one table's lock during the wait for the next
            # lock.
            limit = WriterWaitLimit.start(budget_ms)
            limit.apply_statement_timeout(self._connection)
            if tables:
                self._connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))
            if self._capture.leaf_partitions(tables).keys() != self._capture.stored_partitions():
                raise psycopg.errors.LockNotAvailable("the partitions of a table have just changed")
            while self._apply_changes(_ALL_NOTES, limit):
                pass
            limit.apply_statement_timeout(self._connection)
            ensure_captured(self._context, self._capture, tables)
            if not self._context.store.mark_finished():
                raise _Paused
        return (time.perf_counter() - started) * 1000

    def _capture_new_partitions(self, tables: Sequence[CapturedTable]) -> None:
        """Capture the rows of partitions attached since the backfill started.

        Raise StepFailed if partitions were removed, because the keys of their rows can no longer be determined.
        """
        ensure_partitions_kept(self._context, self._capture, tables)
        leaves, stored = self._capture.leaf_partitions(tables), self._capture.stored_partitions()
        if leaves.keys() - stored:
            ensure_captured(self._context, self._capture, tables)
            with self._connection.transaction():
                for oid in leaves.keys() - stored:
                    self._capture.capture_all_rows(leaves[oid])
                self._capture.store_state(leaves)

    def _gave_up_error(self, error: psycopg.Error | StepFailed) -> StepFailed:
        message = error.diagnostic.message if isinstance(error, StepFailed) else str(error).strip()
        return backfill_error(
            self._context.step,
            "not-drained",
            f"concurrent changes could not be applied in {self._retry_policy.retries} attempts; last error: {message}",
            "find a long-running transaction with `confiture locks`, then run `confiture migrate up` to continue",
        )

    def _status_text(self) -> str:
        return f"applying concurrent changes, {pluralize(self.refilled_writes, 'write')} so far"

    def _apply_changes(self, notes: int, limit: WriterWaitLimit) -> int:
        """Refill the keys of up to `notes` log entries. Return the number of entries processed."""
        limit.apply_statement_timeout(self._connection)
        try:
            entries, keys = self._capture.pop_keys(notes)
        except SourceTruncated as error:
            raise backfill_error(
                self._context.step,
                "source-truncated",
                "a table that the backfill reads was truncated while it ran",
                f"run `confiture backfill cancel`, TRUNCATE {quote_table(self._context.backfill.into)}, and run again",
            ) from error
        if keys:
            self._refill(keys, limit)
        self.refilled_writes += entries
        return entries

    def _refill(self, keys: Sequence[KeyValues], limit: WriterWaitLimit) -> None:
        """Delete the target rows for some keys and fill them again; keys that no longer exist stay deleted."""
        context = self._context
        names = context.target_key
        if names is not None:
            own = own_rows_predicate(self._connection, context.backfill, context.into)
            if self._needs_clearing:
                self._capture.delete_captured_rows(context.into, names, own)
            limit.apply_statement_timeout(self._connection)
            is_stale = self._capture.keys_predicate(keys, [sql.Identifier("t", name) for name in names])
            self._connection.execute(
                sql.SQL("DELETE FROM {} AS t WHERE {} AND {}").format(sql.Identifier(*context.into), is_stale, own)
            )
        columns = [context.key.column(place) for place in range(len(context.key))]
        condition = self._capture.keys_predicate(keys, columns).as_string(self._connection)
        (statement,) = context.step.statements
        limit.apply_statement_timeout(self._connection)
        try:
            self._connection.execute(add_where(statement, condition).encode())
        except psycopg.Error as error:
            raise StepFailed(batch_diagnostic(error, statement, context.step, condition), error.sqlstate) from error
