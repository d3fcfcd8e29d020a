"""Details of planned steps, other than their SQL, as JSON."""

from __future__ import annotations

from typing import Any

from confiture.models.plan import PlannedStep
from confiture.plan.step_kinds import STEP_KINDS


def step_details(step: PlannedStep) -> dict[str, Any]:
    """Return an entry for each step kind that has details; None for kinds other than the step's."""
    return {kind.details_key: kind.details(step) for kind in STEP_KINDS if kind.details_key}
