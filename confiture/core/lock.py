"""One run at a time: a session advisory lock on a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from confiture.core.database import Connection, Database, one_row
from confiture.core.events import Emit
from confiture.core.failures import plain_failure
from confiture.core.queries import query
from confiture.errors import DatabaseUnavailable, Diagnostic, LockHeld
from confiture.models.events import LockWaiting

LOCK_KEY = 0x636F6E66_69747572  # "confitur" in ASCII: one lock for each database
_POLL_S = 0.25


class ProjectLock:
    """The lock, held as long as its connection lives."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def require(self) -> None:
        """Raises DatabaseUnavailable where the lock's connection, and so the lock, is lost."""
        try:
            self.connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise DatabaseUnavailable(plain_failure(error, "the connection that holds the lock is lost")) from error


@contextmanager
def project_lock(database: Database, purpose: str, wait_ms: int, emit: Emit) -> Iterator[ProjectLock]:
    """Holds the lock. Polls for it up to `wait_ms`: a session that waits inside the server would deadlock with
    CREATE INDEX CONCURRENTLY.

    Raises LockHeld, with who holds it, since when and from where; or DatabaseUnavailable.
    """
    connection = database.connect(purpose)
    try:
        connection.execute("SET idle_session_timeout = 0")
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
    since: datetime | None = row["query_start"]
    place = row["client_addr"] or "a local socket"
    return (
        f"{row['application_name'] or 'a session'} as {row['usename']} from {place},"
        f" server process {row['pid']}, since {since:%Y-%m-%d %H:%M:%S %Z}"
    )
