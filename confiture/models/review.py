"""Questions about a plan before it runs, and the decisions that answer them."""

from __future__ import annotations

from enum import StrEnum

from confiture.models.grades import Assessment
from confiture.models.plan import PlannedMigration
from confiture.models.records import record


class ReviewAction(StrEnum):
    """An answer to a question. There is no default."""

    APPLY = "apply"
    DRY_RUN = "dry run"
    SHOW_SQL = "SQL"
    SHOW_DETAILS = "details"
    SKIP = "skip"
    STOP = "stop"


class QuestionView(StrEnum):
    """The part of a plan that a question shows."""

    OVERVIEW = "overview"
    SQL = "SQL"
    DETAILS = "details"


@record(frozen=True, kw_only=True, slots=True)
class SkippedMigration:
    """A migration that will not run. `reason` is empty if the user skipped it."""

    version: str
    name: str
    reason: str = ""


@record(frozen=True, kw_only=True, slots=True)
class Question:
    """A plan that needs a decision. No lock, transaction, or connection is open while it waits for a decision.

    `changes` are sentences about what has changed since the plan was last shown.
    """

    assessment: Assessment
    plans: tuple[PlannedMigration, ...]
    view: QuestionView = QuestionView.OVERVIEW
    skipped: tuple[SkippedMigration, ...] = ()
    changes: tuple[str, ...] = ()
    problem: str | None = None
    """Why the last decision could not be carried out, such as an unknown version."""


@record(frozen=True, kw_only=True, slots=True)
class Decision:
    """An answer. `version` is the migration to skip."""

    action: ReviewAction
    version: str | None = None
