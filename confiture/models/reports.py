"""What a run did: the one report that every output format renders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from confiture.errors import Diagnostic
from confiture.models.events import BackfillProgressed, OthersBlocked, Outcome
from confiture.models.findings import Finding
from confiture.models.plan import Direction, StepId
from confiture.models.records import record
from confiture.models.tenancy_proofs import IsolationReport
from confiture.models.trace import DryRunWarning, Estimate, LockTrace, StatementTrace, worst_locks


@record(frozen=True, kw_only=True, slots=True)
class StepReport:
    """A step that ran, or was skipped. `duration_ms` is measured; `rows` as in StepFinished."""

    step: StepId
    outcome: Outcome
    duration_ms: float
    rows: int | None = None
    note: str | None = None
    stats: Mapping[str, Any] | None = None

    @property
    def note_and_stats(self) -> str | None:
        """What people should know of the step: its note, and what a hook says of itself."""
        told = [self.note] if self.note else []
        told += [f"{name}: {value}" for name, value in (self.stats or {}).items()]
        return ", ".join(told) or None


@record(frozen=True, kw_only=True, slots=True)
class MigrationReport:
    """A migration of the run. `outcome` is None for one that the run did not reach."""

    version: str
    name: str
    steps: tuple[StepReport, ...] = ()
    outcome: Outcome | None = None
    duration_ms: float | None = None
    retries: int = 0

    @property
    def rows(self) -> int:
        """All rows that its steps wrote."""
        return sum(step.rows or 0 for step in self.steps)


@record(frozen=True, kw_only=True, slots=True)
class ProgressInterval:
    """What a backfill did between two looks at it, in seconds from when this run began to fill.

    `source_rows` of the driving table were committed in `batches`; `batch_rows` is how many the next one was to take at
    its end, `retries` how many batches were tried again. It was held back for `waiting_s`, the longest by
    `waiting_for`.
    """

    start_s: float
    end_s: float
    source_rows: int
    batches: int
    batch_rows: int
    retries: int = 0
    waiting_s: float = 0.0
    waiting_for: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class BackfillReport:
    """A batched backfill of the run, up to the `last` that was told of it.

    `first` says what earlier runs had committed. `intervals` follow each other without gaps; there are few hundred
    however long it takes. `waiting_s_by_reason` says for how many seconds it was held back (slowed down or stopped) by
    what.
    """

    first: BackfillProgressed
    last: BackfillProgressed
    intervals: tuple[ProgressInterval, ...] = ()
    retries: int = 0
    unreported_retries: int = 0
    """Those since `last`."""
    waiting_s_by_reason: Mapping[str, float] = field(default_factory=dict)

    @property
    def median_batch_rows(self) -> float | None:
        """Half of the batches of this run took no more rows of the driving table; None before the first one.

        Batches between the same two looks count as equal.
        """
        told = sorted((one.source_rows / one.batches, one.batches) for one in self.intervals if one.batches)
        half, seen = sum(batches for _, batches in told) / 2, 0
        for size, batches in told:
            seen += batches
            if seen >= half:
                return size
        return None


@record(frozen=True, kw_only=True, slots=True)
class RunReport:
    """A whole run."""

    direction: Direction
    dry_run: bool
    environment: str
    database: str
    migrations: tuple[MigrationReport, ...] = ()
    outcome: Outcome | None = None
    duration_ms: float = 0.0
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What lint found in the migrations before they ran."""
    diagnostics: tuple[Diagnostic, ...] = ()
    statements: tuple[StatementTrace, ...] = ()
    """Of a dry run: what each statement was seen to do, in the last repetition."""
    warnings: tuple[DryRunWarning, ...] = ()
    leftovers: tuple[str, ...] = ()
    """What the rollback of a dry run did not take back."""
    estimate: Estimate | None = None
    isolation: IsolationReport | None = None
    """Of a dry run: whether tenants stay apart; None where that was not proved."""
    blocked: tuple[OthersBlocked, ...] = ()
    backfills: tuple[BackfillReport, ...] = ()

    @property
    def execution_time_ms(self) -> float:
        """How long the run took, from its first connection, in milliseconds."""
        return self.duration_ms

    @property
    def rows_affected(self) -> int:
        """All rows that the run wrote; of a backfill that was sampled, those of the sample."""
        return sum(migration.rows for migration in self.migrations)

    @property
    def estimated_production_time_ms(self) -> float | None:
        """How long the real run will take, by what a dry run measured; None where it is not known."""
        return self.estimate.production_ms if self.estimate else None

    @property
    def estimated_range_low_ms(self) -> float | None:
        """Where the range begins that is meant to hold the real time; None where one run says too little."""
        return self.estimate.low_ms if self.estimate else None

    @property
    def estimated_range_high_ms(self) -> float | None:
        """Where that range ends."""
        return self.estimate.high_ms if self.estimate else None

    @property
    def confidence_percent(self) -> float | None:
        """The chance that the real time is within 15 % of the estimate; None where one run says too little."""
        return self.estimate.confidence_percent if self.estimate else None

    @property
    def steps(self) -> tuple[StepReport, ...]:
        """The steps of all migrations, in the order in which they ran."""
        return tuple(step for migration in self.migrations for step in migration.steps)

    @property
    def locks(self) -> tuple[LockTrace, ...]:
        """All locks of a dry run on relations that existed before, in the order in which they were taken."""
        return tuple(lock for statement in self.statements for lock in statement.locks)

    @property
    def sampled_steps(self) -> frozenset[StepId]:
        """The backfills of a dry run of which only a sample ran: their rows are those of the sample."""
        return frozenset(statement.step for statement in self.statements if statement.weight != 1)

    @property
    def locked_tables(self) -> tuple[str, ...]:
        """The tables that a dry run keeps readers or writers out of, the worst first."""
        return tuple(lock.relation for lock in worst_locks(self.locks))
