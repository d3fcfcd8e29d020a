"""The plan as data: the steps to run. `migrate show` prints the plan; a run or a dry run executes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, NamedTuple

from confiture.errors import Diagnostic, Span
from confiture.models.migration import (
    Expectation,
    ExpectedRows,
    ExpectedValue,
    MigrationFile,
    OnConcurrentWrites,
    Phase,
)
from confiture.models.records import record
from confiture.models.source import RenderedSql
from confiture.secrets import hide_secrets

BATCH = '"confiture batch"'
"""A placeholder for the batch condition in a backfill statement. The parser reads it as a column."""


_WRITING = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt", "create_table_as_stmt"})


class Direction(StrEnum):
    """Whether migrations are applied or reverted."""

    UP = "up"
    DOWN = "down"


class TransactionMode(StrEnum):
    """The way in which a statement uses transactions."""

    TRANSACTIONAL = "transactional"
    OUTSIDE = "outside"
    """PostgreSQL rejects the statement inside a transaction."""
    BATCHED = "batched"
    """The statement commits many times and records its progress."""


class StepAction(StrEnum):
    """The action for a step's statements. Every module that runs steps handles all actions in a table."""

    EXECUTE = "execute"
    """The statements run one after another; a batched statement runs batch by batch."""
    CHECK = "check"
    """The single statement is a query that must return what the step expects."""
    RECONCILE = "reconcile"
    """The single statement is a query that a table must equal."""
    HOOK = "hook"
    """There are no statements: a Python hook runs."""

    @property
    def only_reads(self) -> bool:
        """Whether the action only reads, so that it can be repeated later."""
        return self in (StepAction.CHECK, StepAction.RECONCILE)


@record(frozen=True, kw_only=True, slots=True)
class ConcurrentIndex:
    """An index built or dropped CONCURRENTLY, as the catalog must show it after the statement."""

    name: str
    schema: str | None
    table: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class Statement:
    """An SQL statement. `offset` is its start in the step's rendered text, in characters from 0.

    `node_kind` is PostgreSQL's name for the statement kind (`create_stmt`). `is_concurrent` is whether the statement
    has a transactional form because only CONCURRENTLY keeps it out of transactions. If `text` is the transactional
    form, `original_sql` is the statement as written.
    """

    text: str
    offset: int
    node_kind: str
    transaction_mode: TransactionMode = TransactionMode.TRANSACTIONAL
    built_index: ConcurrentIndex | None = None
    dropped_index: ConcurrentIndex | None = None
    is_concurrent: bool = False
    original_sql: str | None = None

    @property
    def has_row_count(self) -> bool:
        """Whether statements of this kind write rows and report the number of rows."""
        return self.node_kind in _WRITING

    @property
    def display_text(self) -> str:
        """The text as displayed, without internal placeholders or secrets."""
        return hide_secrets(self.text.replace(BATCH, "{{ batch }}"))


class TableRef(NamedTuple):
    """A table as named in SQL: the schema, if given, and the name, both unquoted."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@record(frozen=True, kw_only=True, slots=True)
class CaptureSpec:
    """A table that changes the result of a backfill when written to. `columns` hold the batch key, in key order."""

    table: TableRef
    columns: tuple[str, ...]


@record(frozen=True, kw_only=True, slots=True)
class PlannedBackfill:
    """The plan for a batched step. The single statement contains `BATCH` in place of the batch condition.

    An empty `key` means the primary key of `source`. `target_columns` maps columns of `source` that the statement
    inserts unchanged to their names in `into`; None for UPDATE and DELETE. `conflict_columns` are the ON CONFLICT
    columns; `constants` are the columns of `into` that get the same value in each row.
    """

    into: TableRef
    source: TableRef
    alias: str
    key: tuple[str, ...]
    batch_rows: int
    batch_time_ms: int
    workers: int
    on_writes: OnConcurrentWrites
    captures: tuple[CaptureSpec, ...]
    target_columns: Mapping[str, str] | None
    conflict_columns: tuple[str, ...] = ()
    constants: Mapping[str, str | int] = field(default_factory=dict)
    replica_lag_ms: int | None = None
    wal_bytes_per_s: int | None = None
    long_transaction_ms: int | None = None
    throttle_query: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class PlannedReconcile:
    """The plan for comparing a table with its defining query, which is the step's single statement.

    An empty `key` means the primary key, or another unique key. `by_is_inferred` is whether `by` is not set in the
    file. In that case, a query that does not return the column `by` is compared as one group.
    """

    table: TableRef
    key: tuple[str, ...]
    by: str | None
    by_is_inferred: bool = False


@record(frozen=True, kw_only=True, slots=True)
class PlannedHook:
    """A Python hook that runs as a step, with its context.

    The context is the migration, the direction, the environment's name, and the template variables.
    """

    name: str
    hook: type[Any] = field(repr=False, compare=False)
    is_batched: bool
    migration: MigrationFile = field(repr=False)
    direction: Direction
    environment: str
    variables: Mapping[str, Any] = field(repr=False)


@record(frozen=True, kw_only=True, slots=True)
class PlannedStep:
    """A step, rendered and parsed. `number` counts from 1 within its phase.

    `kind` is the frozen name of the step kind; `content` is the part of the plan other than statements.

    If the statements commit separately, the step appears once in each segment, with the statements that run in that
    segment; `part` and `parts` distinguish these parts. If the step's file, or variables of its template, are missing,
    `missing_variables` lists them; the step then has no statements and cannot run. `skip_reason` is why a step does not
    run; `note` is a remark about a step that runs.
    """

    phase: Phase
    number: int
    name: str
    span: Span
    kind: str
    rendered: RenderedSql
    statements: tuple[Statement, ...]
    action: StepAction = StepAction.EXECUTE
    content: object | None = None
    once: bool = False
    timeout_ms: int | None = None
    lock_timeout_ms: int | None = None
    skip_reason: str | None = None
    note: str | None = None
    missing_variables: tuple[Diagnostic, ...] = ()
    part: int = 1
    parts: int = 1

    @property
    def expect(self) -> Expectation | None:
        """The expected result of the query; None if the step is not a check."""
        return self.content if isinstance(self.content, ExpectedValue | ExpectedRows) else None

    @property
    def backfill(self) -> PlannedBackfill | None:
        """The plan for the batches; None if the step is not a backfill."""
        return self.content if isinstance(self.content, PlannedBackfill) else None

    @property
    def reconcile(self) -> PlannedReconcile | None:
        """The table that the query is compared with; None if the step is not a reconcile."""
        return self.content if isinstance(self.content, PlannedReconcile) else None

    @property
    def hook(self) -> PlannedHook | None:
        """The hook to run; None if the step is not a hook."""
        return self.content if isinstance(self.content, PlannedHook) else None

    @property
    def transaction_mode(self) -> TransactionMode:
        """The step's transaction mode. After the split into segments, all statements in a step have the same mode."""
        if self.hook is not None and self.hook.is_batched:
            return TransactionMode.BATCHED
        return self.statements[0].transaction_mode if self.statements else TransactionMode.TRANSACTIONAL

    @property
    def label(self) -> str:
        """The step as displayed."""
        return self.name if self.parts == 1 else f"{self.name} ({self.part}/{self.parts})"


@record(frozen=True, kw_only=True, slots=True)
class StepId:
    """The identity of a step in a run. `number` counts from 1 in the phase; `part` counts from 1 in a split step."""

    version: str
    phase: Phase
    number: int
    part: int
    name: str
    segment: int
    span: Span


@record(frozen=True, kw_only=True, slots=True)
class Segment:
    """Steps that commit together. A segment outside a transaction is a single statement. `number` counts from 1."""

    number: int
    steps: tuple[PlannedStep, ...]
    transaction_mode: TransactionMode
    settings: tuple[str, ...] = ()
    """The statements from earlier segments that change session settings; they are repeated before the steps."""
    expected_settings: tuple[str, ...] | None = None
    """The statements that make the settings in force at the segment's end; None if no segment follows."""


@record(frozen=True, kw_only=True, slots=True)
class StepChecksum:
    """The checksum of one step as written in its file, with the step's label, so that drift can be reported by step."""

    phase: Phase
    label: str
    checksum: str


class InputKind(StrEnum):
    """The kind of something that a migration uses and that is not in its texts."""

    VARIABLE = "variable"
    """A variable from the settings, the process environment, or the command line."""
    HOOK = "hook"
    """A hook that another file defines."""
    MODULE = "module"
    """A module of the project that a Python migration imports."""


@record(frozen=True, kw_only=True, slots=True)
class MigrationInput:
    """Something that a migration uses and that is not in its texts; `digest` is a hash of its value or its file."""

    kind: InputKind
    name: str
    digest: str


class MigrationChecksums(NamedTuple):
    """The checksums of a migration's up phases and of each step. They do not depend on white space or comments."""

    migration: str
    steps: tuple[StepChecksum, ...]


@record(frozen=True, kw_only=True, slots=True)
class PlannedMigration:
    """A migration split into segments. `checksums` and `inputs` are computed on demand; few commands need them."""

    migration: MigrationFile
    direction: Direction
    segments: tuple[Segment, ...]
    on_error: tuple[Segment, ...]
    checksums: Callable[[], MigrationChecksums] = field(compare=False, repr=False)
    inputs: Callable[[], tuple[MigrationInput, ...]] = field(default=tuple, compare=False, repr=False)

    @property
    def checksum(self) -> str:
        """The checksum of the up phases."""
        return self.checksums().migration

    @property
    def step_checksums(self) -> tuple[StepChecksum, ...]:
        """The checksum of each step of the up phases."""
        return self.checksums().steps

    @property
    def version(self) -> str:
        """The migration's version."""
        return self.migration.version

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """All steps of all segments, in order."""
        return tuple(step for segment in self.segments for step in segment.steps)

    @property
    def missing_variables(self) -> tuple[Diagnostic, ...]:
        """The missing variables that keep the migration from running, in the order in which steps need them."""
        segments = (*self.segments, *self.on_error)
        return tuple(
            dict.fromkeys(one for segment in segments for step in segment.steps for one in step.missing_variables)
        )


@record(frozen=True, kw_only=True, slots=True)
class Plan:
    """The migrations in one run, in execution order."""

    direction: Direction
    migrations: tuple[PlannedMigration, ...]
