"""Looks at the locks of runs that are under way."""

from __future__ import annotations

from confiture.core.database import Connection
from confiture.core.queries import query
from confiture.models.events import Waiter
from confiture.models.locks import Blocker, HeldLock, RunningSession
from confiture.models.trace import LockMode


def running_sessions(connection: Connection) -> tuple[RunningSession, ...]:
    """The sessions of our runs on this database that are in a transaction, the oldest first; reads only."""
    found = connection.execute(query("running_sessions"), {}).fetchall()
    return tuple(_session(connection, row["pid"], row) for row in found)


def _session(connection: Connection, pid: int, row: dict[str, object]) -> RunningSession:
    parameters = {"pid": pid}
    locks = connection.execute(query("locks_of"), parameters).fetchall()
    waiters = connection.execute(query("waiters"), parameters).fetchall()
    blockers = connection.execute(query("blockers_of"), parameters).fetchall()
    return RunningSession(
        **row,  # type: ignore[arg-type]
        locks=tuple(
            HeldLock(relation=lock["relation"], mode=LockMode(lock["mode"]), granted=lock["granted"]) for lock in locks
        ),
        waiters=tuple(Waiter(**waiter) for waiter in waiters),
        blockers=tuple(Blocker(**blocker) for blocker in blockers),
    )
