"""How a step is named, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confiture.models.events import Outcome, StepFinished
from confiture.models.plan import PlannedStep, Segment, StepId
from confiture.models.reconcile_results import ReconcileResult


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """What the journal keeps of a step. `rows` is None where it wrote none by its nature.

    `proof` is what a reconcile found, which is kept apart; `number` is the step's within its phase.
    """

    phase: str
    name: str
    rows: int | None
    duration_ms: float
    number: int = 0
    proof: ReconcileResult | None = None

    def to_row(self) -> dict[str, object]:
        """What goes into the journal."""
        return {"phase": self.phase, "name": self.name, "rows": self.rows, "duration_ms": self.duration_ms}


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutcome:
    """What a step did: the rows that it wrote (None where it writes none by its nature), what people should know of it,
    what it proved, what a hook says of itself.
    """

    rows: int | None
    note: str | None = None
    proof: ReconcileResult | None = None
    stats: Mapping[str, Any] | None = None

    def to_event(self, step: StepId, duration_ms: float) -> StepFinished:
        """The event that tells it."""
        return StepFinished(
            step=step, outcome=Outcome.DONE, duration_ms=duration_ms, rows=self.rows, note=self.note, stats=self.stats
        )


def build_step_id(version: str, segment: Segment, step: PlannedStep) -> StepId:
    """How events name a step."""
    return StepId(
        version=version,
        phase=step.phase,
        number=step.number,
        part=step.part,
        name=step.label,
        segment=segment.number,
        span=step.span,
    )
