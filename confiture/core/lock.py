"""One run at a time: a session advisory lock on a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from confiture.core.database import Connection, Database, one_row, require_own_sessions
from confiture.core.events import Emit
from confiture.core.failures import plain_failure
from confiture.core.queries import query
from confiture.errors import DatabaseUnavailable, Diagnostic, LockHeld
from confiture.models.events import LockWaiting

LOCK_KEY = 0x636F6E66_69747572  # "confitur" in ASCII: one lock for each database
_POLL_S = 0.25
_LOOK_S = 1.0


class ProjectLock:
    """The lock, held as long as its connection lives."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._seen = time.monotonic()

    def require(self) -> None:
        """Raises DatabaseUnavailable where the lock's connection, and so the lock, is lost; looks once a second."""
        if time.monotonic() < self._seen + _LOOK_S:
            return
        try:
            self.connection.execute("SELECT 1")
            self._seen = time.monotonic()
        except psycopg.Error as error:
            raise DatabaseUnavailable(plain_failure(error, "the connection that holds the lock is lost")) from error


@contextmanager
def project_lock(
    database: Database, purpose: str, wait_ms: int, emit: Emit, working: Connection
) -> Iterator[ProjectLock]:
    """Holds the lock for what the connection `working` does. Polls for it up to `wait_ms`: a session that waits inside
    the server would deadlock with CREATE INDEX CONCURRENTLY.

    Raises LockHeld, with who holds it, since when and from where; or DatabaseUnavailable, also behind a pooler in
    transaction mode.
    """
    connection = database.connect(purpose)
    try:
        # first of all: a lock taken through such a pooler would stay with the pooler's connection
        require_own_sessions(working, connection)
        for session in (working, connection):
            session.execute("SET idle_session_timeout = 0")
        deadline = time.monotonic() + wait_ms / 1000
        told = False
        while not _try(connection):
            holder = _holder(connection)
            if time.monotonic() >= deadline:
                raise LockHeld(
                    Diagnostic(
                        code="lock-held",
                        message="another run holds the lock of this database",
                        detail=(holder,),
                        hint="wait until it ends (`--wait 5min`), or end it: it then rolls back",
                    )
                )
            if not told:
                emit(LockWaiting(holder=holder))
                told = True
            time.sleep(_POLL_S)
        yield ProjectLock(connection)
    finally:
        connection.close()


def _try(connection: Connection) -> bool:
    return bool(one_row(connection, "try_lock", key=LOCK_KEY)["locked"])


def _holder(connection: Connection) -> str:
    row = connection.execute(query("lock_holder"), {"key": LOCK_KEY}).fetchone()
    if row is None:
        return "the holder has just let go"
    who = f"{row['application_name'] or 'a session'} as {row['usename']}"
    since: datetime | None = row["backend_start"]
    if since is None:
        # PostgreSQL hides the rest from all but the same role and monitors
        return f"{who}, server process {row['pid']}"
    place = row["client_addr"] or "a local socket"
    return f"{who} from {place}, server process {row['pid']}, since {since:%Y-%m-%d %H:%M:%S %Z}"
