"""Looks at the locks of runs that are under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.durations import format_duration
from confiture.models.events import Waiter
from confiture.models.locks import Blocker, HeldLock, RunningSession
from confiture.models.trace import LockMode


def read_running_sessions(connection: Connection) -> tuple[RunningSession, ...]:
    """The sessions of our runs on this database that are in a transaction, the oldest first; reads only.

    Without pg_read_all_stats the states, queries and ages of other roles' sessions are not known.
    """
    found = connection.execute(query("running_sessions"), {}).fetchall()
    return tuple(_build_session(connection, row["pid"], row) for row in found)


class LockHolder(NamedTuple):
    """Who holds locks: `identity` it is, by its process or its prepared transaction, and the `description` that tells
    it.
    """

    identity: str
    description: str


def find_lock_holders(connection: Connection, relations: Sequence[str]) -> tuple[LockHolder, ...]:
    """Who holds locks on these relations, sessions and prepared transactions, with a sentence each; but those in a
    transaction younger than a second.

    Where the role may not see how old a transaction is, its session is told all the same.
    """
    if not relations:
        return ()
    rows = connection.execute(query("holders"), {"names": list(relations)}).fetchall()
    return tuple(_build_holder(row) for row in rows)


def _build_holder(row: Mapping[str, Any]) -> LockHolder:
    held = " and ".join(_format_modes(**held) for held in row["held"])
    if row["gid"] is not None:
        who = f"the prepared transaction '{row['gid']}' ({row['usename']})"
        age = f"and was prepared {format_duration(row['transaction_ms'])} ago"
        return LockHolder(who, f"{who} holds {held}, {age}: what conflicts will wait until COMMIT or ROLLBACK PREPARED")
    who = f"{row['application_name'] or 'a session'} ({row['usename']}, process {row['pid']}, {row['state']})"
    return LockHolder(
        f"process {row['pid']}", f"{who} holds {held}, {_format_age(row['transaction_ms'])}: what conflicts will wait"
    )


def _format_modes(relation: str, modes: Sequence[str]) -> str:
    strongest_first = sorted(map(LockMode, modes), key=lambda mode: -mode.strength)
    return f"{', '.join(mode.sql for mode in strongest_first)} on {relation}"


def _format_age(transaction_ms: float | None) -> str:
    if transaction_ms is None:
        return "and how long it has been in its transaction needs pg_read_all_stats to see"
    return f"and has been in its transaction for {format_duration(transaction_ms)}"


def _build_session(connection: Connection, pid: int, row: dict[str, object]) -> RunningSession:
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
