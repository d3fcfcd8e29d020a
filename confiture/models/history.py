"""What the database remembers of the migrations that ran."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from confiture.models.plan import StepChecksum


class State(StrEnum):
    """How far a migration came."""

    APPLIED = "applied"
    RUNNING = "running"
    """Some of its segments have committed, not all: the next `up` resumes it."""
    REVERTING = "reverting"
    """Its `down` stopped midway: the next `down` resumes it."""


class Origin(StrEnum):
    """How a migration came into the history."""

    RUN = "run"
    BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True, slots=True)
class AppliedMigration:
    """A row of the history, in the order in which the rows were made (`position`).

    `attempt` names the run whose journal tells which segments committed. `duration_ms` is the time that its
    segments took, None while it is not applied and for a baseline.
    """

    position: int
    version: str
    name: str
    state: State
    origin: Origin
    attempt: str
    checksum: str
    chain: str
    steps: tuple[StepChecksum, ...]
    applied_at: datetime | None = None
    applied_by: str = ""
    duration_ms: float | None = None


class SegmentState(StrEnum):
    """How far a segment came. Only a statement outside a transaction can be found as an intent."""

    INTENT = "intent"
    DONE = "done"


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """A segment that committed, or was about to run outside a transaction."""

    segment: int
    state: SegmentState
    fingerprint: str
