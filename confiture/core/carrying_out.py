"""Carries out a plan under the project's lock: lints it, then runs or rehearses it over one watched session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confiture.core.database import Connection, Database, one_row
from confiture.core.events import Emit
from confiture.core.hazards import PlanJudgement, hazards, refuse_hazards
from confiture.core.hooks.running import HookRuns
from confiture.core.lock import ProjectLock
from confiture.core.project import Project
from confiture.core.session import Session
from confiture.core.watcher import BlockingWatch
from confiture.models.events import Linted
from confiture.models.history import AppliedMigration
from confiture.models.plan import Direction, Plan

if TYPE_CHECKING:
    from confiture.core.run import Manner


class CarryingOut:
    """One plan on one connection, applied for real or rolled back."""

    def __init__(
        self, project: Project, database: Database, connection: Connection, manner: Manner, emit: Emit
    ) -> None:
        self._project = project
        self._database = database
        self._connection = connection
        self._manner = manner
        self._emit = emit

    def run(self, plan: Plan, history: tuple[AppliedMigration, ...], lock: ProjectLock) -> None:
        """Runs or rehearses the plan. Raises the error that tells what failed and what is committed."""
        judgement = self._lint(plan)
        settings = self._project.settings.database
        pid = one_row(self._connection, "server")["backend_pid"]
        with BlockingWatch(self._database, pid, settings.max_blocking_ms) as watch:
            hooks = HookRuns(self._emit, self._project.settings.root, self._manner.dry_run)
            session = Session(self._connection, settings, watch, self._emit, hooks, self._manner.retryable)
            # one of them only: what a dry run needs is half of the engine
            if self._manner.dry_run:
                from confiture.core.dry_run.running import DryRun

                DryRun(self._project, self._database, session, self._manner.rehearsal, self._emit).run(
                    plan, history, judgement
                )
            else:
                from confiture.core.applying import Applying

                Applying(self._project, self._database, session, lock, self._emit).run(plan, history)

    def _lint(self, plan: Plan) -> PlanJudgement | None:
        """What lint says of the plan, None of one that goes down. Raises HazardsFound where that refuses it."""
        if plan.direction is Direction.DOWN:
            return None
        judgement = hazards(self._project.settings, plan, self._connection)
        if not self._manner.dry_run:
            refuse_hazards(judgement.report.findings, self._project.settings.linting.block_migrations)
            self._emit(Linted(findings=judgement.report.findings))
        return judgement
