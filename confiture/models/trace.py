"""The effects of dry-run statements (locks, rows, rewrites, scans, WAL), and the conclusions from these effects."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from confiture.errors import Span
from confiture.models.plan import StepId
from confiture.models.records import record


class LockMode(StrEnum):
    """PostgreSQL's table lock modes, weakest first; the values are the names in pg_locks."""

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
        """The mode as written in SQL and in the manual, such as `ACCESS EXCLUSIVE`."""
        return self.name.replace("_", " ")

    @property
    def strength(self) -> int:
        """The position among all modes; 0 for the weakest."""
        return list(LockMode).index(self)

    @property
    def blocked_access(self) -> BlockedAccess:
        """The access that the mode denies to other sessions (see the manual's table of conflicting lock modes)."""
        if self is LockMode.ACCESS_EXCLUSIVE:
            return BlockedAccess.READS
        if self in (LockMode.SHARE, LockMode.SHARE_ROW_EXCLUSIVE, LockMode.EXCLUSIVE):
            return BlockedAccess.WRITES
        return BlockedAccess.DDL if self is LockMode.SHARE_UPDATE_EXCLUSIVE else BlockedAccess.STRONGER_DDL

    def conflicts_with(self, other: LockMode) -> bool:
        """Whether two sessions cannot hold the modes at the same time (see the manual's table of conflicts)."""
        return other.strength >= _FIRST_CONFLICT[self] and (self, other) != (LockMode.SHARE, LockMode.SHARE)


_FIRST_CONFLICT = {
    LockMode.ACCESS_SHARE: LockMode.ACCESS_EXCLUSIVE.strength,
    LockMode.ROW_SHARE: LockMode.EXCLUSIVE.strength,
    LockMode.ROW_EXCLUSIVE: LockMode.SHARE.strength,
    LockMode.SHARE_UPDATE_EXCLUSIVE: LockMode.SHARE_UPDATE_EXCLUSIVE.strength,
    LockMode.SHARE: LockMode.ROW_EXCLUSIVE.strength,
    LockMode.SHARE_ROW_EXCLUSIVE: LockMode.ROW_EXCLUSIVE.strength,
    LockMode.EXCLUSIVE: LockMode.ROW_SHARE.strength,
    LockMode.ACCESS_EXCLUSIVE: LockMode.ACCESS_SHARE.strength,
}
"""The weakest mode that each mode conflicts with. All stronger modes conflict too, except SHARE with itself."""


class BlockedAccess(StrEnum):
    """The access that a lock denies to other sessions, worst first. Each value includes the values below it."""

    READS = "reads and writes"
    WRITES = "writes"
    DDL = "DDL and VACUUM"
    STRONGER_DDL = "strong DDL"
    """Only statements that need a stronger lock than ordinary queries acquire."""


@record(frozen=True, kw_only=True, slots=True)
class LockTrace:
    """A lock on a relation that existed before the run.

    `acquired_ms` is the start of the statement, and `released_ms` is the time at which the segment would have
    committed. Both are relative to the start of the run. PostgreSQL does not report when during a statement a lock is
    granted, so the duration is an upper bound. It does not include waits for the lock that the server reported.
    `real_mode` is the mode that the statement as written acquires, if its transactional form ran. A lock that
    `is_inferred` was not observed, because the dry run still held it from an earlier segment. According to the
    statement's text, the real run acquires this lock again.
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
        """The mode that the real run acquires."""
        return self.real_mode or self.mode

    @property
    def held_ms(self) -> float:
        """An upper bound for the time that the lock was held."""
        return self.released_ms - self.acquired_ms

    @property
    def is_queried(self) -> bool:
        """Whether queries name the relation. Indexes, sequences, and TOAST tables are locked along with tables."""
        return self.kind in _QUERIED

    @property
    def is_blocking(self) -> bool:
        """Whether queries that read or write wait for the lock in the real run."""
        return self.is_queried and self.effective_mode.blocked_access in (BlockedAccess.READS, BlockedAccess.WRITES)


_QUERIED = frozenset({"table", "partitioned table", "materialized view", "view", "foreign table"})


def worst_locks(locks: Iterable[LockTrace], at_least_ms: float = 0.0) -> tuple[LockTrace, ...]:
    """Return the worst blocking lock on each relation, among locks held for `at_least_ms`, worst first."""
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
    """Rows that a statement wrote to a table, including by triggers and cascades."""

    table: str
    inserted: int
    updated: int
    deleted: int


@record(frozen=True, kw_only=True, slots=True)
class TableScan:
    """Sequential scans on a table that existed before the run.

    `rows` does not include rows read by parallel workers. If there can be such rows, or if the server counts rows that
    other sessions read instead, `is_lower_bound` is true, and the actual number may be higher.
    """

    table: str
    scans: int
    rows: int
    is_lower_bound: bool = False


@record(frozen=True, kw_only=True, slots=True)
class StatementMemory:
    """The memory of a statement's sorts and hash tables, in all processes.

    `peak_bytes` is what they used. If `is_lower_bound` is true, there may be more: queries in functions and triggers,
    and sorts and hash tables whose memory PostgreSQL does not report. `limit_bytes` is what they may use before they
    spill to temporary files: for each sort and hash table, the setting that limits it times the number of processes.
    If `peak_bytes` is None, the memory is unknown; `limit_bytes` is then None or, for statements that build indexes,
    `maintenance_work_mem`. `workers` is the number of parallel workers, None if it is unknown.
    """

    peak_bytes: int | None = None
    is_lower_bound: bool = False
    limit_bytes: int | None = None
    workers: int | None = None


@record(frozen=True, kw_only=True, slots=True)
class StatementTrace:
    """One statement of a dry run.

    `rewrites` are relations that existed before and got a new file: rewritten tables, truncated tables, and rebuilt
    indexes. `wal_bytes` is the WAL that the whole server wrote during the statement; it is exact if no other session
    writes. `waited_ms` is the time spent waiting for locks, without waits shorter than the server's `deadlock_timeout`.
    `temp_bytes` and `waited_ms` are None if the server does not report them: the role is not allowed to read them, or
    the migration hides such messages. `temp_file_limit_bytes` is the limit in force, None if there is none.
    `original_sql` is the statement as written, if its transactional form ran. A batch in a sampled backfill stands for
    `weight` times its own work; `is_batch` is whether the statement is a backfill batch, sampled or not.
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
    temp_file_limit_bytes: int | None = None
    memory: StatementMemory = StatementMemory()
    waited_ms: float | None = None
    notices: tuple[str, ...] = ()
    original_sql: str | None = None
    weight: float = 1.0
    is_batch: bool = False


@record(frozen=True, kw_only=True, slots=True)
class DryRunWarning:
    """A problem that would affect production, and how to avoid it. `measured_ms` is None if no time was measured.

    `rule` is the lint rule that detects the problem; `remedy` is the rule's SQL to use instead of `statement`.
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
    """The estimated duration of the real run, in milliseconds; None if unknown.

    `confidence_percent` is the probability that the real duration is within 15 % of `production_ms`. The range from
    `low_ms` to `high_ms` is meant to contain the real duration in `level_percent` of all cases. `runs` is the number of
    dry runs. `is_scaled` is whether the times were scaled by another database's row counts. In that case, the range is
    derived from the errors of earlier scalings, and `level_percent` is None. Without a range, `level_percent` is also
    None. If some statements did not run as in the real run (batched backfills, CONCURRENTLY), or did not run at all
    (VACUUM), `is_representative` is false, and neither the range nor the confidence is known.
    """

    production_ms: float
    low_ms: float | None
    high_ms: float | None
    confidence_percent: float | None
    level_percent: int | None
    runs: int
    is_scaled: bool
    is_representative: bool = True
