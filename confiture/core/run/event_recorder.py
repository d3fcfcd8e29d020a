"""Record the events of a run in the history: over the run's connection, and failures over another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import psycopg

from confiture.core.db.connection import READ_LOCK_TIMEOUT_MS, Connection, set_lock_timeout
from confiture.core.db.errors import first_line
from confiture.core.db.event_log import NewEvent
from confiture.core.db.identity_store import IdentityStore
from confiture.core.db.migration_lock import MigrationLock
from confiture.core.run.context import MigrationProgress, RunContext
from confiture.core.run.failure_report import ActualProgress
from confiture.errors import ConfitureError, MigrationStopped
from confiture.models.events import Notice
from confiture.models.history import HISTORY_LOST
from confiture.models.history_events import HistoryEventKind
from confiture.models.plan import Plan
from confiture.models.predictions import Prediction

_FAILURES = (psycopg.Error, ConfitureError, KeyboardInterrupt)


class EventRecorder:
    """Records the events of one run's plan. `predictions` come from dry runs, by version."""

    def __init__(self, context: RunContext, plan: Plan, predictions: Mapping[str, Prediction]) -> None:
        self._context = context
        self._log = context.log
        self._plan = plan
        self._predictions = predictions
        self._identity = IdentityStore(context.connection)
        self._log.wait()

    def record_plan(self) -> None:
        """Record what is about to run, and the identity of the database."""
        self._identity.record(self._context.settings)
        self._log.record_planned(self._context.connection, self._plan)

    def record(self, kind: HistoryEventKind, progress: MigrationProgress, duration_ms: float | None = None) -> None:
        """Record an event of a migration. Without `duration_ms`, it is that of the attempt's segments."""
        self._log.record(self._context.connection, self._build_event(kind, progress, duration_ms))

    def applied_parameters(self, progress: MigrationProgress, duration_ms: float) -> dict[str, Any]:
        """Return the event of a migration that is applied in one segment, as parameters for `record_applied`."""
        event = self._build_event(HistoryEventKind.APPLIED, progress, duration_ms)
        return self._log.parameters(self._context.connection, event)

    def record_schema(self) -> None:
        """Record the schema that unqualified names resolve to, if the open transaction has changed it."""
        self._identity.record_schema(self._context.settings.history)

    def record_failure(
        self,
        failure: ConfitureError,
        actual: ActualProgress,
        duration_ms: float,
        lock: MigrationLock,
        *,
        was_installed: bool,
    ) -> None:
        """Record that a migration failed or stopped, after the rollback. Report it if that is not possible.

        Record nothing if no migration was under way, or if the last one was applied. Use the connection that holds the
        lock; if it is lost, another one. If this is the first run of all, create the tables.
        """
        progress = actual.progress
        if progress is None or progress.is_whole:
            return
        kind = HistoryEventKind.STOPPED if isinstance(failure, MigrationStopped) else HistoryEventKind.FAILED
        details = self._log.describe_failure(failure.diagnostics)
        event = self._build_event(kind, progress, duration_ms, details)

        def insert(connection: Connection) -> None:
            set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
            store = self._context.store.with_connection(connection)
            with connection.transaction():
                if not was_installed and not store.is_current():
                    store.install()
                    IdentityStore(connection).record(self._context.settings)
                    self._log.record_planned(connection, self._plan)
                self._log.record(connection, event)

        if any(diagnostic.code == HISTORY_LOST for diagnostic in failure.diagnostics):
            problem: str | None = "the history tables are damaged"
        elif not actual.is_known:
            problem = "the connection was lost"
        else:
            problem = self._try_both(insert, lock.connection)
        if problem is not None:
            label = progress.plan.migration.label
            text = (
                f"the history does not contain the event {kind} of {label}, because it could not be written: {problem}"
            )
            self._context.emit(Notice(text=text))

    def _try_both(self, insert: Callable[[Connection], None], lock_connection: Connection) -> str | None:
        """Insert over the connection that holds the lock, or over a new one. Return why neither is possible."""
        try:
            insert(lock_connection)
            return None
        except _FAILURES as error:
            if not lock_connection.closed:
                return _describe(error)
        try:
            with closing(self._context.target.connect("after a lost connection")) as connection:
                insert(connection)
        except _FAILURES as error:
            return _describe(error)
        return None

    def _build_event(
        self,
        kind: HistoryEventKind,
        progress: MigrationProgress,
        duration_ms: float | None,
        details: Mapping[str, Any] | None = None,
    ) -> NewEvent:
        plan = progress.plan
        segments = {"segments": len(plan.segments), "committed_segments": progress.committed_segments}
        is_applied = kind is HistoryEventKind.APPLIED
        return NewEvent(
            kind=kind,
            plan=plan,
            attempt=progress.attempt,
            prediction=self._predictions.get(plan.version) if is_applied else None,
            duration_ms=duration_ms,
            details={"direction": plan.direction.value, **segments, **(details or {})},
        )


def _describe(error: BaseException) -> str:
    if isinstance(error, psycopg.Error):
        return first_line(error)
    return error.diagnostics[0].message if isinstance(error, ConfitureError) else "interrupted"
