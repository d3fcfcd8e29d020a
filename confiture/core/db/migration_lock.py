"""The migration lock, which allows one run at a time. It is a session-level advisory lock on a separate connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256

import psycopg

from confiture.core.db.connection import Connection, ConnectionTarget, fetch_named_row, reject_transaction_pooler
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.db.queries import query
from confiture.errors import DatabaseUnavailable, Diagnostic, LockHeld
from confiture.models.events import Emit, LockWaiting
from confiture.models.history import HistoryKey
from confiture.models.settings import DEFAULT_PROJECT

LOCK_KEY = 0x636F6E66_69747572  # "confitur" in ASCII: the key of the project `default`, and of all projects before
_POLL_S = 0.25
_CHECK_S = 1.0


def lock_key(history: HistoryKey) -> int:
    """Return the advisory lock key for a history: 63 bits of a hash, except for the project `default`."""
    if history == HistoryKey(project=DEFAULT_PROJECT):
        return LOCK_KEY
    digest = sha256(f"{history.project}\0{history.target}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


class MigrationLock:
    """The lock. It is held as long as its connection is open."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._checked_at = time.monotonic()

    def ensure_held(self) -> None:
        """Raise DatabaseUnavailable if the connection that holds the lock is lost. Check at most once a second."""
        if time.monotonic() < self._checked_at + _CHECK_S:
            return
        try:
            self.connection.execute("SELECT 1")
            self._checked_at = time.monotonic()
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                db_error_diagnostic(error, "the connection that holds the lock was lost")
            ) from error


@contextmanager
def acquire_migration_lock(
    database: ConnectionTarget, history: HistoryKey, purpose: str, wait_ms: int, emit: Emit, work_connection: Connection
) -> Iterator[MigrationLock]:
    """Hold a history's lock while work runs over the connection `work_connection`.

    Poll for the lock up to `wait_ms`, because a session waiting inside the server would deadlock with CREATE INDEX
    CONCURRENTLY.

    Raise LockHeld, which names the holder, its start time and its address. Raise DatabaseUnavailable for a failed
    connection and for a pooler in transaction mode.
    """
    connection = database.connect(purpose)
    try:
        # Check this first, because a lock acquired through a pooler in transaction mode would stay with the pooler's
        # connection.
        reject_transaction_pooler(work_connection, connection)
        for session in (work_connection, connection):
            session.execute("SET idle_session_timeout = 0")
        deadline = time.monotonic() + wait_ms / 1000
        is_reported = False
        key = lock_key(history)
        while not _try_acquire(connection, key):
            holder = _describe_holder(connection, key)
            if time.monotonic() >= deadline:
                raise LockHeld(
                    Diagnostic(
                        code="lock-held",
                        message="another run holds the lock for this project on this database",
                        detail=(holder,),
                        hint="wait until that run ends (`--wait 5min`), or end the run, which rolls it back",
                    )
                )
            if not is_reported:
                emit(LockWaiting(holder=holder))
                is_reported = True
            time.sleep(_POLL_S)
        yield MigrationLock(connection)
    finally:
        connection.close()


def _try_acquire(connection: Connection, key: int) -> bool:
    return bool(fetch_named_row(connection, "try_lock", key=key)["locked"])


def _describe_holder(connection: Connection, key: int) -> str:
    row = connection.execute(query("lock_holder"), {"key": key}).fetchone()
    if row is None:
        return "the holder has just released it"
    who = f"{row['application_name'] or 'a session'} as {row['usename']}"
    if row["backend_start"] is None:
        # PostgreSQL shows the other fields only to the same role and to members of pg_read_all_stats.
        return f"{who}, server process {row['pid']}"
    since = datetime.fromisoformat(row["backend_start"])
    place = row["client_addr"] or "a local socket"
    return f"{who} from {place}, server process {row['pid']}, since {since:%Y-%m-%d %H:%M:%S %Z}"
