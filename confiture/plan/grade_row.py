"""A row of the table of grades."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from confiture.models.grades import Grade, GradeSource, RiskCategory, RiskFacts


@dataclass(frozen=True, slots=True)
class GradeRow:
    """A row of the table. `condition` is its text in the docs; `reason` describes the facts of one migration."""

    category: RiskCategory
    grade: Grade
    source: GradeSource
    condition: str
    holds: Callable[[RiskFacts], bool]
    reason: Callable[[RiskFacts], str]
