"""Carries out a plan under the project's lock: lints it, then runs or rehearses it, and tells what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import psycopg

from confiture.core.backfill.filler import Filler
from confiture.core.database import Connection, Database, one_row
from confiture.core.dry_run.conclusions import Known, conclude, partial, predictions
from confiture.core.dry_run.predictions import Prediction, Predictions
from confiture.core.dry_run.proving import Proving, mixed_diagnostic
from confiture.core.dry_run.rehearsal import Rehearsal
from confiture.core.dry_run.scaling import Scale, row_counts
from confiture.core.events import Emit
from confiture.core.failures import StepFailed
from confiture.core.hazards import hazards, refuse_hazards
from confiture.core.hooks.running import HookRuns
from confiture.core.lock import ProjectLock
from confiture.core.locks import holders
from confiture.core.outcome import explain_failure, explain_rehearsal
from confiture.core.project import Project
from confiture.core.resuming import Unfinished
from confiture.core.runner import Runner, chain_end
from confiture.core.session import Session
from confiture.core.state import StateStore
from confiture.core.watcher import BlockingWatch
from confiture.errors import (
    CheckFailed,
    ConfitureError,
)
from confiture.models.events import Linted, MigrationFinished, Noted, Outcome
from confiture.models.history import AppliedMigration, State
from confiture.models.isolation import IsolationReport, Standing
from confiture.models.plan import Direction, Plan, PlannedMigration
from confiture.models.trace import StatementTrace
from confiture.plan.checksums import CHAIN_START
from confiture.plan.history import track_record
from confiture.plan.ordering import VersionKey, version_key
from confiture.sql.actions import named_relations

if TYPE_CHECKING:
    from confiture.core.run import Manner

_DEFAULT_THRESHOLD_MS = 1_000
_LOCK_TIMEOUT = "55P03"


class CarryingOut:
    """One plan on one connection, run for real by the Runner, or rolled back by the Rehearsal."""

    def __init__(
        self, project: Project, database: Database, connection: Connection, manner: Manner, emit: Emit
    ) -> None:
        self._project = project
        self._database = database
        self._connection = connection
        self._manner = manner
        self._emit = emit
        self._told_holders: set[str] = set()

    def run(self, plan: Plan, history: tuple[AppliedMigration, ...], lock: ProjectLock) -> None:
        """Runs or rehearses the plan. Raises the error that tells what failed and what is committed."""
        known = self._lint(plan)
        settings = self._project.settings.database
        pid = one_row(self._connection, "server")["backend_pid"]
        with BlockingWatch(self._database, pid, settings.max_blocking_ms) as watch:
            hooks = HookRuns(self._emit, self._project.settings.root, self._manner.dry_run)
            session = Session(self._connection, settings, watch, self._emit, hooks, self._manner.retryable)
            if self._manner.dry_run:
                self._rehearse(plan, session, history, known)
            else:
                self._apply(plan, session, history, lock)

    def _lint(self, plan: Plan) -> Known:
        """What lint knows of the plan. Raises HazardsFound where the settings do not let that run for real."""
        threshold_ms = self._project.settings.database.max_blocking_ms or _DEFAULT_THRESHOLD_MS
        if plan.direction is Direction.DOWN:
            return Known(threshold_ms=threshold_ms)
        judgement = hazards(self._project.settings, plan, self._connection)
        findings = judgement.report.findings
        if not self._manner.dry_run:
            refuse_hazards(findings, self._project.settings.linting.block_migrations)
            self._emit(Linted(findings=findings))
        locks = {text: {str(name): mode for name, mode in locks.items()} for text, locks in judgement.locks.items()}
        return Known(threshold_ms=threshold_ms, findings=findings, locks=locks)

    def _rehearse(self, plan: Plan, session: Session, history: tuple[AppliedMigration, ...], known: Known) -> None:
        options = self._manner.rehearsal
        scale = self._scale(options.scale_to)
        self._note_holders(plan)
        proving = self._proving(session)
        rehearsal = Rehearsal(session, self._emit, proving, full=options.full)
        runs = []
        try:
            for _ in range(options.repeat):
                rehearsal.run(plan, self._left_midway(history))
                runs.append(rehearsal.traces)
        except (StepFailed, psycopg.Error, ConfitureError, KeyboardInterrupt) as error:
            self._emit(partial(rehearsal.traces, rehearsal.tries, known, self._isolation(proving)))
            if isinstance(error, StepFailed) and error.sqlstate == _LOCK_TIMEOUT:
                self._note_holders(plan)
            raise explain_rehearsal(error, rehearsal.progress) from error
        isolation = self._isolation(proving)
        self._emit(conclude(runs, rehearsal.tries, scale, known, isolation))
        for note in scale.notes(runs[-1]) if scale else ():
            self._emit(Noted(text=note))
        record = track_record(history)
        if record:
            self._emit(Noted(text=record))
        self._predict(plan, runs, scale)
        mixed = isolation.of(Standing.MIXED) if isolation else ()
        if mixed:
            raise CheckFailed(*map(mixed_diagnostic, mixed))

    def _proving(self, session: Session) -> Proving | None:
        tenancy, options = self._project.settings.tenancy, self._manner.rehearsal.proofs
        return Proving(session, tenancy, options) if options and tenancy.is_set else None

    def _isolation(self, proving: Proving | None) -> IsolationReport | None:
        if proving is None:
            return None
        settings = self._project.settings
        return IsolationReport(
            database=self._database.label,
            environment=settings.environment,
            column=settings.tenancy.column,
            statements=tuple(proving.statements),
        )

    def _predict(self, plan: Plan, runs: Sequence[Sequence[StatementTrace]], scale: Scale | None) -> None:
        if not self._manner.rehearsal.remembered or plan.direction is Direction.DOWN:
            return
        if scale and not any(map(scale.reaches, runs)):
            return
        meant = self._manner.rehearsal.scale_to or self._database
        checksums = {migration.version: migration.checksum for migration in plan.migrations}
        try:
            Predictions(self._project.settings.root).remember(predictions(runs, scale, meant.label, checksums))
        except OSError as error:
            # a read-only checkout is no reason to lose the report
            self._emit(Noted(text=f"the prediction is not kept: {error}"))

    def _predicted(self, plan: Plan) -> dict[str, Prediction]:
        known = Predictions(self._project.settings.root)
        found = (known.recall(self._database.label, m.version, m.checksum) for m in plan.migrations)
        return {prediction.version: prediction for prediction in found if prediction}

    def _scale(self, target: Database | None) -> Scale | None:
        if target is None:
            return None
        connection = target.connect("scale to")
        try:
            connection.execute("SET default_transaction_read_only = on")
            scale = Scale(here=row_counts(self._connection), there=row_counts(connection))
        finally:
            connection.close()
        return scale

    def _note_holders(self, plan: Plan) -> None:
        """Tells who holds locks on tables that the plan names, once: its statements may have to wait for them."""
        texts = [s.text for migration in plan.migrations for step in migration.steps for s in step.statements]
        for holder in holders(self._connection, named_relations(texts)):
            if holder.who not in self._told_holders:
                self._told_holders.add(holder.who)
                self._emit(Noted(text=holder.text))

    def _apply(self, plan: Plan, session: Session, history: tuple[AppliedMigration, ...], lock: ProjectLock) -> None:
        settings = self._project.settings.database
        filler = Filler(self._database, settings, self._emit, session.hooks, lock.require)
        runner = Runner(session, lock, self._emit, chain_end(history, CHAIN_START), self._predicted(plan), filler)
        try:
            runner.apply(plan, self._left_midway(history))
        except (StepFailed, psycopg.Error, ConfitureError, KeyboardInterrupt) as error:
            failure = explain_failure(error, runner.progress, self._database, session)
            session.hooks.error = failure.diagnostics[0]
            self._after_failure(runner)
            raise failure from error

    def _left_midway(self, history: tuple[AppliedMigration, ...]) -> Mapping[VersionKey, Unfinished]:
        state = State.RUNNING if self._manner.direction is Direction.UP else State.REVERTING
        store = StateStore(self._connection)
        return {
            version_key(row.version): Unfinished(attempt=row.attempt, journal=store.journal(row.attempt))
            for row in history
            if row.state is state
        }

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
