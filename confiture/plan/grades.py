"""The grades of a migration: the first row of a category whose condition holds gives the grade.

docs/grades.md shows the table.
"""

from __future__ import annotations

from confiture.models.grades import CategoryGrade, RiskCategory, RiskFacts
from confiture.plan.grade_row import GradeRow
from confiture.plan.plan_grade_rows import PLAN_GRADE_ROWS
from confiture.plan.server_grade_rows import SERVER_GRADE_ROWS

GRADE_ROWS: tuple[GradeRow, ...] = (*PLAN_GRADE_ROWS, *SERVER_GRADE_ROWS)
"""All rows, by category, in the order in which they are tried."""


def grade_migration(facts: RiskFacts) -> tuple[CategoryGrade, ...]:
    """Return the grade of each category for a migration with these facts."""
    return tuple(_grade(category, facts) for category in RiskCategory)


def decisive_row(category: RiskCategory, facts: RiskFacts) -> GradeRow:
    """Return the row that gives a category's grade. The last row of each category always holds."""
    return next(row for row in GRADE_ROWS if row.category is category and row.holds(facts))


def _grade(category: RiskCategory, facts: RiskFacts) -> CategoryGrade:
    row = decisive_row(category, facts)
    return CategoryGrade(category=category, grade=row.grade, source=row.source, reason=row.reason(facts))
