"""The plan as data: what will run. `migrate show` prints it; run and dry run execute it."""

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
"""Placeholder for the condition of each batch in the statement of a backfill: to the parser it is a column."""


_WRITING = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt", "create_table_as_stmt"})


class Direction(StrEnum):
    """Whether migrations are applied or reverted."""

    UP = "up"
    DOWN = "down"


class TransactionMode(StrEnum):
    """The relation of a statement to transactions."""

    TRANSACTIONAL = "transactional"
    OUTSIDE = "outside"
    """PostgreSQL rejects it inside a transaction."""
    BATCHED = "batched"
    """It commits many times and records its progress."""


class StepAction(StrEnum):
    """The action for the statements of a step. Every module that runs steps handles all actions in a table."""

    EXECUTE = "execute"
    """The statements run one after the other; a batched statement runs batch by batch."""
    CHECK = "check"
    """The single statement is a query that must return what the step expects."""
    RECONCILE = "reconcile"
    """The single statement is a query that a table must equal."""
    HOOK = "hook"
    """There are no statements: a Python hook runs."""

    @property
    def only_reads(self) -> bool:
        """Whether it only reads, so that it can be repeated later."""
        return self in (StepAction.CHECK, StepAction.RECONCILE)


@record(frozen=True, kw_only=True, slots=True)
class ConcurrentIndex:
    """An index built or dropped CONCURRENTLY, as the catalog must show it after the statement."""

    name: str
    schema: str | None
    table: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class Statement:
    """An SQL statement. `offset` is its start (characters, from 0) in the rendered text of its step.

    `node_kind` is PostgreSQL's name for the kind of statement (`create_stmt`). `is_concurrent` is whether only
    CONCURRENTLY keeps it out of transactions, so that it has a transactional form; if this is that form, `original_sql`
    is the statement as written.
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
        """Whether statements of its kind write rows and report how many."""
        return self.node_kind in _WRITING

    @property
    def display_text(self) -> str:
        """The text as displayed, without internal placeholders and without secrets."""
        return hide_secrets(self.text.replace(BATCH, "{{ batch }}"))


class TableRef(NamedTuple):
    """A table as named in SQL: the schema, if given, and the name, both unquoted."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@record(frozen=True, kw_only=True, slots=True)
class CaptureSpec:
    """A table whose writes change the result of a backfill. `columns` hold the batch key, in its order."""

    table: TableRef
    columns: tuple[str, ...]


@record(frozen=True, kw_only=True, slots=True)
class PlannedBackfill:
    """The plan of a step that is filled in batches. Its single statement has `BATCH` in place of the batch's condition.

    An empty `key` means the primary key of `source`. `target_columns` maps columns of `source` that the statement
    inserts unchanged to their names in `into`; None for UPDATE and DELETE. `conflict_columns` are those of its ON
    CONFLICT, `constants` the columns of `into` that get the same value in each row.
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
    """The plan of comparing a table with its defining query, the step's single statement.

    An empty `key` means the primary key, or another unique key. If `by_is_inferred`, the file does not name `by`: a
    query that does not return it is compared as one group.
    """

    table: TableRef
    key: tuple[str, ...]
    by: str | None
    by_is_inferred: bool = False


@record(frozen=True, kw_only=True, slots=True)
class PlannedHook:
    """A Python hook that runs as a step, and its context: its migration, the direction, the environment's name and the
    variables of templates.
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

    `kind` is the frozen name of its kind, and `content` the part of its plan that is not statements.

    A step whose statements commit separately appears once in each segment, with the statements that run there; `part`
    and `parts` distinguish these. `missing_variables` are the variables that its templates lack: it cannot run and has
    no statements. `skip_reason` is why a step does not run, `note` is a remark about a step that runs.
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
        """The expected result of its query, None if it is not a check."""
        return self.content if isinstance(self.content, ExpectedValue | ExpectedRows) else None

    @property
    def backfill(self) -> PlannedBackfill | None:
        """The plan of its batches, None if it is not a backfill."""
        return self.content if isinstance(self.content, PlannedBackfill) else None

    @property
    def reconcile(self) -> PlannedReconcile | None:
        """The table that its query is compared with, None if it is not a reconcile."""
        return self.content if isinstance(self.content, PlannedReconcile) else None

    @property
    def hook(self) -> PlannedHook | None:
        """The hook that it runs, None if it is not a hook."""
        return self.content if isinstance(self.content, PlannedHook) else None

    @property
    def transaction_mode(self) -> TransactionMode:
        """The transaction mode of the step; after it is split into segments, all of its statements agree."""
        if self.hook is not None and self.hook.is_batched:
            return TransactionMode.BATCHED
        return self.statements[0].transaction_mode if self.statements else TransactionMode.TRANSACTIONAL

    @property
    def label(self) -> str:
        """The step as displayed."""
        return self.name if self.parts == 1 else f"{self.name} ({self.part}/{self.parts})"


@record(frozen=True, kw_only=True, slots=True)
class StepId:
    """The identity of a step in a run. `number` counts from 1 within the phase, `part` within a step that was split."""

    version: str
    phase: Phase
    number: int
    part: int
    name: str
    segment: int
    span: Span


@record(frozen=True, kw_only=True, slots=True)
class Segment:
    """Steps that commit together. Outside a transaction it is a single statement. `number` counts from 1."""

    number: int
    steps: tuple[PlannedStep, ...]
    transaction_mode: TransactionMode
    settings: tuple[str, ...] = ()
    """The statements of earlier segments whose settings of the session are made again before the steps."""


@record(frozen=True, kw_only=True, slots=True)
class StepChecksum:
    """The checksum of one step as written in its file, with its label, so that drift can be reported by step."""

    phase: Phase
    label: str
    checksum: str


class MigrationChecksums(NamedTuple):
    """The checksums of a migration's up phases, as a whole and step by step. They ignore white space and comments."""

    migration: str
    steps: tuple[StepChecksum, ...]


@record(frozen=True, kw_only=True, slots=True)
class PlannedMigration:
    """A migration split into segments. `checksums` computes them on its first call: not every command needs them."""

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
        """The variables that keep it from running, in the order in which its steps need them."""
        segments = (*self.segments, *self.on_error)
        return tuple(
            dict.fromkeys(one for segment in segments for step in segment.steps for one in step.missing_variables)
        )


@record(frozen=True, kw_only=True, slots=True)
class Plan:
    """The migrations of one run, in the order in which they run."""

    direction: Direction
    migrations: tuple[PlannedMigration, ...]
