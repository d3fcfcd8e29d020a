"""What a plan says of its steps beyond their SQL, for machines."""

from __future__ import annotations

from typing import Any

from confiture.models.plan import PlannedStep
from confiture.plan.step_kinds import STEP_KINDS


def step_details(step: PlannedStep) -> dict[str, Any]:
    """What holds for one kind of step alone, by kind; None for the others."""
    return {kind.details_key: kind.details(step) for kind in STEP_KINDS if kind.details_key}
