"""What will run: the plan, as data. `migrate show` prints it, run and dry run carry it out."""

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
"""Stands in the statement of a backfill where the condition of each batch goes: to the parser it is a column."""


_WRITING = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt", "create_table_as_stmt"})


class Direction(StrEnum):
    """Whether migrations are applied or undone."""

    UP = "up"
    DOWN = "down"


class TransactionMode(StrEnum):
    """How a statement behaves towards a transaction."""

    TRANSACTIONAL = "transactional"
    OUTSIDE = "outside"
    """PostgreSQL refuses it inside a transaction."""
    BATCHED = "batched"
    """It commits many times by itself, and records how far it came."""


class StepAction(StrEnum):
    """What is done with the statements of a step. Whoever runs steps has a table with all of these."""

    EXECUTE = "execute"
    """They run, one after the other; where they are batched, batch by batch."""
    CHECK = "check"
    """The one statement is a query that must return what the step expects."""
    RECONCILE = "reconcile"
    """The one statement is a query that a table must equal."""
    HOOK = "hook"
    """There are none: a Python hook runs."""

    @property
    def only_reads(self) -> bool:
        """Whether it asks what is there, changes nothing, and can be repeated later."""
        return self in (StepAction.CHECK, StepAction.RECONCILE)


@record(frozen=True, kw_only=True, slots=True)
class ConcurrentIndex:
    """An index built or dropped CONCURRENTLY: what the catalog must say once the statement is done."""

    name: str
    schema: str | None
    table: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class Statement:
    """One SQL statement. `offset` is where it begins (characters, from 0) in its step's rendered text.

    `node_kind` is PostgreSQL's name of the statement's kind (`create_stmt`). `is_concurrent` is whether only
    CONCURRENTLY keeps it out of transactions, so that it has a form that can run in one; `original_sql` is the
    statement as written, where this is that form.
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
        """Whether it is of a kind that writes rows, and tells how many."""
        return self.node_kind in _WRITING

    @property
    def display_text(self) -> str:
        """The text as people are shown it, without marks of ours."""
        return hide_secrets(self.text.replace(BATCH, "{{ batch }}"))


class TableRef(NamedTuple):
    """A table as SQL names it: the schema, where it is said, and the name, both unquoted."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@record(frozen=True, kw_only=True, slots=True)
class CaptureSpec:
    """A table whose writes change what a backfill makes. `columns` hold the batch key, in its order."""

    table: TableRef
    columns: tuple[str, ...]


@record(frozen=True, kw_only=True, slots=True)
class PlannedBackfill:
    """How a step is filled in batches. Its one statement has `BATCH` where the batch's condition goes.

    An empty `key` means the primary key of `source`. `target_columns` says of the columns of `source` that the
    statement inserts as they are, under which name they reach `into`; None for UPDATE and DELETE. `conflict_columns`
    are those of its ON CONFLICT, `constants` the columns of `into` that get the same value in each row.
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
    """How a table is held against its defining query, the step's one statement.

    An empty `key` means the primary key, or what else is unique. Where `by_is_inferred`, the file does not name `by`: a
    query that does not return it is compared as one group.
    """

    table: TableRef
    key: tuple[str, ...]
    by: str | None
    by_is_inferred: bool = False


@record(frozen=True, kw_only=True, slots=True)
class PlannedHook:
    """A Python hook that runs as a step, and what it is told: its migration, the direction, the environment's name and
    the variables that templates see.
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

    `kind` is the frozen name of its kind, and `content` what that planned beyond the statements.

    A step whose statements commit apart appears once in each segment, with the statements that run there; `part` and
    `parts` then tell them apart. `missing_variables` are the variables that its templates lack: it cannot run, and has
    no statements. `skip_reason` says why a step does not run, `note` what people should know of one that does.
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
        """What its query must return, None where it is not a check."""
        return self.content if isinstance(self.content, ExpectedValue | ExpectedRows) else None

    @property
    def backfill(self) -> PlannedBackfill | None:
        """How it is filled in batches, None where it is not a backfill."""
        return self.content if isinstance(self.content, PlannedBackfill) else None

    @property
    def reconcile(self) -> PlannedReconcile | None:
        """What its query is compared with, None where it is not a reconcile."""
        return self.content if isinstance(self.content, PlannedReconcile) else None

    @property
    def hook(self) -> PlannedHook | None:
        """The hook that it runs, None where it runs none."""
        return self.content if isinstance(self.content, PlannedHook) else None

    @property
    def transaction_mode(self) -> TransactionMode:
        """How the step behaves towards a transaction; its statements agree, once it is cut."""
        if self.hook is not None and self.hook.is_batched:
            return TransactionMode.BATCHED
        return self.statements[0].transaction_mode if self.statements else TransactionMode.TRANSACTIONAL

    @property
    def label(self) -> str:
        """How people are shown the step."""
        return self.name if self.parts == 1 else f"{self.name} ({self.part}/{self.parts})"


@record(frozen=True, kw_only=True, slots=True)
class StepId:
    """Names a step of a run. `number` counts from 1 within the phase, `part` within a step that was cut."""

    version: str
    phase: Phase
    number: int
    part: int
    name: str
    segment: int
    span: Span


@record(frozen=True, kw_only=True, slots=True)
class Segment:
    """What commits together. Outside a transaction it is one statement. `number` counts from 1."""

    number: int
    steps: tuple[PlannedStep, ...]
    transaction_mode: TransactionMode


@record(frozen=True, kw_only=True, slots=True)
class StepChecksum:
    """The checksum of one step as its file says it, with what people call it, so that drift can be named."""

    phase: Phase
    label: str
    checksum: str


class MigrationChecksums(NamedTuple):
    """What identifies the up phases of a migration, blind to white space and comments: as a whole, and step by step."""

    migration: str
    steps: tuple[StepChecksum, ...]


@record(frozen=True, kw_only=True, slots=True)
class PlannedMigration:
    """A migration cut into segments. `checksums` works them out at the first call: not every command needs them."""

    migration: MigrationFile
    direction: Direction
    segments: tuple[Segment, ...]
    on_error: tuple[Segment, ...]
    checksums: Callable[[], MigrationChecksums] = field(compare=False, repr=False)

    @property
    def checksum(self) -> str:
        """The checksum of the up phases."""
        return self.checksums().migration

    @property
    def step_checksums(self) -> tuple[StepChecksum, ...]:
        """The checksum of each step of these."""
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
        """The variables that keep it from running, in the order in which its steps ask for them."""
        segments = (*self.segments, *self.on_error)
        return tuple(
            dict.fromkeys(one for segment in segments for step in segment.steps for one in step.missing_variables)
        )


@record(frozen=True, kw_only=True, slots=True)
class Plan:
    """The migrations of one run, in the order in which they run."""

    direction: Direction
    migrations: tuple[PlannedMigration, ...]
