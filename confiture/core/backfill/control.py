"""Controls backfills from another terminal, or another host: what runs looks into the database before each batch."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from confiture.core.backfill.backfill_store import BackfillId, BackfillStore
from confiture.core.backfill.capture import has_capture, remove_capture
from confiture.core.db.connection import QUEUE_LOCK_TIMEOUT_MS, Connection, ConnectionTarget, set_lock_timeout
from confiture.core.db.errors import LOCK_CONFLICTS, db_error_diagnostic
from confiture.core.db.history_schema import read_format
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.history_upgrade import upgrade_history
from confiture.core.db.migration_lock import acquire_migration_lock, lock_key
from confiture.core.db.queries import query
from confiture.core.db.retry import RetryPolicy
from confiture.errors import DatabaseUnavailable, Diagnostic, InputError
from confiture.models.backfills import BackfillState
from confiture.models.events import Emit
from confiture.models.history import HistoryKey

_REMOVAL_RETRIES = RetryPolicy(sqlstates=LOCK_CONFLICTS, retries=19, backoff_s=lambda _: 0.5)


def list_backfills(connection: Connection, history: HistoryKey) -> tuple[BackfillState, ...]:
    """All backfills of a history, the oldest first."""
    if not HistoryStore(connection, history).has_backfills():
        return ()
    parameters = {**history.parameters, "key": lock_key(history)}
    rows: list[dict[str, Any]] = connection.execute(query("backfills"), parameters).fetchall()
    for row in rows:
        for name in ("started_at", "finished_at"):
            row[name] = row[name] and datetime.fromisoformat(row[name])
    return tuple(BackfillState(**row) for row in rows)


def request_control(connection: Connection, history: HistoryKey, version: str | None, control: str) -> BackfillState:
    """Asks a backfill to `run`, `pause` or `cancel`. Raises InputError where there is none, or several."""
    found = find_unfinished(connection, history, version)
    connection.execute(query("ask_backfill"), _build_id(history, found).parameters | {"control": control})
    return found


def find_unfinished(connection: Connection, history: HistoryKey, version: str | None) -> BackfillState:
    """The one backfill that is not done, or that of a version. Raises InputError."""
    # not only to look at it
    read_format(connection)
    open_ones = [
        one for one in list_backfills(connection, history) if one.state != "done" and version in (None, one.version)
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


def clean_up_triggers(connection: Connection, history: HistoryKey) -> int:
    """Takes away triggers that backfills left which are done. Returns of how many. Raises DatabaseUnavailable."""
    done = [
        one
        for one in list_backfills(connection, history)
        if one.state == "done" and has_capture(connection, one.number)
    ]
    for one in done:
        _remove_capture_with_retries(connection, one.number)
    return len(done)


def _remove_capture_with_retries(connection: Connection, number: int) -> None:
    """Drops triggers without keeping others waiting for long: they queue behind the session that waits for the lock."""
    set_lock_timeout(connection, QUEUE_LOCK_TIMEOUT_MS)
    try:
        _REMOVAL_RETRIES.run(lambda: remove_capture(connection, number))
    except psycopg.Error as error:
        if not _REMOVAL_RETRIES.is_retryable(error.sqlstate):
            raise
        raise DatabaseUnavailable(
            db_error_diagnostic(error, "the triggers of the backfill cannot be removed")
        ) from error


def abandon(
    connection: Connection,
    database: ConnectionTarget,
    history: HistoryKey,
    backfill: BackfillState,
    emit: Emit,
    wait_ms: int,
) -> None:
    """Takes back a backfill that no run is at: its triggers, its notes, what is known of its progress.

    The rows that it filled stay. Raises LockHeld where a run is at it after all.
    """
    with acquire_migration_lock(database, history, "backfill cancel", wait_ms, emit, connection):
        state = HistoryStore(connection, history)
        upgrade_history(database, connection, state, "backfill cancel", wait_ms, emit)
        fill = _build_id(history, backfill)
        _remove_capture_with_retries(connection, backfill.number)
        with connection.transaction():
            BackfillStore(connection, fill).delete()
            connection.execute(query("delete_journal"), fill.parameters)
            if backfill.segment == 1:
                # nothing else of its migration was committed
                connection.execute(query("delete_migration"), history.parameters | {"version": backfill.version})


def _build_id(history: HistoryKey, backfill: BackfillState) -> BackfillId:
    return BackfillId(history=history, attempt=backfill.attempt, segment=backfill.segment)
