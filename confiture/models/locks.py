"""What a running migration holds, whom it blocks, and who blocks it, at one moment."""

from __future__ import annotations

from confiture.models.events import Waiter
from confiture.models.records import record
from confiture.models.trace import LockMode


@record(frozen=True, kw_only=True, slots=True)
class HeldLock:
    """A lock that a session holds, or waits for (`granted` is false), on a relation."""

    relation: str
    mode: LockMode
    granted: bool


@record(frozen=True, kw_only=True, slots=True)
class Blocker:
    """A session that another one waits for, or a prepared transaction, which has no process: its `pid` is None.

    `transaction_ms` is the age of its transaction.
    """

    pid: int | None
    usename: str | None
    application_name: str | None
    state: str | None
    query: str | None
    transaction_ms: float | None


@record(frozen=True, kw_only=True, slots=True)
class RunningSession:
    """A session of a run of ours. `transaction_ms` is the age of its transaction, None outside of one."""

    pid: int
    application_name: str
    state: str | None
    query: str | None
    transaction_ms: float | None
    locks: tuple[HeldLock, ...]
    waiters: tuple[Waiter, ...]
    blockers: tuple[Blocker, ...]
