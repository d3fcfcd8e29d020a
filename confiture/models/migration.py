"""A migration as written in its file, before rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Literal

from confiture.errors import Span
from confiture.models.call_sites import CallSite
from confiture.models.records import record
from confiture.models.source import LocatedSource, NamedFile, SourceFile

Scalar = str | bool | int | Decimal | float | None
Operator = Literal["=", "!=", "<", "<=", ">", ">="]


_MAX_NAME_LENGTH = 60


class Phase(StrEnum):
    """The phases of a migration, in the order in which they run; `on_error` and `down` are outside this order.

    Example::

        HookPhase.AFTER_DDL  # an alias of this class, for hooks
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
    """A single value that a check must return, compared with `value`."""

    operator: Operator
    value: Scalar


@record(frozen=True, kw_only=True, slots=True)
class ExpectedRows:
    """The rows that a check must return, in order."""

    rows: tuple[tuple[Scalar, ...], ...]


Expectation = ExpectedValue | ExpectedRows


@record(frozen=True, kw_only=True, slots=True)
class Step:
    """The base class for all steps.

    `timeout_ms` limits the time of each statement; `lock_timeout_ms` limits each wait for a lock. `name` is the name in
    the file, or None; `when` is a Jinja expression that must be true for the step to run. A step with `once` is not run
    again when the migration is verified later. `named_file` is the file that contains the step's text; None if the
    migration's own file contains the text.

    `kind` is the name of the step kind in checksums. It is stored in the history of every database and must never
    change. All other properties of a step kind are defined by its StepKind in `plan/step_kinds`.
    """

    kind: ClassVar[str]

    span: Span
    name: str | None = None
    when: LocatedSource | None = None
    once: bool = False
    timeout_ms: int | None = None
    lock_timeout_ms: int | None = None
    named_file: NamedFile | None = None

    @property
    def located_source(self) -> LocatedSource:
        """The text that defines the step: its SQL, or the name of its hook."""
        raise NotImplementedError


@record(frozen=True, kw_only=True, slots=True)
class StepWithSql(Step):
    """A step that is defined by SQL."""

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
    """A DDL file, used verbatim, or rendered if `is_template`."""

    kind = "FileStep"

    is_template: bool


@record(frozen=True, kw_only=True, slots=True)
class CheckStep(StepWithSql):
    """A query (a template) and its expected result."""

    kind = "CheckStep"

    expect: Expectation


class OnConcurrentWrites(StrEnum):
    """The handling of concurrent writes to a backfill's tables."""

    CAPTURE = "capture"
    """Triggers record the keys that other sessions write, and those rows are filled again before the backfill ends."""
    IGNORE = "ignore"
    """No other session writes: the backfill stops if it detects a write."""


@record(frozen=True, kw_only=True, slots=True)
class ThrottleLimits:
    """The limits at which a backfill slows down or stops; None for signals that are not checked.

    `replica_lag_ms` limits the lag of streaming replicas; `wal_bytes_per_s` limits the WAL rate of the whole server;
    `long_transaction_ms` limits the age of other sessions' transactions. `query` (a template) must return true for the
    backfill to continue.
    """

    replica_lag_ms: int | None = 10_000
    wal_bytes_per_s: int | None = None
    long_transaction_ms: int | None = None
    query: LocatedSource | None = None


@record(frozen=True, kw_only=True, slots=True)
class BackfillStep(StepWithSql):
    """A batched backfill. `sql` is a template in which `{{ batch }}` is replaced by the condition of each batch.

    `source` is the driving table and `alias` is its alias in the query (default: the table's name). `key` is the batch
    key (default: the primary key). `captures` maps each other table that the query reads to the columns that hold the
    key.
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
    """A check that a table equals its defining query (`sql`, a template), key by key.

    The columns that the query returns are compared by name. `key` identifies rows; default: the table's primary key, if
    the query returns it. Both sides are first grouped and compared by the column `by`; default: the tenant column.
    """

    kind = "ReconcileStep"

    table: LocatedSource
    key: tuple[LocatedSource, ...] = ()
    by: LocatedSource | None = None


@record(frozen=True, kw_only=True, slots=True)
class HookRegistration:
    """A registered hook: the name, the class, and the place where it was registered.

    `phase` is the phase in which the hook runs in every migration; None if the hook runs only in steps that name it. A
    batched hook runs outside the migration's transaction, to fill rows in batches.
    """

    name: str
    hook: type[Any] = field(compare=False)
    phase: Phase | None
    is_batched: bool
    call_site: CallSite


@record(frozen=True, kw_only=True, slots=True)
class HookStep(Step):
    """A step that runs a Python hook: `reference` is its registered name, or `module:Class`.

    `registration` is the hook itself if the migration's own file registers it. `source` is then the source code of the
    class without comments: it is part of the migration's content.
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
    """Return the default name for a step: the beginning of the SQL, on one line.

    Checksums and the journal identify the step by this name, so the name must not depend on secrets. `hide_secrets`
    also hides a value that the name cuts off.
    """
    text = " ".join(sql.split())
    return text if len(text) <= _MAX_NAME_LENGTH else f"{text[: _MAX_NAME_LENGTH - 1]}…"


@record(frozen=True, kw_only=True, slots=True)
class Requirement:
    """A version that must be applied before, and the location of this requirement in the file."""

    version: str
    span: Span


@record(frozen=True, kw_only=True, slots=True)
class MigrationFile:
    """A migration file. `variables` are the file's own `vars`, not yet merged with the variables in the settings.

    If `is_complete` is false, the file has errors, and the object contains only the readable parts. This allows all
    errors to be reported at once.
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
        """The migration as displayed: the version and the name."""
        return f"{self.version} {self.name}"

    def steps(self, phase: Phase) -> tuple[Step, ...]:
        """Return the steps of a phase; empty if the file does not contain the phase."""
        return self.phases.get(phase, ())

    @property
    def named_files(self) -> tuple[NamedFile, ...]:
        """The files that the steps of all phases name, without duplicates."""
        files = [step.named_file for steps in self.phases.values() for step in steps if step.named_file]
        return tuple({named.file.path: named for named in files}.values())

    @property
    def is_pinned(self) -> bool:
        """Whether the migration's own folder contains every file that the steps name."""
        return all(named.is_pinned for named in self.named_files)
