"""Applies a plan for real, and tells what failed and what is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from confiture.core.db.connection import ConnectionTarget
from confiture.core.db.errors import StepFailed
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.migration_lock import MigrationLock
from confiture.core.run.failure_report import classify_failure
from confiture.core.run.resume import find_interrupted
from confiture.core.run.runner import MigrationRunner, last_chain_checksum
from confiture.core.run.session import Session
from confiture.errors import ConfitureError
from confiture.files.predictions import PredictionStore
from confiture.models.events import Emit, MigrationFinished, Notice, Outcome
from confiture.models.history import AppliedMigration
from confiture.models.plan import Plan, PlannedMigration
from confiture.models.predictions import Prediction
from confiture.plan.checksums import CHAIN_START
from confiture.plan.project import PlannedProject

if TYPE_CHECKING:
    from confiture.core.backfill.backfill_runner import BackfillRunner


class Applier:
    """One plan over one session, under the project's lock."""

    def __init__(
        self, project: PlannedProject, database: ConnectionTarget, session: Session, lock: MigrationLock, emit: Emit
    ) -> None:
        self._project = project
        self._database = database
        self._session = session
        self._connection = session.connection
        self._lock = lock
        self._emit = emit

    def run(self, plan: Plan, history: tuple[AppliedMigration, ...]) -> None:
        """Commits the plan. Raises the error that tells what failed and what is committed."""
        end = last_chain_checksum(history, CHAIN_START)
        state = HistoryStore(self._connection, self._project.settings.history)
        runner = MigrationRunner(
            self._session, state, self._lock, self._emit, end, self._load_predictions(plan), self._make_backfill_runner
        )
        try:
            runner.apply(plan, find_interrupted(state, history, plan.direction))
        except (StepFailed, psycopg.Error, ConfitureError, KeyboardInterrupt) as error:
            failure = classify_failure(error, runner.progress, self._database, self._session, state)
            self._session.hook_runner.error = failure.diagnostics[0]
            self._after_failure(runner)
            raise failure from error

    def _make_backfill_runner(self) -> BackfillRunner:
        # most runs fill nothing
        from confiture.core.backfill.backfill_runner import BackfillRunner

        settings = self._project.settings
        return BackfillRunner(self._database, settings, self._emit, self._session.hook_runner, self._lock.ensure_held)

    def _load_predictions(self, plan: Plan) -> dict[str, Prediction]:
        checksums = {migration.version: migration.checksum for migration in plan.migrations}
        return PredictionStore(self._project.settings.root).load(self._database.label, checksums)

    def _after_failure(self, runner: MigrationRunner) -> None:
        progress = runner.progress
        if progress is None:
            return
        if progress.committed == len(progress.plan.segments):
            # it failed after its last commit: it is applied, and there is nothing to make good
            self._emit(MigrationFinished(version=progress.plan.version, outcome=Outcome.DONE, duration_ms=0.0))
        elif progress.plan.on_error:
            self._run_on_error(runner, progress.plan)

    def _run_on_error(self, runner: MigrationRunner, plan: PlannedMigration) -> None:
        if self._connection.closed:
            self._emit(Notice(text="on_error did not run: the connection is lost"))
            return
        try:
            runner.run_on_error(plan)
        except StepFailed as failure:
            self._emit(Notice(text=f"on_error failed too: {failure.diagnostic}"))
        except psycopg.Error as error:
            self._emit(Notice(text=f"on_error failed too: {error}"))
        except KeyboardInterrupt:
            self._emit(Notice(text="on_error was interrupted and rolled back"))
