"""A dry run: rehearses a plan as often as asked, and tells what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from confiture.core.database import Database
from confiture.core.dry_run.conclusions import Known, conclude, partial, predictions
from confiture.core.dry_run.proving import Proving, mixed_diagnostic
from confiture.core.dry_run.rehearsal import Rehearsal
from confiture.core.dry_run.scaling import Scale, row_counts
from confiture.core.events import Emit
from confiture.core.failures import StepFailed
from confiture.core.locks import holders
from confiture.core.outcome import explain_rehearsal
from confiture.core.resuming import left_midway
from confiture.core.run.context import RehearsalOptions
from confiture.core.session import Session
from confiture.core.state import StateStore
from confiture.errors import CheckFailed, ConfitureError
from confiture.files.access import FileRefused
from confiture.files.predictions import Predictions
from confiture.lint.plan import PlanJudgement
from confiture.models.events import Noted
from confiture.models.history import AppliedMigration
from confiture.models.isolation import IsolationReport, Standing
from confiture.models.plan import Direction, Isolation, Plan
from confiture.models.trace import StatementTrace
from confiture.plan.history import track_record
from confiture.plan.project import PlannedProject
from confiture.sql.actions import named_relations

_DEFAULT_THRESHOLD_MS = 1_000
_LOCK_TIMEOUT = "55P03"


class DryRun:
    """One plan over one session, rolled back."""

    def __init__(
        self, project: PlannedProject, database: Database, session: Session, options: RehearsalOptions, emit: Emit
    ) -> None:
        self._project = project
        self._database = database
        self._session = session
        self._connection = session.connection
        self._options = options
        self._emit = emit
        self._told_holders: set[str] = set()

    def run(self, plan: Plan, history: tuple[AppliedMigration, ...], judgement: PlanJudgement | None) -> None:
        """Rehearses the plan, of which lint says what `judgement` holds. Raises the error that tells what failed."""
        known = self._known(plan, judgement)
        scale = self._scale(self._options.scale_to)
        self._note_holders(plan)
        proving = self._proving()
        store = StateStore(self._connection, self._project.settings.history)
        rehearsal = Rehearsal(self._session, store, self._emit, proving, full=self._options.full)
        runs = []
        try:
            for _ in range(self._options.repeat):
                rehearsal.run(plan, left_midway(store, history, plan.direction))
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
        self._predict(plan, runs, scale, known)
        mixed = isolation.of(Standing.MIXED) if isolation else ()
        if mixed:
            raise CheckFailed(*map(mixed_diagnostic, mixed))

    def _known(self, plan: Plan, judgement: PlanJudgement | None) -> Known:
        threshold_ms = self._project.settings.database.max_blocking_ms or _DEFAULT_THRESHOLD_MS
        otherwise = frozenset(
            migration.version
            for migration in plan.migrations
            if any(segment.isolation is not Isolation.TRANSACTIONAL for segment in migration.segments)
        )
        if judgement is None:
            return Known(threshold_ms=threshold_ms, otherwise=otherwise)
        locks = {text: {str(name): mode for name, mode in locks.items()} for text, locks in judgement.locks.items()}
        findings = judgement.report.findings
        return Known(threshold_ms=threshold_ms, findings=findings, locks=locks, otherwise=otherwise)

    def _proving(self) -> Proving | None:
        tenancy, options = self._project.settings.tenancy, self._options.proofs
        return Proving(self._session, tenancy, options) if options and tenancy.is_set else None

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

    def _predict(self, plan: Plan, runs: Sequence[Sequence[StatementTrace]], scale: Scale | None, known: Known) -> None:
        if not self._options.remembered or plan.direction is Direction.DOWN:
            return
        if scale and not any(map(scale.reaches, runs)):
            return
        meant = self._options.scale_to or self._database
        checksums = {migration.version: migration.checksum for migration in plan.migrations}
        try:
            found = predictions(runs, scale, known, meant.label, checksums)
            Predictions(self._project.settings.root).remember(found)
        except FileRefused as refused:
            # a read-only checkout is no reason to lose the report
            self._emit(Noted(text=f"the prediction is not kept: {refused}"))

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
