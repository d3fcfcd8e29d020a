"""A snapshot of a running migration's locks, the sessions that it blocks, and the sessions that block it."""

from __future__ import annotations

from confiture.models.events import Waiter
from confiture.models.records import record
from confiture.models.trace import LockMode


@record(frozen=True, kw_only=True, slots=True)
class HeldLock:
    """A lock on a relation that a session holds, or is waiting for if not `granted`."""

    relation: str
    mode: LockMode
    granted: bool


@record(frozen=True, kw_only=True, slots=True)
class Blocker:
    """A session that another session waits for, or a prepared transaction, which has no process and a `pid` of None.

    `transaction_ms` is the age of the transaction.
    """

    pid: int | None
    usename: str | None
    application_name: str | None
    state: str | None
    query: str | None
    transaction_ms: float | None


@record(frozen=True, kw_only=True, slots=True)
class RunningSession:
    """A session of a Confiture run. `transaction_ms` is the age of the transaction; None outside a transaction."""

    pid: int
    application_name: str
    state: str | None
    query: str | None
    transaction_ms: float | None
    locks: tuple[HeldLock, ...]
    waiters: tuple[Waiter, ...]
    blockers: tuple[Blocker, ...]
