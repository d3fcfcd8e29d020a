"""What a run did: the one report that every output format renders."""

from __future__ import annotations

from dataclasses import dataclass

from confiture.errors import Diagnostic, Span
from confiture.models.events import Blocked, Outcome, StepId
from confiture.models.plan import Direction
from confiture.models.trace import Blocks, LockTrace, StatementTrace


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
class RunWarning:
    """Something measured that production would feel, and the way out. `measured_ms` is None where no time was."""

    code: str
    message: str
    hint: str
    table: str | None = None
    measured_ms: float | None = None
    span: Span | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """How long the real run will take, in milliseconds; None where it is not known.

    `confidence_percent` is the chance that the real time is within 15 % of `production_ms`; the range from `low_ms`
    to `high_ms` is meant to hold the real time in `level_percent` of all cases. `runs` is how many dry runs it rests
    on; `scaled` says that their times were scaled by the row counts of another database.
    """

    production_ms: float
    low_ms: float | None
    high_ms: float | None
    confidence_percent: float | None
    level_percent: int
    runs: int
    scaled: bool


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
        worst: dict[str, LockTrace] = {}
        for lock in self.locks:
            if "table" in lock.kind and lock.mode.blocks in (Blocks.READS, Blocks.WRITES):
                known = worst.get(lock.relation)
                if known is None or lock.mode.strength > known.mode.strength:
                    worst[lock.relation] = lock
        return tuple(sorted(worst, key=lambda table: (-worst[table].mode.strength, -worst[table].held_ms)))
