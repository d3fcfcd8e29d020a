"""What a run did: the one report that every output format renders."""

from __future__ import annotations

from dataclasses import dataclass

from confiture.errors import Diagnostic
from confiture.models.events import Blocked, Outcome
from confiture.models.findings import Finding
from confiture.models.plan import Direction, StepId
from confiture.models.trace import Estimate, LockTrace, RunWarning, StatementTrace, worst_locks


@dataclass(frozen=True, kw_only=True, slots=True)
class StepReport:
    """A step that ran, or was skipped. `duration_ms` is measured; `rows` as in StepFinished."""

    step: StepId
    outcome: Outcome
    duration_ms: float
    rows: int | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
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


@dataclass(frozen=True, kw_only=True, slots=True)
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
    warnings: tuple[RunWarning, ...] = ()
    leftovers: tuple[str, ...] = ()
    """What the rollback of a dry run did not take back."""
    estimate: Estimate | None = None
    blocked: tuple[Blocked, ...] = ()

    @property
    def locks(self) -> tuple[LockTrace, ...]:
        """All locks of a dry run on relations that existed before, in the order in which they were taken."""
        return tuple(lock for statement in self.statements for lock in statement.locks)

    @property
    def locked_tables(self) -> tuple[str, ...]:
        """The tables that a dry run keeps readers or writers out of, the worst first."""
        return tuple(lock.relation for lock in worst_locks(self.locks))
