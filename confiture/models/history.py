"""What the database remembers of the migrations that ran."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from confiture.models.plan import StepChecksum
from confiture.models.records import record


class MigrationState(StrEnum):
    """How far a migration came."""

    APPLIED = "applied"
    RUNNING = "running"
    """Some of its segments have committed, not all: the next `up` resumes it."""
    REVERTING = "reverting"
    """Its `down` stopped midway: the next `down` resumes it."""


class HistoryOrigin(StrEnum):
    """How a migration came into the history."""

    RUN = "run"
    BASELINE = "baseline"


@record(frozen=True, kw_only=True, slots=True)
class PredictionOutcome:
    """What a dry run had predicted for a migration, and what its steps then took, in milliseconds.

    The range is None where one dry run gave none.
    """

    predicted_ms: float
    low_ms: float | None
    high_ms: float | None
    measured_ms: float

    @property
    def was_within_range(self) -> bool:
        """Whether the prediction held: the time is in its range, or within 15 % of it where it had none."""
        low = self.predicted_ms * 0.85 if self.low_ms is None else self.low_ms
        high = self.predicted_ms * 1.15 if self.high_ms is None else self.high_ms
        return low <= self.measured_ms <= high


@record(frozen=True, kw_only=True, slots=True)
class HistoryKey:
    """Whose history it is: that of a project, and of one of its targets. `target` is empty: there are none yet."""

    project: str
    target: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """The same, for our queries."""
        return {"project": self.project, "target": self.target}


@record(frozen=True, kw_only=True, slots=True)
class OtherHistory:
    """What a database holds of another project: version and checksum of each row."""

    project: str
    rows: tuple[tuple[str, str], ...]


@record(frozen=True, kw_only=True, slots=True)
class AppliedMigration:
    """A row of the history, in the order in which the rows were made (`position`).

    `attempt` names the run whose journal tells which segments committed. `duration_ms` is the time that its segments
    took, None while it is not applied and for a baseline; `prediction_outcome` is None where no dry run predicted it.
    """

    position: int
    version: str
    name: str
    state: MigrationState
    origin: HistoryOrigin
    attempt: str
    checksum: str
    chain: str
    steps: tuple[StepChecksum, ...]
    applied_at: datetime | None = None
    applied_by: str = ""
    duration_ms: float | None = None
    prediction_outcome: PredictionOutcome | None = None


class SegmentState(StrEnum):
    """How far a segment came. Only a statement outside a transaction can be found as an intent."""

    INTENT = "intent"
    DONE = "done"


@record(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """A segment that committed, or was about to run outside a transaction."""

    segment: int
    state: SegmentState
    fingerprint: str
