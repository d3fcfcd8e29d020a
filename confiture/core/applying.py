"""Applies a plan for real, and tells what failed and what is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from confiture.core.database import Database
from confiture.core.events import Emit
from confiture.core.failures import StepFailed
from confiture.core.lock import ProjectLock
from confiture.core.outcome import explain_failure
from confiture.core.resuming import left_midway
from confiture.core.runner import Runner, chain_end
from confiture.core.session import Session
from confiture.core.state import StateStore
from confiture.errors import ConfitureError
from confiture.files.predictions import Predictions
from confiture.models.events import MigrationFinished, Noted, Outcome
from confiture.models.history import AppliedMigration
from confiture.models.plan import Plan, PlannedMigration
from confiture.models.predictions import Prediction
from confiture.plan.checksums import CHAIN_START
from confiture.plan.project import PlannedProject

if TYPE_CHECKING:
    from confiture.core.backfill.filler import Filler


class Applying:
    """One plan over one session, under the project's lock."""

    def __init__(
        self, project: PlannedProject, database: Database, session: Session, lock: ProjectLock, emit: Emit
    ) -> None:
        self._project = project
        self._database = database
        self._session = session
        self._connection = session.connection
        self._lock = lock
        self._emit = emit

    def run(self, plan: Plan, history: tuple[AppliedMigration, ...]) -> None:
        """Commits the plan. Raises the error that tells what failed and what is committed."""
        end = chain_end(history, CHAIN_START)
        state = StateStore(self._connection, self._project.settings.history)
        runner = Runner(self._session, state, self._lock, self._emit, end, self._predicted(plan), self._filler)
        try:
            runner.apply(plan, left_midway(state, history, plan.direction))
        except (StepFailed, psycopg.Error, ConfitureError, KeyboardInterrupt) as error:
            failure = explain_failure(error, runner.progress, self._database, self._session, state)
            self._session.hooks.error = failure.diagnostics[0]
            self._after_failure(runner)
            raise failure from error

    def _filler(self) -> Filler:
        # most runs fill nothing
        from confiture.core.backfill.filler import Filler

        settings = self._project.settings
        return Filler(self._database, settings, self._emit, self._session.hooks, self._lock.require)

    def _predicted(self, plan: Plan) -> dict[str, Prediction]:
        checksums = {migration.version: migration.checksum for migration in plan.migrations}
        return Predictions(self._project.settings.root).recall(self._database.label, checksums)

    def _after_failure(self, runner: Runner) -> None:
        progress = runner.progress
        if progress is None:
            return
        if progress.committed == len(progress.plan.segments):
            # it failed after its last commit: it is applied, and there is nothing to make good
            self._emit(MigrationFinished(version=progress.plan.version, outcome=Outcome.DONE, duration_ms=0.0))
        elif progress.plan.on_error:
            self._on_error(runner, progress.plan)

    def _on_error(self, runner: Runner, plan: PlannedMigration) -> None:
        if self._connection.closed:
            self._emit(Noted(text="on_error did not run: the connection is lost"))
            return
        try:
            runner.on_error(plan)
        except StepFailed as failure:
            self._emit(Noted(text=f"on_error failed too: {failure.diagnostic}"))
        except psycopg.Error as error:
            self._emit(Noted(text=f"on_error failed too: {error}"))
        except KeyboardInterrupt:
            self._emit(Noted(text="on_error was interrupted and rolled back"))
