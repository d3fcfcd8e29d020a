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
from confiture.models.source import LocatedSource, SourceFile

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
    """The single value that a check must return, compared with `value`."""

    operator: Operator
    value: Scalar


@record(frozen=True, kw_only=True, slots=True)
class ExpectedRows:
    """The rows that a check must return, in order."""

    rows: tuple[tuple[Scalar, ...], ...]


Expectation = ExpectedValue | ExpectedRows


@record(frozen=True, kw_only=True, slots=True)
class Step:
    """Base class of all steps.

    `timeout_ms` limits each statement of the step, `lock_timeout_ms` its waits for locks. `name` is the name in the
    file, None if it has none; `when` is a Jinja expression that must be true for the step to run. A step with `once` is
    not run again when the migration is verified later.

    `kind` names the kind of step in checksums. It is stored in the history of every database and must never change.
    Everything else about a kind of step is in its StepKind in `plan/step_kinds`.
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
    """The handling of concurrent writes to the tables of a backfill."""

    CAPTURE = "capture"
    """Triggers record the keys that other sessions write; those are filled again before the end."""
    IGNORE = "ignore"
    """No other session writes: the backfill stops if it detects a write."""


@record(frozen=True, kw_only=True, slots=True)
class ThrottleLimits:
    """The limits at which a backfill slows down or stops; None for signals that are not checked.

    `replica_lag_ms` is the highest lag of a streaming replica, `wal_bytes_per_s` the highest WAL rate of the whole
    server, `long_transaction_ms` the highest age of the oldest transaction of another session. `query` (a template)
    must return true for the backfill to continue.
    """

    replica_lag_ms: int | None = 10_000
    wal_bytes_per_s: int | None = None
    long_transaction_ms: int | None = None
    query: LocatedSource | None = None


@record(frozen=True, kw_only=True, slots=True)
class BackfillStep(StepWithSql):
    """A batched backfill. `sql` is a template in which `{{ batch }}` is replaced by the condition of each batch.

    `source` is the driving table and `alias` its name in the query (default: the table's name). `key` is its batch key;
    default: its primary key. `captures` maps each other table that the query reads to its columns that hold the key.
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
    the query returns it. `by` is the column by which both sides are first grouped and compared; default: the tenant
    column.
    """

    kind = "ReconcileStep"

    table: LocatedSource
    key: tuple[LocatedSource, ...] = ()
    by: LocatedSource | None = None


@record(frozen=True, kw_only=True, slots=True)
class HookRegistration:
    """A registered hook: its name, its class, and where it was registered.

    `phase` is when it runs in every migration, None if it only runs in steps that name it. A batched hook runs outside
    the migration's transaction, to fill in batches.
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
    """Return the name of a step that has none: the beginning of its SQL, on one line.

    Checksums and the journal identify the step by it, so it does not depend on secrets; `hide_secrets` finds the part
    of a value that it ends with.
    """
    text = " ".join(sql.split())
    return text if len(text) <= _MAX_NAME_LENGTH else f"{text[: _MAX_NAME_LENGTH - 1]}…"


@record(frozen=True, kw_only=True, slots=True)
class Requirement:
    """A version that must be applied before, and where the file requires it."""

    version: str
    span: Span


@record(frozen=True, kw_only=True, slots=True)
class MigrationFile:
    """A migration file. `variables` are its own `vars`, not yet merged with those of the settings.

    If not `is_complete`, the file has errors: the object holds what could be read, so that all errors are reported at
    once.
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
        """The migration as displayed: its version and its name."""
        return f"{self.version} {self.name}"

    def steps(self, phase: Phase) -> tuple[Step, ...]:
        """Return the steps of a phase; none if the file does not have it."""
        return self.phases.get(phase, ())
