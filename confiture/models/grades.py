"""Risk grades of a migration by category, and the facts that determine them."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from confiture.models.predictions import Prediction
from confiture.models.records import record
from confiture.models.trace import BlockedAccess, LockMode


class Grade(StrEnum):
    """The attention that a risk needs, in ascending order. UNKNOWN ranks above MEDIUM and below HIGH."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    UNKNOWN = "unknown"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """The position in the order; 0 for NONE."""
        return list(Grade).index(self)


class RiskCategory(StrEnum):
    """A kind of risk. The values are stable."""

    LOCKS = "locks"
    DATA_LOSS = "data loss"
    DURATION = "duration"
    TENANCY = "tenancy"
    REVERSIBILITY = "reversibility"
    DISK_SPACE = "disk space"
    MEMORY = "memory"
    CONCURRENT_ACTIVITY = "concurrent activity"


class GradeSource(StrEnum):
    """The source of a grade."""

    MEASURED = "measured"
    """A dry run measured it, or the database reports it now."""
    PARSED = "parsed"
    """It follows from the text of the statements and the schema."""
    DECLARED = "declared"
    """The settings or the migration file declare it."""
    UNKNOWN = "unknown"


@record(frozen=True, kw_only=True, slots=True)
class LockFact:
    """The strongest lock on a relation that existed before the migration.

    `held_ms` is how long a dry run held it; None if no dry run measured it. `rows` is the planner's row count.
    `is_in_use` is whether other sessions read or write the table now; None if this was not measured.
    """

    relation: str
    mode: LockMode
    held_ms: float | None = None
    rows: int | None = None
    is_in_use: bool | None = None

    @property
    def is_blocking(self) -> bool:
        """Whether queries that read or write wait for the lock."""
        return self.mode.blocked_access in (BlockedAccess.READS, BlockedAccess.WRITES)


class LossKind(StrEnum):
    """The way in which a statement loses data."""

    ROWS = "rows"
    """It removes rows of a table, all of them or without a condition."""
    SELECTED_ROWS = "selected rows"
    """It removes the rows that a condition selects."""
    VALUES = "values"
    """It removes, truncates, or rounds the values of a column."""
    OVERWRITTEN = "overwritten values"
    """It overwrites the values of a column that existed before."""


@record(frozen=True, kw_only=True, slots=True)
class LossFact:
    """Data that a statement loses. `description` names it, as in "drops the table w_orders".

    `rows` is the number of affected rows: 0 only if the database was asked and the table contains no rows; None if
    unknown. `is_restored` is whether `down` writes rows into the relation.
    """

    kind: LossKind
    relation: str
    description: str
    rows: int | None = None
    is_restored: bool = False


@record(frozen=True, kw_only=True, slots=True)
class OpenTransaction:
    """A transaction of another session that the migration would wait for, by its age in milliseconds."""

    description: str
    age_ms: float


@record(frozen=True, kw_only=True, slots=True)
class RiskFacts:
    """All facts that the grades of one migration depend on.

    From the plan: `statements` is the number of statements and hooks; `opaque` describes those whose effects the text
    does not determine; `unmeasured` describes those that no dry run executes; `segments` is the number of commits;
    `has_down` is None if the rollback lacks variables.

    From a dry run on this database: `prediction`, and from lint or proofs: `tenant_errors`, `tenant_doubts` (what
    cannot be proved), and `tenant_warnings`.

    From the settings: `window_ms` and `free_bytes`, None if not set, and `has_tenants`.

    From the database now: everything below `database_bytes`. `sees_sessions` is whether the role may see other
    sessions. `waits_for_all` is whether a statement waits for all older transactions, as CONCURRENTLY does.
    """

    statements: int = 0
    segments: int = 0
    has_down: bool | None = True
    opaque: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    locks: tuple[LockFact, ...] = ()
    losses: tuple[LossFact, ...] = ()
    rewrites: tuple[str, ...] = ()
    reads_rows: bool = False
    """Whether a statement reads, sorts, or writes the rows of a table, so that it needs memory or disk space."""
    waits_for_all: bool = False
    prediction: Prediction | None = None
    is_measured: bool = False
    """Whether the prediction contains what the dry run measured besides the time."""
    elsewhere: str | None = None
    """The result of a dry run of this migration on another database, as a sentence."""
    max_blocking_ms: int = 1_000
    window_ms: int | None = None
    free_bytes: int | None = None
    has_tenants: bool = False
    tenant_errors: tuple[str, ...] = ()
    tenant_warnings: tuple[str, ...] = ()
    tenant_doubts: tuple[str, ...] = ()
    database_bytes: int | None = None
    rewritten_bytes: int = 0
    """The present size of the rewritten relations, with indexes: a rewrite needs that much again."""
    temp_file_limit_bytes: int | None = None
    sees_sessions: bool = False
    lock_holder: str | None = None
    holders: tuple[OpenTransaction, ...] = ()
    """Open transactions that hold locks on the relations, or that a statement waits for."""
    old_transactions: tuple[OpenTransaction, ...] = ()
    """Other open transactions older than `lock_timeout`."""
    replica_lag_ms: float | None = None


@record(frozen=True, kw_only=True, slots=True)
class CategoryGrade:
    """The grade of one category, with its source and the reason as a sentence without a period."""

    category: RiskCategory
    grade: Grade
    source: GradeSource
    reason: str


@record(frozen=True, kw_only=True, slots=True)
class MigrationAssessment:
    """The assessment of one pending migration: its effect in one line, its grades, and the relations it touches."""

    version: str
    name: str
    effect: str
    grades: tuple[CategoryGrade, ...]
    prediction: Prediction | None = None
    has_down: bool | None = True
    out_of_order: bool = False
    relations: tuple[str, ...] = ()

    @property
    def worst(self) -> Grade:
        """The worst grade of all categories."""
        return max((one.grade for one in self.grades), key=lambda grade: grade.rank, default=Grade.NONE)

    def grade(self, category: RiskCategory) -> CategoryGrade:
        """Return the grade of a category."""
        return next(one for one in self.grades if one.category is category)


@record(frozen=True, kw_only=True, slots=True)
class Assessment:
    """The assessment of pending migrations on a database, in execution order."""

    environment: str
    database: str
    migrations: tuple[MigrationAssessment, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def worst(self) -> Grade:
        """The worst grade of all migrations."""
        return max((one.worst for one in self.migrations), key=lambda grade: grade.rank, default=Grade.NONE)
