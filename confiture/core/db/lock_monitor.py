"""Read the locks held by active runs."""

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
    """Return Confiture's sessions in this database that are in a transaction, oldest first, without writing anything.

    Without pg_read_all_stats, the state, query and age of other roles' sessions are unknown.
    """
    rows = connection.execute(query("running_sessions"), {}).fetchall()
    return tuple(_build_session(connection, row["pid"], row) for row in rows)


class LockHolder(NamedTuple):
    """A lock holder. `identity` is its process or prepared transaction; `description` is for the user."""

    identity: str
    description: str


def find_lock_holders(connection: Connection, relations: Sequence[str]) -> tuple[LockHolder, ...]:
    """Return the sessions and prepared transactions that hold locks on the relations, each with a description.

    Transactions younger than a second are omitted. Sessions whose transaction age the role cannot see are included.
    """
    if not relations:
        return ()
    rows = connection.execute(query("holders"), {"names": list(relations)}).fetchall()
    return tuple(_build_holder(row) for row in rows)


def _build_holder(row: Mapping[str, Any]) -> LockHolder:
    locks = " and ".join(_format_modes(**lock) for lock in row["held"])
    if row["gid"] is not None:
        who = f"the prepared transaction '{row['gid']}' ({row['usename']})"
        age = f"and was prepared {format_duration(row['transaction_ms'])} ago"
        return LockHolder(who, f"{who} holds {locks}, {age}: conflicting locks wait until COMMIT or ROLLBACK PREPARED")
    who = f"{row['application_name'] or 'a session'} ({row['usename']}, process {row['pid']}, {row['state']})"
    return LockHolder(
        f"process {row['pid']}", f"{who} holds {locks}, {_format_age(row['transaction_ms'])}: conflicting locks wait"
    )


def _format_modes(relation: str, modes: Sequence[str]) -> str:
    strongest_first = sorted(map(LockMode, modes), key=lambda mode: -mode.strength)
    return f"{', '.join(mode.sql for mode in strongest_first)} on {relation}"


def _format_age(transaction_ms: float | None) -> str:
    if transaction_ms is None:
        return "and the age of its transaction is only visible with pg_read_all_stats"
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
