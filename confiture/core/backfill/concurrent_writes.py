"""Handle concurrent writes to the tables that a backfill reads: capture them, or stop the backfill if any occur."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import psycopg

from confiture.core.backfill.backfill_source import backfill_error
from confiture.core.backfill.batch_key import BatchKey
from confiture.core.backfill.capture import CapturedTable, ChangeCapture, remove_capture
from confiture.core.backfill.change_drain import ChangeDrain, ensure_captured
from confiture.core.backfill.context import BackfillContext, ClearFactory
from confiture.core.backfill.source_tables import (
    check_rows_replaceable,
    own_rows_predicate,
    resolve_source_tables,
    tables_to_capture,
)
from confiture.core.db.connection import QUEUE_LOCK_TIMEOUT_MS, Connection, fetch_named_row, set_lock_timeout
from confiture.core.db.errors import LOCK_CONFLICTS, StepFailed, db_error_diagnostic
from confiture.core.db.queries import query
from confiture.core.db.retry import RetryPolicy
from confiture.errors import DatabaseUnavailable
from confiture.models.catalog import QualifiedName
from confiture.models.events import Notice
from confiture.models.migration import OnConcurrentWrites
from confiture.models.plan import PlannedBackfill, PlannedStep
from confiture.text import pluralize

_TRIAL_NUMBER = 0
"""No backfill has this number."""
_STOP_WRITERS = "use `on_writes: capture`, or stop the writers; then delete the filled rows, and run again"


class ConcurrentWritePolicy(ABC):
    """A policy for handling concurrent writes during a backfill."""

    clear_factory: ClearFactory | None = None
    """A factory of functions that delete stale target rows before a refill; None if the target key is unknown."""

    @abstractmethod
    def prepare(self) -> None:
        """Do the preparations for the first batch. May be called again after a crash."""

    @abstractmethod
    def finish(self) -> str | None:
        """Finish the backfill after the last batch. Return a note for the user, or None."""

    def ensure_installed(self) -> None:  # noqa: B027 - most policies have nothing to do
        """Check on resuming that everything created by `prepare` still exists. Raise StepFailed otherwise."""

    def poll(self) -> None:  # noqa: B027
        """Check about once a second whether the backfill can continue. Raise StepFailed otherwise."""

    def remove_triggers(self) -> None:  # noqa: B027
        """Remove the triggers and tables created by `prepare`, if they exist."""


class CaptureWrites(ConcurrentWritePolicy):
    """A policy that captures the keys that other sessions write, and refills them before the backfill ends."""

    def __init__(self, context: BackfillContext, tables: Sequence[CapturedTable]) -> None:
        self._context = context
        self._capture = ChangeCapture(context.connection, context.number, context.key)
        self._drain = ChangeDrain(context, self._capture)
        self._tables = tables
        self._retry_policy = RetryPolicy(sqlstates=LOCK_CONFLICTS, retries=context.settings.retries)
        names = context.target_key
        self.clear_factory = None if names is None else partial(self._make_clear, names)

    def _make_clear(self, names: Sequence[str], connection: Connection) -> Callable[[], None]:
        context = self._context
        capture = ChangeCapture(connection, context.number, context.key)
        own = own_rows_predicate(connection, context.backfill, context.into)
        return partial(capture.delete_captured_rows, context.into, names, own)

    def prepare(self) -> None:
        context = self._context
        check_rows_replaceable(context.connection, context.step, context.backfill, context.into)
        set_lock_timeout(context.connection, QUEUE_LOCK_TIMEOUT_MS)
        self._run_with_retries(self._capture.create_log_table)
        for place, table in enumerate(self._tables):
            self._context.heartbeat.beat_if_due()
            self._run_with_retries(partial(self._install, table, place))
        self._capture.store_state(self._capture.leaf_partitions(self._tables))

    def _install(self, table: CapturedTable, position: int) -> None:
        with self._context.connection.transaction():
            self._capture.install(table, position)

    def ensure_installed(self) -> None:
        ensure_captured(self._context, self._capture, self._tables)

    def poll(self) -> None:
        ensure_captured(self._context, self._capture, self._tables)

    def finish(self) -> str | None:
        self._context.store.mark_draining()
        locked_ms = self._drain.run(self._tables)
        refilled = self._drain.refilled_writes
        applied = f"{pluralize(refilled, 'concurrent write')} applied; " if refilled else ""
        return f"{applied}writers were blocked for {locked_ms:.0f} ms at the end"

    def remove_triggers(self) -> None:
        connection = self._context.connection
        try:
            set_lock_timeout(connection, QUEUE_LOCK_TIMEOUT_MS)
            self._run_with_retries(lambda: remove_capture(connection, self._context.number))
        except (StepFailed, psycopg.Error) as error:
            hint = "`confiture backfill clean` removes them"
            self._context.emit(Notice(text=f"the backfill's triggers could not be removed: {error}; {hint}"))

    def _run_with_retries(self, action: Callable[[], None]) -> None:
        """Run an action with retries and short lock timeouts. Raise StepFailed."""
        with _capture_errors_translated():
            self._retry_policy.run(action)


class ForbidWrites(ConcurrentWritePolicy):
    """A policy that stops the backfill if the server's statistics show writes, which `on_writes: ignore` forbids."""

    def __init__(self, context: BackfillContext) -> None:
        self._context = context
        tables = resolve_source_tables(context.connection, context.step)
        self._tables = [table.oid for table in tables if table.name != context.into]
        self._written_before = context.store.load_written_rows()

    def prepare(self) -> None:
        # An earlier migration in this run may have just written to these tables; that is not a concurrent write.
        self._context.connection.execute(query("flush_statistics"))
        self._written_before = self._count_written_rows()
        self._context.store.store_written_rows(self._written_before)

    def poll(self) -> None:
        rows = self._count_written_rows() - (self._written_before or 0)
        if rows > 0:
            raise backfill_error(
                self._context.step,
                "source-written",
                f"other sessions wrote {pluralize(rows, 'row')} to the tables that the backfill reads:"
                " the backfill's result would not include these rows",
                _STOP_WRITERS,
            )

    def finish(self) -> str | None:
        # Statistics count only committed writes.
        self._reject_open_writers()
        self.poll()
        while not self._context.store.mark_finished():
            self._context.heartbeat.wait_while_paused()
        return None

    def _reject_open_writers(self) -> None:
        rows = self._context.connection.execute(query("open_writers"), {"tables": self._tables}).fetchall()
        if rows:
            others = ", ".join(f"{row['who']} writes to {row['table']}" for row in rows)
            raise backfill_error(
                self._context.step,
                "source-written",
                f"other sessions have uncommitted writes to tables that the backfill reads: {others}",
                _STOP_WRITERS,
            )

    def _count_written_rows(self) -> int:
        return int(fetch_named_row(self._context.connection, "written_so_far", tables=self._tables)["rows"])


def check_capture(
    connection: Connection,
    step: PlannedStep,
    backfill: PlannedBackfill,
    key: BatchKey,
    into: QualifiedName,
    tables: Sequence[CapturedTable],
) -> None:
    """Raise StepFailed if writes to the tables cannot be captured: start to capture them, and roll that back at once.

    Must be called in a transaction. The rollback to a savepoint releases the locks.
    """
    check_rows_replaceable(connection, step, backfill, into)
    capture = ChangeCapture(connection, _TRIAL_NUMBER, key)
    with _capture_errors_translated(), connection.transaction(force_rollback=True):
        set_lock_timeout(connection, QUEUE_LOCK_TIMEOUT_MS, local=True)
        capture.create_log_table()
        for position, table in enumerate(tables):
            capture.install(table, position)
        capture.store_state(capture.leaf_partitions(tables))


@contextmanager
def _capture_errors_translated() -> Iterator[None]:
    """Raise StepFailed if the tables, functions and triggers that capture writes cannot be created."""
    try:
        yield
    except DatabaseUnavailable as error:
        raise StepFailed(error.diagnostics[0], None) from error
    except psycopg.Error as error:
        diagnostic = db_error_diagnostic(error, "concurrent writes cannot be captured")
        raise StepFailed(diagnostic, error.sqlstate) from error


def make_write_policy(context: BackfillContext) -> ConcurrentWritePolicy:
    """Return a backfill's policy for concurrent writes. Raise StepFailed if they cannot be captured."""
    if context.backfill.on_writes is OnConcurrentWrites.IGNORE:
        return ForbidWrites(context)
    return CaptureWrites(
        context, tables_to_capture(context.connection, context.step, context.backfill, context.key, context.into)
    )
