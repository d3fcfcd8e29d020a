"""A migration as its file says it, before anything is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Literal

from confiture.errors import Span
from confiture.models.call_sites import CallSite
from confiture.models.records import record
from confiture.models.source import LocatedSource, SourceFile

Scalar = str | bool | int | Decimal | float | None
Operator = Literal["=", "!=", "<", "<=", ">", ">="]


_MAX_NAME_LENGTH = 60


class Phase(StrEnum):
    """The phases of a migration, in the order in which they run; `on_error` and `down` stand apart.

    Example::

        HookPhase.AFTER_DDL  # the same class, as hooks know it
    """

    BEFORE_VALIDATION = "before_validation"
    BEFORE_DDL = "before_ddl"
    DDL = "ddl"
    AFTER_DDL = "after_ddl"
    AFTER_VALIDATION = "after_validation"
    CLEANUP = "cleanup"
    ON_ERROR = "on_error"
    DOWN = "down"


UP_PHASES = (
    Phase.BEFORE_VALIDATION,
    Phase.BEFORE_DDL,
    Phase.DDL,
    Phase.AFTER_DDL,
    Phase.AFTER_VALIDATION,
    Phase.CLEANUP,
)


@record(frozen=True, kw_only=True, slots=True)
class ExpectedValue:
    """The one value that a check returns, compared with `value`."""

    operator: Operator
    value: Scalar


@record(frozen=True, kw_only=True, slots=True)
class ExpectedRows:
    """The rows that a check returns, in order."""

    rows: tuple[tuple[Scalar, ...], ...]


Expectation = ExpectedValue | ExpectedRows


@record(frozen=True, kw_only=True, slots=True)
class Step:
    """What every step has. `timeout_ms` bounds each of its statements, `lock_timeout_ms` its waits for locks.

    `name` is what the file calls it, None where it does not; `when` a Jinja expression that must hold for the step to
    run. What holds `once` is not asked again when the migration is verified later.

    `kind` names the kind of step in checksums. It is stored in the history of every database: it never changes. What
    else a kind of step is, its StepKind in `plan/step_kinds` says.
    """

    kind: ClassVar[str]

    span: Span
    name: str | None = None
    when: LocatedSource | None = None
    once: bool = False
    timeout_ms: int | None = None
    lock_timeout_ms: int | None = None

    @property
    def located_source(self) -> LocatedSource:
        """What the file says that the step runs: its SQL, or the name of its hook."""
        raise NotImplementedError


@record(frozen=True, kw_only=True, slots=True)
class StepWithSql(Step):
    """What every step has that SQL says."""

    sql: LocatedSource

    @property
    def located_source(self) -> LocatedSource:
        """The SQL."""
        return self.sql


@record(frozen=True, kw_only=True, slots=True)
class SqlStep(StepWithSql):
    """Inline SQL: a template."""

    kind = "SqlStep"


@record(frozen=True, kw_only=True, slots=True)
class FileStep(StepWithSql):
    """A DDL file, taken as it is, or rendered where `is_template`."""

    kind = "FileStep"

    is_template: bool


@record(frozen=True, kw_only=True, slots=True)
class CheckStep(StepWithSql):
    """A query (a template) and what it must return."""

    kind = "CheckStep"

    expect: Expectation


class OnConcurrentWrites(StrEnum):
    """What a backfill does about writes to its tables while it runs."""

    CAPTURE = "capture"
    """Triggers note the keys that others write; those are filled again before the end."""
    IGNORE = "ignore"
    """Nobody writes: the backfill stops where it sees that somebody does."""


@record(frozen=True, kw_only=True, slots=True)
class ThrottleLimits:
    """When a backfill slows down, and stops, for others; None for signals that it does not look at.

    `replica_lag_ms` is the longest lag of a streaming replica, `wal_bytes_per_s` the highest rate of the whole server's
    WAL, `long_transaction_ms` the age of the oldest transaction of others. `query` (a template) returns true to go on.
    """

    replica_lag_ms: int | None = 10_000
    wal_bytes_per_s: int | None = None
    long_transaction_ms: int | None = None
    query: LocatedSource | None = None


@record(frozen=True, kw_only=True, slots=True)
class BackfillStep(StepWithSql):
    """A batched fill. `sql` is a template in which `{{ batch }}` stands for the batch's condition.

    `source` is the driving table and `alias` what the query calls it (default: the table's name). `key` is its batch
    key; default: its primary key. `captures` says for each other table that the query reads which of its columns hold
    the key.
    """

    kind = "BackfillStep"

    into: LocatedSource
    source: LocatedSource
    alias: LocatedSource | None = None
    key: tuple[LocatedSource, ...] = ()
    batch_rows: int = 10_000
    batch_time_ms: int = 1_000
    workers: int = 1
    on_writes: OnConcurrentWrites = OnConcurrentWrites.CAPTURE
    captures: Mapping[str, tuple[LocatedSource, ...]] = field(default_factory=dict)
    throttle: ThrottleLimits = field(default_factory=ThrottleLimits)


@record(frozen=True, kw_only=True, slots=True)
class ReconcileStep(StepWithSql):
    """Proves that a table equals its defining query (`sql`, a template), key by key.

    The columns that the query returns are compared, by their names. `key` tells rows apart, by default the table's
    primary key where the query returns it; `by` is the column by which both sides are compared first, by default the
    tenant's.
    """

    kind = "ReconcileStep"

    table: LocatedSource
    key: tuple[LocatedSource, ...] = ()
    by: LocatedSource | None = None


@record(frozen=True, kw_only=True, slots=True)
class HookRegistration:
    """A hook that can run: its name, its class, and where it was registered.

    `phase` is when it runs by itself, None for one that only runs where a step names it. A batched one runs apart from
    the migration's transaction, to fill in batches.
    """

    name: str
    hook: type[Any] = field(compare=False)
    phase: Phase | None
    is_batched: bool
    call_site: CallSite


@record(frozen=True, kw_only=True, slots=True)
class HookStep(Step):
    """Runs a Python hook: `reference` is its registered name, or `module:Class`.

    `registration` is the hook itself where the migration's own file registers it. `source` is then the class as that
    file writes it, without comments: it is part of what the migration does.
    """

    kind = "HookStep"

    reference: LocatedSource
    registration: HookRegistration | None = None
    source: str | None = None

    @property
    def located_source(self) -> LocatedSource:
        """The name of the hook."""
        return self.reference


def default_step_name(sql: str) -> str:
    """What a step without a name is called: the beginning of its SQL, on one line.

    Checksums and the journal know the step by it, so it does not depend on what is secret; `hide_secrets` finds the
    part of a value that it ends with.
    """
    text = " ".join(sql.split())
    return text if len(text) <= _MAX_NAME_LENGTH else f"{text[: _MAX_NAME_LENGTH - 1]}…"


@record(frozen=True, kw_only=True, slots=True)
class Requirement:
    """A version that must be applied before, and where the file says so."""

    version: str
    span: Span


@record(frozen=True, kw_only=True, slots=True)
class MigrationFile:
    """One migration file. `variables` are its own `vars`, not yet merged with those of the settings.

    One that is not `is_complete` has mistakes: it holds what could be read, so that all mistakes are told at once.
    """

    version: str
    name: str
    file: SourceFile
    span: Span
    description: str = ""
    requires: tuple[Requirement, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    phases: Mapping[Phase, tuple[Step, ...]] = field(default_factory=dict)
    is_complete: bool = True

    @property
    def label(self) -> str:
        """How people are shown the migration: its version and its name."""
        return f"{self.version} {self.name}"

    def steps(self, phase: Phase) -> tuple[Step, ...]:
        """The steps of a phase, none where the file does not have it."""
        return self.phases.get(phase, ())
