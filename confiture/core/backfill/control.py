"""Controls backfills from another terminal, or another host: what runs looks into the database before each batch."""

from __future__ import annotations

import time
from typing import Any

import psycopg

from confiture.core.backfill.capture import has_capture, remove_capture
from confiture.core.backfill.store import FillId, FillStore
from confiture.core.backfill.writes import LOCK_TIMEOUT_MS
from confiture.core.database import Connection, Database
from confiture.core.events import Emit
from confiture.core.failures import plain_failure
from confiture.core.lock import lock_key, project_lock
from confiture.core.queries import query
from confiture.core.state import StateStore
from confiture.core.upgrade import upgrade_history
from confiture.errors import DatabaseUnavailable, Diagnostic, InputError
from confiture.models.backfills import BackfillState
from confiture.models.history import HistoryKey

_TRIES, _WAIT_S = 20, 0.5


def backfills(connection: Connection, history: HistoryKey) -> tuple[BackfillState, ...]:
    """All backfills of a history, the oldest first."""
    if not StateStore(connection, history).has_backfills():
        return ()
    parameters = {**history.parameters, "key": lock_key(history)}
    rows: list[dict[str, Any]] = connection.execute(query("backfills"), parameters).fetchall()
    return tuple(BackfillState(**row) for row in rows)


def ask(connection: Connection, history: HistoryKey, version: str | None, control: str) -> BackfillState:
    """Asks a backfill to `run`, `pause` or `cancel`. Raises InputError where there is none, or several."""
    found = unfinished(connection, history, version)
    connection.execute(query("ask_backfill"), _id(history, found).parameters | {"control": control})
    return found


def unfinished(connection: Connection, history: HistoryKey, version: str | None) -> BackfillState:
    """The one backfill that is not done, or that of a version. Raises InputError."""
    open_ones = [
        one for one in backfills(connection, history) if one.state != "done" and version in (None, one.version)
    ]
    if len(open_ones) == 1:
        return open_ones[0]
    if not open_ones:
        of = f" of {version}" if version else ""
        raise InputError(
            Diagnostic(
                code="no-backfill",
                message=f"there is no unfinished backfill{of}",
                hint="`confiture backfill status --all` lists those that are done",
            )
        )
    versions = ", ".join(one.version for one in open_ones)
    raise InputError(
        Diagnostic(
            code="which-backfill", message=f"several backfills are unfinished: {versions}", hint="name the version"
        )
    )


def clean(connection: Connection, history: HistoryKey) -> int:
    """Takes away triggers that backfills left which are done. Returns of how many. Raises DatabaseUnavailable."""
    done = [
        one for one in backfills(connection, history) if one.state == "done" and has_capture(connection, one.number)
    ]
    for one in done:
        _remove_capture(connection, one.number)
    return len(done)


def _remove_capture(connection: Connection, number: int) -> None:
    """Drops triggers without keeping others waiting for long: they queue behind whoever waits for the lock."""
    connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}".encode())
    for _ in range(_TRIES):
        try:
            return remove_capture(connection, number)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            failure = error
            time.sleep(_WAIT_S)
    raise DatabaseUnavailable(plain_failure(failure, "the triggers of the backfill cannot be removed")) from failure


def withdraw(
    connection: Connection, database: Database, history: HistoryKey, backfill: BackfillState, emit: Emit, wait_ms: int
) -> None:
    """Takes back a backfill that no run is at: its triggers, its notes, what is known of its progress.

    The rows that it filled stay. Raises LockHeld where a run is at it after all.
    """
    with project_lock(database, history, "backfill cancel", wait_ms, emit, connection):
        state = StateStore(connection, history)
        upgrade_history(database, connection, state, "backfill cancel", wait_ms, emit)
        fill = _id(history, backfill)
        _remove_capture(connection, backfill.number)
        with connection.transaction():
            FillStore(connection, fill).forget()
            connection.execute(query("delete_journal"), fill.parameters)
            if backfill.segment == 1:
                # nothing else of its migration was committed
                connection.execute(query("delete_migration"), history.parameters | {"version": backfill.version})


def _id(history: HistoryKey, backfill: BackfillState) -> FillId:
    return FillId(history=history, attempt=backfill.attempt, segment=backfill.segment)
