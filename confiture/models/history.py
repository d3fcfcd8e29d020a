"""The migration history stored in a database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from confiture.models.plan import MigrationInput, StepChecksum
from confiture.models.records import record

NOT_REPLAYABLE = "not-replayable"
"""The diagnostic code for an applied migration that cannot be replayed."""

HISTORY_LOST = "history-lost"
"""The diagnostic code for a history that other sessions have removed during the run."""


class MigrationState(StrEnum):
    """The state of a migration in the history."""

    APPLIED = "applied"
    RUNNING = "running"
    """Some but not all segments have committed; the next `up` resumes the migration."""
    REVERTING = "reverting"
    """A rollback was interrupted; the next `down` resumes it."""


class HistoryOrigin(StrEnum):
    """The origin of a migration in the history."""

    RUN = "run"
    BASELINE = "baseline"


@record(frozen=True, kw_only=True, slots=True)
class PredictionOutcome:
    """The time that a dry run predicted for a migration and the time that the steps took, in milliseconds.

    The range is None if the prediction is based on a single dry run.
    """

    predicted_ms: float
    low_ms: float | None
    high_ms: float | None
    measured_ms: float

    @property
    def was_within_range(self) -> bool:
        """Whether the time is in the predicted range, or within 15 % of the prediction if there is no range."""
        low = self.predicted_ms * 0.85 if self.low_ms is None else self.low_ms
        high = self.predicted_ms * 1.15 if self.high_ms is None else self.high_ms
        return low <= self.measured_ms <= high


@record(frozen=True, kw_only=True, slots=True)
class HistoryKey:
    """The owner of a history: a project and a target. `target` is always empty because targets do not exist yet."""

    project: str
    target: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """Return the key as parameters for the internal queries."""
        return {"project": self.project, "target": self.target}


@record(frozen=True, kw_only=True, slots=True)
class OtherHistory:
    """The history of another project in the same database, with the version and checksum of each row."""

    project: str
    rows: tuple[tuple[str, str], ...]


@record(frozen=True, kw_only=True, slots=True)
class StoredTexts:
    """The hashes of a migration's texts: of its own file, which was at `path`, and of the files that its steps name.

    The key of a named file is the path of its pin below the migration's folder.
    """

    path: str
    own: str
    files: Mapping[str, str]


@record(frozen=True, kw_only=True, slots=True)
class AppliedMigration:
    """A row of the history, in insertion order (`position`).

    `attempt` identifies the run in the journal that records the committed segments. `duration_ms` is the time that the
    segments took; None for a baseline and for a migration that is not applied. `prediction_outcome` is None if no dry
    run predicted the time. If the version of Confiture that recorded the row did not store texts, `texts` is None and
    `inputs` is empty.
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
    texts: StoredTexts | None = None
    inputs: tuple[MigrationInput, ...] = ()


class SegmentState(StrEnum):
    """The state of a segment. Only a statement outside a transaction can remain an intent."""

    INTENT = "intent"
    DONE = "done"


@record(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """A segment that committed, or was about to run outside a transaction."""

    segment: int
    state: SegmentState
    fingerprint: str
