"""Review a plan with questions: a generator that yields questions and takes decisions, without a terminal."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, replace

from confiture.core.commands import UpOptions
from confiture.core.db.connection import ConnectionTarget
from confiture.core.review.assessment import PlanAssessment
from confiture.core.review.saved_plans import PlanGuard, PlanOptions, review_plan
from confiture.errors import ConfitureError
from confiture.lint.plan_effects import MigrationEffects, share_objects
from confiture.models.plan import PlannedMigration
from confiture.models.review import Decision, Question, QuestionView, ReviewAction, SkippedMigration
from confiture.models.saved_plans import SavedPlan
from confiture.plan.migration_order import version_key
from confiture.plan.project import PlannedProject


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewedRun:
    """The decision to apply a plan: the project as it was read last, and options that refuse any other plan."""

    project: PlannedProject
    options: UpOptions


class PlanReview:
    """Reviews the pending migrations of a project on a database.

    `load` reads the project's files. `measure` runs a dry run with these options. Both may raise ConfitureError.
    """

    def __init__(
        self,
        load: Callable[[], PlannedProject],
        database: ConnectionTarget,
        options: UpOptions,
        measure: Callable[[PlannedProject, UpOptions], None],
    ) -> None:
        self._load = load
        self._database = database
        self._options = options
        self._measure = measure
        self._salt = secrets.token_hex(16)
        self._skipped: dict[str, SkippedMigration] = {}

    def questions(self) -> Generator[Question, Decision, ReviewedRun | None]:
        """Yield questions until the plan is to be applied or not.

        Return None if the user stops or nothing is left to apply. Raise the errors of `up`.
        """
        project, saved, assessed = self._read()
        changes: tuple[str, ...] = ()
        view, problem = QuestionView.OVERVIEW, None
        while assessed.plans or self._skipped:
            decision = yield self._question(assessed, view, changes, problem)
            changes, view, problem = (), QuestionView.OVERVIEW, None
            match decision.action:
                case ReviewAction.STOP:
                    return None
                case ReviewAction.SHOW_SQL:
                    view = QuestionView.SQL
                    continue
                case ReviewAction.SHOW_DETAILS:
                    view = QuestionView.DETAILS
                    continue
                case ReviewAction.SKIP:
                    problem = self._skip(decision.version, assessed)
                    if problem is not None:
                        continue
                    project, saved, assessed = self._read()
                    continue
                case ReviewAction.DRY_RUN:
                    problem = self._try_dry_run(project)
            now, current, reassessed = self._read()
            changes = saved.differences(current)
            project, saved, assessed = now, current, reassessed
            if decision.action is ReviewAction.APPLY and not changes:
                if not assessed.plans:
                    return None
                return ReviewedRun(project=project, options=self._run_options(project, saved))
        return None

    def _read(self) -> tuple[PlannedProject, SavedPlan, PlanAssessment]:
        project = self._load()
        options = PlanOptions(
            to=self._options.to,
            out_of_order=self._options.out_of_order,
            skip=frozenset(self._skipped),
            expires_ms=0,
            salt=self._salt,
        )
        saved, assessed = review_plan(project, self._database, options)
        return project, saved, assessed

    def _question(
        self, assessed: PlanAssessment, view: QuestionView, changes: tuple[str, ...], problem: str | None
    ) -> Question:
        return Question(
            assessment=assessed.assessment,
            plans=assessed.plans,
            view=view,
            skipped=tuple(self._skipped.values()),
            changes=changes,
            problem=problem,
        )

    def _skip(self, version: str | None, assessed: PlanAssessment) -> str | None:
        """Skip a migration and those that depend on it. Return why that is not possible."""
        by_key = {version_key(plan.version): plan for plan in assessed.plans}
        if version is None or version_key(version) not in by_key:
            versions = ", ".join(plan.version for plan in assessed.plans)
            return f"{version or 'a migration'} is not in the plan; name one of {versions}"
        start = by_key[version_key(version)]
        self._skipped[start.version] = SkippedMigration(version=start.version, name=start.migration.name)
        for plan, reason in find_dependents(start.version, assessed.plans, assessed.effects):
            self._skipped[plan.version] = SkippedMigration(
                version=plan.version, name=plan.migration.name, reason=reason
            )
        return None

    def _try_dry_run(self, project: PlannedProject) -> str | None:
        """Measure the plan. Return the error of a dry run that fails, because the review continues."""
        try:
            self._measure(project, replace(self._options, dry_run=True, skip=frozenset(self._skipped)))
        except ConfitureError as error:
            return f"the dry run failed: {error.diagnostics[0].message}"
        return None

    def _run_options(self, project: PlannedProject, saved: SavedPlan) -> UpOptions:
        return replace(self._options, skip=frozenset(self._skipped), guard=PlanGuard(project, saved))


def find_dependents(
    version: str, plans: Sequence[PlannedMigration], effects: Sequence[MigrationEffects]
) -> list[tuple[PlannedMigration, str]]:
    """Return the later migrations that require a skipped migration or touch its objects, each with the reason."""
    skipped: dict[str, MigrationEffects] = {}
    dependents = []
    for plan, effect in zip(plans, effects, strict=True):
        reason = _dependence(plan, effect, skipped)
        if plan.version == version:
            skipped[plan.version] = effect
        elif reason is not None:
            skipped[plan.version] = effect
            dependents.append((plan, reason))
    return dependents


def _dependence(plan: PlannedMigration, effect: MigrationEffects, skipped: dict[str, MigrationEffects]) -> str | None:
    required: Collection[object] = {version_key(one.version) for one in plan.migration.requires}
    for version, other in skipped.items():
        if version_key(version) in required:
            return f"requires {version}"
        if share_objects(other, effect):
            shared = sorted(str(name) for name in other.touched & effect.touched)
            objects = f"touches {', '.join(shared[:3])}" if shared else "may touch the same objects"
            return f"{objects}, like {version}"
    return None
