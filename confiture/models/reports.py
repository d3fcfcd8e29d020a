"""What a run did: the one report that every output format renders."""

from __future__ import annotations

from dataclasses import dataclass

from confiture.errors import Diagnostic, Span
from confiture.models.events import Outcome, StepId
from confiture.models.plan import Direction


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
