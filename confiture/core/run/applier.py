"""Apply a plan, and report what failed and what is committed."""

from __future__ import annotations

import time

import psycopg

from confiture.core.db.errors import StepFailed
from confiture.core.run.context import LockedPlan, MigrationProgress, RunContext
from confiture.core.run.event_recorder import EventRecorder
from confiture.core.run.failure_report import classify_failure, read_actual_progress
from confiture.core.run.resume import find_interrupted
from confiture.core.run.runner import MigrationRunner, last_chain_checksum
from confiture.core.run.session import Session
from confiture.errors import ConfitureError, Diagnostic
from confiture.files.predictions import PredictionStore
from confiture.models.events import MigrationFinished, Notice, Outcome
from confiture.models.plan import Plan, PlannedMigration
from confiture.models.predictions import Prediction
from confiture.plan.checksums import CHAIN_START


class Applier:
    """Runs one plan for real over one session, holding the migration lock."""

    def __init__(self, context: RunContext, session: Session) -> None:
        self._context = context
        self._session = session
        self._emit = context.emit

    def run(self, locked_plan: LockedPlan) -> None:
        """Commit the plan. Raise an error that reports what failed and what is committed."""
        plan, history = locked_plan.plan, locked_plan.history
        predictions = self._load_predictions(plan)
        events = EventRecorder(self._context, plan, predictions)
        link = last_chain_checksum(history, CHAIN_START)
        runner = MigrationRunner(self._context, self._session, locked_plan.lock, link, predictions, events)
        try:
            runner.apply(plan, find_interrupted(self._context.store, history, plan.direction))
        except (StepFailed, psycopg.Error, ConfitureError, KeyboardInterrupt) as error:
            actual = read_actual_progress(error, runner.progress, self._context, self._session)
            failure = classify_failure(error, actual)
            duration_ms = (time.perf_counter() - runner.started_at) * 1000
            lock, was_installed = locked_plan.lock, runner.is_installed
            events.record_failure(failure, actual, duration_ms, lock, was_installed=was_installed)
            self._after_failure(runner, actual.progress, failure.diagnostics[0])
            raise failure from error

    def _load_predictions(self, plan: Plan) -> dict[str, Prediction]:
        checksums = {migration.version: migration.checksum for migration in plan.migrations}
        return PredictionStore(self._context.settings.root).load(self._context.target.label, checksums)

    def _after_failure(self, runner: MigrationRunner, progress: MigrationProgress | None, failure: Diagnostic) -> None:
        if progress is None:
            return
        if progress.is_whole:
            # The migration failed after its last commit, so it is applied and needs no cleanup.
            self._emit(MigrationFinished(version=progress.plan.version, outcome=Outcome.DONE, duration_ms=0.0))
        elif progress.plan.on_error:
            self._run_on_error(runner, progress.plan, failure)

    def _run_on_error(self, runner: MigrationRunner, plan: PlannedMigration, failure: Diagnostic) -> None:
        if self._context.connection.closed:
            self._emit(Notice(text="on_error did not run because the connection was lost"))
            return
        try:
            runner.run_on_error(plan, failure)
        except StepFailed as error:
            self._emit(Notice(text=f"on_error also failed: {error.diagnostic}"))
        except psycopg.Error as error:
            self._emit(Notice(text=f"on_error also failed: {error}"))
        except KeyboardInterrupt:
            self._emit(Notice(text="on_error was interrupted and rolled back"))
