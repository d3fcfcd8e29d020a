"""Control backfills from another terminal or host. A running backfill polls the database for requests."""

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
    """Return all backfills in a history, oldest first."""
    if not HistoryStore(connection, history).has_backfills():
        return ()
    parameters = {**history.parameters, "key": lock_key(history)}
    rows: list[dict[str, Any]] = connection.execute(query("backfills"), parameters).fetchall()
    for row in rows:
        for name in ("started_at", "finished_at"):
            row[name] = row[name] and datetime.fromisoformat(row[name])
    return tuple(BackfillState(**row) for row in rows)


def request_control(connection: Connection, history: HistoryKey, version: str | None, control: str) -> BackfillState:
    """Ask a backfill to `run`, `pause` or `cancel`. Raise InputError unless exactly one backfill matches."""
    backfill = find_unfinished(connection, history, version)
    parameters = _build_id(history, backfill).parameters | {"control": control}
    if connection.execute(query("ask_backfill"), parameters).fetchone() is None:
        raise _no_backfill(f"the backfill of {backfill.version} has just finished")
    return backfill


def find_unfinished(connection: Connection, history: HistoryKey, version: str | None) -> BackfillState:
    """Return the only unfinished backfill, or that of a version. Raise InputError unless exactly one matches."""
    # The caller will write to the tables, so check their format first.
    read_format(connection)
    unfinished = [
        backfill
        for backfill in list_backfills(connection, history)
        if backfill.state != "done" and version in (None, backfill.version)
    ]
    if len(unfinished) == 1:
        return unfinished[0]
    if not unfinished:
        of = f" of {version}" if version else ""
        raise _no_backfill(f"there is no unfinished backfill{of}")
    versions = ", ".join(backfill.version for backfill in unfinished)
    raise InputError(
        Diagnostic(
            code="which-backfill", message=f"several backfills are unfinished: {versions}", hint="specify the version"
        )
    )


def _no_backfill(message: str) -> InputError:
    hint = "`confiture backfill status --all` lists finished ones"
    return InputError(Diagnostic(code="no-backfill", message=message, hint=hint))


def clean_up_triggers(connection: Connection, history: HistoryKey) -> int:
    """Remove triggers left behind by finished backfills. Return how many backfills. Raise DatabaseUnavailable."""
    finished = [
        backfill
        for backfill in list_backfills(connection, history)
        if backfill.state == "done" and has_capture(connection, backfill.number)
    ]
    for backfill in finished:
        _remove_capture_with_retries(connection, backfill.number)
    return len(finished)


def _remove_capture_with_retries(connection: Connection, number: int) -> None:
    """Drop triggers with a short lock timeout, because other sessions queue behind a session waiting for a lock."""
    set_lock_timeout(connection, QUEUE_LOCK_TIMEOUT_MS)
    try:
        _REMOVAL_RETRIES.run(lambda: remove_capture(connection, number))
    except psycopg.Error as error:
        if not _REMOVAL_RETRIES.is_retryable(error.sqlstate):
            raise
        raise DatabaseUnavailable(db_error_diagnostic(error, "the backfill's triggers cannot be removed")) from error


def abandon(
    connection: Connection,
    database: ConnectionTarget,
    history: HistoryKey,
    backfill: BackfillState,
    emit: Emit,
    wait_ms: int,
) -> None:
    """Delete a backfill that is not running, including its triggers, change log and stored progress.

    The filled rows are kept. Raise LockHeld if the backfill turns out to be running.
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
                # No other part of the migration was committed.
                connection.execute(query("delete_migration"), history.parameters | {"version": backfill.version})


def _build_id(history: HistoryKey, backfill: BackfillState) -> BackfillId:
    return BackfillId(history=history, attempt=backfill.attempt, segment=backfill.segment)
