"""The report of a run. Every output format renders this report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from confiture.errors import Diagnostic
from confiture.models.events import BackfillProgressed, OthersBlocked, Outcome, ServerMessage
from confiture.models.findings import Finding
from confiture.models.plan import Direction, StepId
from confiture.models.records import record
from confiture.models.tenancy_proofs import IsolationReport
from confiture.models.trace import DryRunWarning, Estimate, LockTrace, StatementTrace, worst_locks


@record(frozen=True, kw_only=True, slots=True)
class StepReport:
    """A step that ran or was skipped. `duration_ms` is measured; `rows` has the same meaning as in StepFinished."""

    step: StepId
    outcome: Outcome
    duration_ms: float
    rows: int | None = None
    note: str | None = None
    stats: Mapping[str, Any] | None = None

    @property
    def note_and_stats(self) -> str | None:
        """The step's note and the hook's statistics, as one string."""
        parts = [self.note] if self.note else []
        parts += [f"{name}: {value}" for name, value in (self.stats or {}).items()]
        return ", ".join(parts) or None


@record(frozen=True, kw_only=True, slots=True)
class MigrationReport:
    """A migration in the run. `outcome` is None if the run did not reach the migration."""

    version: str
    name: str
    steps: tuple[StepReport, ...] = ()
    outcome: Outcome | None = None
    duration_ms: float | None = None
    retries: int = 0

    @property
    def rows(self) -> int:
        """The number of rows written by all steps."""
        return sum(step.rows or 0 for step in self.steps)


@record(frozen=True, kw_only=True, slots=True)
class ProgressInterval:
    """The progress of a backfill between two polls. Times are in seconds since this run began to fill rows.

    `source_rows` is the number of driving-table rows committed in `batches`. `batch_rows` is the next batch size at the
    end of the interval; `retries` is the number of retried batches. The backfill waited for `waiting_s` in total, and
    longest for the reason `waiting_for`.
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
    """A batched backfill in the run, up to the `last` event.

    `first` is the progress that earlier runs had committed. `intervals` follow each other without gaps; there are a few
    hundred, regardless of the run time. `waiting_s_by_reason` is the number of seconds that the backfill was slowed
    down or stopped, by reason.
    """

    first: BackfillProgressed
    last: BackfillProgressed
    intervals: tuple[ProgressInterval, ...] = ()
    retries: int = 0
    unreported_retries: int = 0
    """The retries since `last`."""
    waiting_s_by_reason: Mapping[str, float] = field(default_factory=dict)

    @property
    def median_batch_rows(self) -> float | None:
        """The median size of this run's batches, in driving-table rows; None before the first batch.

        Batches between the same two polls count as equal.
        """
        sizes = sorted((one.source_rows / one.batches, one.batches) for one in self.intervals if one.batches)
        half, count = sum(batches for _, batches in sizes) / 2, 0
        for size, batches in sizes:
            count += batches
            if count >= half:
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
    server_messages: tuple[ServerMessage, ...] = ()
    """The messages that PostgreSQL sent, without duplicates in a step."""
    findings: tuple[Finding, ...] = ()
    """The lint findings in the migrations before they ran."""
    diagnostics: tuple[Diagnostic, ...] = ()
    statements: tuple[StatementTrace, ...] = ()
    """Dry run only: the effects of each statement in the last repetition."""
    warnings: tuple[DryRunWarning, ...] = ()
    leftovers: tuple[str, ...] = ()
    """Effects of a dry run that the rollback did not revert."""
    estimate: Estimate | None = None
    isolation: IsolationReport | None = None
    """Dry run only: whether tenants are isolated; None if this was not checked."""
    blocked: tuple[OthersBlocked, ...] = ()
    backfills: tuple[BackfillReport, ...] = ()

    @property
    def execution_time_ms(self) -> float:
        """The run's duration from its first connection, in milliseconds."""
        return self.duration_ms

    @property
    def rows_affected(self) -> int:
        """The number of rows that the run wrote; for a sampled backfill, the rows in the sample."""
        return sum(migration.rows for migration in self.migrations)

    @property
    def estimated_production_time_ms(self) -> float | None:
        """The real run's duration as estimated from a dry run's measurements; None if unknown."""
        return self.estimate.production_ms if self.estimate else None

    @property
    def estimated_range_low_ms(self) -> float | None:
        """The lower end of the range for the real run's duration; None if a single run is not enough."""
        return self.estimate.low_ms if self.estimate else None

    @property
    def estimated_range_high_ms(self) -> float | None:
        """The upper end of the range for the real run's duration; None if a single run is not enough."""
        return self.estimate.high_ms if self.estimate else None

    @property
    def confidence_percent(self) -> float | None:
        """The probability that the real duration is within 15 % of the estimate; None if a single run is not enough."""
        return self.estimate.confidence_percent if self.estimate else None

    @property
    def steps(self) -> tuple[StepReport, ...]:
        """The steps of all migrations, in execution order."""
        return tuple(step for migration in self.migrations for step in migration.steps)

    @property
    def locks(self) -> tuple[LockTrace, ...]:
        """All dry-run locks on relations that existed before the run, in the order in which they were acquired."""
        return tuple(lock for statement in self.statements for lock in statement.locks)

    @property
    def sampled_steps(self) -> frozenset[StepId]:
        """The backfills that a dry run only sampled. Their row counts refer to the sample."""
        return frozenset(statement.step for statement in self.statements if statement.weight != 1)

    @property
    def locked_tables(self) -> tuple[str, ...]:
        """The tables on which a dry run blocks reads or writes, worst first."""
        return tuple(lock.relation for lock in worst_locks(self.locks))
