"""Says what a failed run left behind, and what to do next."""

from __future__ import annotations

import time

import psycopg

from confiture.core.database import Connection, Database, one_row
from confiture.core.failures import plain_failure
from confiture.core.runner import Progress
from confiture.core.state import StateStore
from confiture.core.steps import StepFailed
from confiture.errors import (
    CheckFailed,
    ConfitureError,
    DatabaseUnavailable,
    Diagnostic,
    MigrationFailed,
    MigrationStopped,
)

_BACKEND_WAIT_S = 5.0
_POLL_S = 0.25


def explain_failure(
    error: BaseException, progress: Progress | None, database: Database, connection: Connection
) -> ConfitureError:
    """The error that a user is told. Where the connection is lost, asks the database over a new one what committed."""
    diagnostic = _diagnostic(error)
    if progress is None:
        return MigrationFailed(diagnostic)
    if connection.closed:
        return _after_lost_connection(diagnostic, progress, database, connection)
    if progress.committed:
        return MigrationStopped(diagnostic)
    if isinstance(error, StepFailed) and error.sqlstate is None:
        return CheckFailed(diagnostic)
    return MigrationFailed(diagnostic)


def _diagnostic(error: BaseException) -> Diagnostic:
    if isinstance(error, StepFailed):
        return error.diagnostic
    if isinstance(error, psycopg.Error):
        return plain_failure(error, "the transaction could not be committed")
    return Diagnostic(code="interrupted", message="interrupted")


def _after_lost_connection(
    diagnostic: Diagnostic, progress: Progress, database: Database, lost: Connection
) -> ConfitureError:
    segment = progress.plan.segments[progress.committed]
    try:
        committed = _segment_committed(progress, segment.number, database, lost.info.backend_pid)
    except (psycopg.Error, DatabaseUnavailable):
        committed = None
    if committed is None:
        unknown = Diagnostic(
            code="outcome-unknown",
            message=f"the connection is lost, and whether {progress.plan.migration.label} committed cannot be asked",
            hint="once the database is back: `confiture migrate status`",
        )
        return MigrationStopped(diagnostic, unknown)
    if committed:
        progress.committed += 1
        came = Diagnostic(
            code="committed",
            message="the connection was lost after the commit: what ran is committed",
            hint="`confiture migrate up` goes on from there",
        )
        return MigrationStopped(diagnostic, came)
    return MigrationStopped(diagnostic) if progress.committed else MigrationFailed(diagnostic)


def _segment_committed(progress: Progress, number: int, database: Database, pid: int) -> bool | None:
    """Whether a segment is in the journal, asked once the lost session has ended; None while it has not."""
    connection = database.connect("after a lost connection")
    try:
        deadline = time.monotonic() + _BACKEND_WAIT_S
        while _alive(connection, pid):
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_S)
        state = StateStore(connection)
        entry = state.journal(progress.attempt).get(number) if state.installed() else None
        return entry is not None and entry.state.value == "done"
    finally:
        connection.close()


def _alive(connection: Connection, pid: int) -> bool:
    return bool(one_row(connection, "backend_alive", pid=pid)["alive"])
