"""What a statement of a dry run was seen to do (locks, rows, rewrites, scans, WAL), and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from confiture.errors import Span
from confiture.models.plan import StepId
from confiture.models.records import record


class LockMode(StrEnum):
    """PostgreSQL's modes of table locks, weakest first; the values are those of pg_locks."""

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
        """The mode as SQL and the manual write it: `ACCESS EXCLUSIVE`."""
        return self.name.replace("_", " ")

    @property
    def strength(self) -> int:
        """0 for the weakest."""
        return list(LockMode).index(self)

    @property
    def blocked_access(self) -> BlockedAccess:
        """What other sessions cannot do to the table meanwhile (the manual's table of conflicting lock modes)."""
        if self is LockMode.ACCESS_EXCLUSIVE:
            return BlockedAccess.READS
        if self in (LockMode.SHARE, LockMode.SHARE_ROW_EXCLUSIVE, LockMode.EXCLUSIVE):
            return BlockedAccess.WRITES
        return BlockedAccess.DDL if self is LockMode.SHARE_UPDATE_EXCLUSIVE else BlockedAccess.STRONGER_DDL


class BlockedAccess(StrEnum):
    """What a lock keeps others from, the worst first; each includes those below it."""

    READS = "reads and writes"
    WRITES = "writes"
    DDL = "DDL and VACUUM"
    STRONGER_DDL = "strong DDL"
    """Only what needs a stronger lock than any ordinary query takes."""


@record(frozen=True, kw_only=True, slots=True)
class LockTrace:
    """A lock on a relation that existed before the run.

    `acquired_ms` is when its statement began and `released_ms` when its segment would have committed, both from the
    start of the run: PostgreSQL does not tell when within a statement a lock is granted, so the time held is an upper
    bound; a wait for the lock that the server told of is not in it. `real_mode` is the mode that the statement takes as
    written, where its transactional form ran. A lock `is_inferred` was not seen, as the dry run still held it from an
    earlier segment: the statement's text says that the real run takes it again.
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
        """How long it was held, at the most."""
        return self.released_ms - self.acquired_ms

    @property
    def is_queried(self) -> bool:
        """Whether queries name the relation: indexes, sequences and TOAST tables are locked along with others."""
        return self.kind in _QUERIED

    @property
    def is_blocking(self) -> bool:
        """Whether queries wait for it in the real run, those that read or those that write."""
        return self.is_queried and self.effective_mode.blocked_access in (BlockedAccess.READS, BlockedAccess.WRITES)


_QUERIED = frozenset({"table", "partitioned table", "materialized view", "view", "foreign table"})


def worst_locks(locks: Iterable[LockTrace], at_least_ms: float = 0.0) -> tuple[LockTrace, ...]:
    """For each relation that queries are kept out of for `at_least_ms`, its worst such lock; the worst first."""
    worst: dict[str, LockTrace] = {}
    for lock in locks:
        if lock.is_blocking and lock.held_ms >= at_least_ms:
            known = worst.get(lock.relation)
            if known is None or _lock_severity(lock) > _lock_severity(known):
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
    """Sequential scans of a table that existed before. Rows that parallel workers read are not in `rows`; where there
    may be such, or the server counts others' reading in their place, `is_lower_bound` says that there may be more.
    """

    table: str
    scans: int
    rows: int
    is_lower_bound: bool = False


@record(frozen=True, kw_only=True, slots=True)
class StatementTrace:
    """One statement of a dry run.

    `rewrites` are relations that existed before and got a new file: rewritten tables, truncated ones, rebuilt
    indexes. `wal_bytes` is what the whole server wrote meanwhile: exact where nobody else writes. `temp_bytes` is
    None where the role may not ask for it. So is `waited_ms`, how long it waited for locks, without waits shorter than
    the server's `deadlock_timeout`. `original_sql` is the statement as written, where its transactional form ran.
    A batch of a backfill that was sampled `weight` that many times its work; `is_batch` says that it is one of a
    backfill, sampled or not.
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
    """Something that production would feel, and the way out. `measured_ms` is None where no time was measured.

    `rule` is the rule of lint that knows of it, and `remedy` its SQL to write instead of the `statement`.
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
    """How long the real run will take, in milliseconds; None where it is not known.

    `confidence_percent` is the chance that the real time is within 15 % of `production_ms`; the range from `low_ms` to
    `high_ms` is meant to hold the real time in `level_percent` of all cases. `runs` is how many dry runs it rests on;
    `is_scaled` says that their times were scaled by the row counts of another database: the range is then what scaling
    was off by, and `level_percent` None, as it is where there is no range. Where not all of it ran `is_representative`
    runs will (batched backfills, CONCURRENTLY) or at all (VACUUM), neither range nor confidence is known.
    """

    production_ms: float
    low_ms: float | None
    high_ms: float | None
    confidence_percent: float | None
    level_percent: int | None
    runs: int
    is_scaled: bool
    is_representative: bool = True
