"""The effects of a statement in a dry run (locks, rows, rewrites, scans, WAL), and the conclusions from them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from confiture.errors import Span
from confiture.models.plan import StepId
from confiture.models.records import record


class LockMode(StrEnum):
    """PostgreSQL's table lock modes, weakest first; the values are those of pg_locks."""

    ACCESS_SHARE = "AccessShareLock"
    ROW_SHARE = "RowShareLock"
    ROW_EXCLUSIVE = "RowExclusiveLock"
    SHARE_UPDATE_EXCLUSIVE = "ShareUpdateExclusiveLock"
    SHARE = "ShareLock"
    SHARE_ROW_EXCLUSIVE = "ShareRowExclusiveLock"
    EXCLUSIVE = "ExclusiveLock"
    ACCESS_EXCLUSIVE = "AccessExclusiveLock"

    @property
    def sql(self) -> str:
        """The mode as written in SQL and in the manual: `ACCESS EXCLUSIVE`."""
        return self.name.replace("_", " ")

    @property
    def strength(self) -> int:
        """0 for the weakest."""
        return list(LockMode).index(self)

    @property
    def blocked_access(self) -> BlockedAccess:
        """The access that it denies to other sessions (the manual's table of conflicting lock modes)."""
        if self is LockMode.ACCESS_EXCLUSIVE:
            return BlockedAccess.READS
        if self in (LockMode.SHARE, LockMode.SHARE_ROW_EXCLUSIVE, LockMode.EXCLUSIVE):
            return BlockedAccess.WRITES
        return BlockedAccess.DDL if self is LockMode.SHARE_UPDATE_EXCLUSIVE else BlockedAccess.STRONGER_DDL


class BlockedAccess(StrEnum):
    """The access that a lock denies to other sessions, the worst first; each includes those below it."""

    READS = "reads and writes"
    WRITES = "writes"
    DDL = "DDL and VACUUM"
    STRONGER_DDL = "strong DDL"
    """Only statements that need a stronger lock than any ordinary query takes."""


@record(frozen=True, kw_only=True, slots=True)
class LockTrace:
    """A lock on a relation that existed before the run.

    `acquired_ms` is the start of its statement and `released_ms` the time when its segment would have committed, both
    since the start of the run. PostgreSQL does not report when during a statement a lock is granted, so the time held
    is an upper bound; it does not include a wait for the lock that the server reported. `real_mode` is the mode that
    the statement as written takes, if its transactional form ran. A lock that `is_inferred` was not observed, because
    the dry run still held it from an earlier segment; according to the statement's text, the real run takes it again.
    """

    relation: str
    kind: str
    mode: LockMode
    acquired_ms: float
    released_ms: float
    real_mode: LockMode | None = None
    is_inferred: bool = False

    @property
    def effective_mode(self) -> LockMode:
        """The mode that the real run takes."""
        return self.real_mode or self.mode

    @property
    def held_ms(self) -> float:
        """The time that it was held, an upper bound."""
        return self.released_ms - self.acquired_ms

    @property
    def is_queried(self) -> bool:
        """Whether queries name the relation: indexes, sequences and TOAST tables are locked along with others."""
        return self.kind in _QUERIED

    @property
    def is_blocking(self) -> bool:
        """Whether reading or writing queries wait for it in the real run."""
        return self.is_queried and self.effective_mode.blocked_access in (BlockedAccess.READS, BlockedAccess.WRITES)


_QUERIED = frozenset({"table", "partitioned table", "materialized view", "view", "foreign table"})


def worst_locks(locks: Iterable[LockTrace], at_least_ms: float = 0.0) -> tuple[LockTrace, ...]:
    """Return the worst blocking lock of each relation among those held for `at_least_ms`; the worst first."""
    worst: dict[str, LockTrace] = {}
    for lock in locks:
        if lock.is_blocking and lock.held_ms >= at_least_ms:
            former = worst.get(lock.relation)
            if former is None or _lock_severity(lock) > _lock_severity(former):
                worst[lock.relation] = lock
    return tuple(sorted(worst.values(), key=_lock_severity, reverse=True))


def _lock_severity(lock: LockTrace) -> tuple[int, float]:
    return lock.effective_mode.strength, lock.held_ms


@record(frozen=True, kw_only=True, slots=True)
class TableRows:
    """Rows that a statement wrote to a table, triggers and cascades included."""

    table: str
    inserted: int
    updated: int
    deleted: int


@record(frozen=True, kw_only=True, slots=True)
class TableScan:
    """Sequential scans of a table that existed before.

    Rows that parallel workers read are not in `rows`. If there can be such rows, or if the server counts rows that
    other sessions read instead, `is_lower_bound` is set: there can be more.
    """

    table: str
    scans: int
    rows: int
    is_lower_bound: bool = False


@record(frozen=True, kw_only=True, slots=True)
class StatementTrace:
    """One statement of a dry run.

    `rewrites` are relations that existed before and got a new file: rewritten tables, truncated tables, rebuilt
    indexes. `wal_bytes` is what the whole server wrote meanwhile: it is exact if no other session writes. `temp_bytes`
    is None if the role is not allowed to read it. So is `waited_ms`, the time spent waiting for locks, without waits
    shorter than the server's `deadlock_timeout`. `original_sql` is the statement as written, if its transactional form
    ran. A batch of a sampled backfill stands for `weight` times its own work; `is_batch` is whether this is a batch of
    a backfill, sampled or not.
    """

    step: StepId
    number: int
    text: str
    started_ms: float
    duration_ms: float
    rows: tuple[TableRows, ...] = ()
    locks: tuple[LockTrace, ...] = ()
    rewrites: tuple[str, ...] = ()
    scans: tuple[TableScan, ...] = ()
    indexes_built: tuple[str, ...] = ()
    wal_bytes: int = 0
    temp_bytes: int | None = None
    waited_ms: float | None = None
    notices: tuple[str, ...] = ()
    original_sql: str | None = None
    weight: float = 1.0
    is_batch: bool = False


@record(frozen=True, kw_only=True, slots=True)
class DryRunWarning:
    """Something that would affect production, and how to avoid it. `measured_ms` is None if no time was measured.

    `rule` is the lint rule that detects it, and `remedy` its SQL to use instead of the `statement`.
    """

    code: str
    message: str
    hint: str
    table: str | None = None
    measured_ms: float | None = None
    span: Span | None = None
    statement: str | None = None
    rule: str | None = None
    remedy: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class Estimate:
    """The estimated time of the real run, in milliseconds; None if unknown.

    `confidence_percent` is the probability that the real time is within 15 % of `production_ms`; the range from
    `low_ms` to `high_ms` is meant to contain the real time in `level_percent` of all cases. `runs` is the number of dry
    runs. `is_scaled` is whether their times were scaled by the row counts of another database: the range then comes
    from the errors of earlier scalings, and `level_percent` is None, as it is if there is no range. If not everything
    ran as the real run will (batched backfills, CONCURRENTLY), or at all (VACUUM), `is_representative` is false, and
    neither range nor confidence is known.
    """

    production_ms: float
    low_ms: float | None
    high_ms: float | None
    confidence_percent: float | None
    level_percent: int | None
    runs: int
    is_scaled: bool
    is_representative: bool = True
