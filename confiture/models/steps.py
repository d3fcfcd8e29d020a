"""A step's identity and outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confiture.models.events import Outcome, StepFinished
from confiture.models.plan import PlannedStep, Segment, StepId
from confiture.models.reconcile_results import ReconcileResult


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """A step as the journal stores it. `rows` is None for step kinds that do not write rows.

    `proof` is the result of a reconcile, which is stored separately; `number` is the step's number in its phase.
    """

    phase: str
    name: str
    rows: int | None
    duration_ms: float
    number: int = 0
    proof: ReconcileResult | None = None

    def to_row(self) -> dict[str, object]:
        """Return the step as a row of the journal."""
        return {"phase": self.phase, "name": self.name, "rows": self.rows, "duration_ms": self.duration_ms}


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutcome:
    """The outcome of a step: rows written, a note for the user, the result of a reconcile, and a hook's statistics.

    `rows` is None for step kinds that do not write rows.
    """

    rows: int | None
    note: str | None = None
    proof: ReconcileResult | None = None
    stats: Mapping[str, Any] | None = None

    def to_event(self, step: StepId, duration_ms: float) -> StepFinished:
        """Return the event that reports the outcome."""
        return StepFinished(
            step=step, outcome=Outcome.DONE, duration_ms=duration_ms, rows=self.rows, note=self.note, stats=self.stats
        )


def build_step_id(version: str, segment: Segment, step: PlannedStep) -> StepId:
    """Return the identity of a step for events."""
    return StepId(
        version=version,
        phase=step.phase,
        number=step.number,
        part=step.part,
        name=step.label,
        segment=segment.number,
        span=step.span,
    )
