"""Dry-run a plan in a transaction that is rolled back, and summarize the measurements."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from confiture.core.db.connection import ConnectionTarget, fetch_named_row
from confiture.core.db.errors import LOCK_NOT_AVAILABLE, StepFailed
from confiture.core.db.lock_monitor import find_lock_holders
from confiture.core.dry_run.dry_run_transaction import DryRunTransaction
from confiture.core.dry_run.scaling import Scale, read_row_counts
from confiture.core.dry_run.summary import SummaryInputs, build_predictions, summarize, summarize_failed
from confiture.core.dry_run.tenancy_prover import TenancyProver, mixed_diagnostic
from confiture.core.run.context import LockedPlan, RunContext
from confiture.core.run.failure_report import classify_dry_run_failure
from confiture.core.run.resume import find_interrupted
from confiture.core.run.session import Session
from confiture.errors import CheckFailed, ConfitureError
from confiture.files.access import FileAccessError
from confiture.files.predictions import PredictionStore
from confiture.lint.plan import PlanLintResult
from confiture.models.events import Notice
from confiture.models.plan import Direction, Plan, TransactionMode
from confiture.models.tenancy_proofs import IsolationReport, IsolationVerdict
from confiture.models.trace import StatementTrace
from confiture.plan.history import prediction_accuracy
from confiture.sql.actions import relations_named_in

_DEFAULT_THRESHOLD_MS = 1_000


class DryRunner:
    """Dry-runs one plan over one session."""

    def __init__(self, context: RunContext, session: Session) -> None:
        self._context = context
        self._session = session
        self._connection = context.connection
        self._options = context.mode.rehearsal
        self._emit = context.emit
        self._reported_holders: set[str] = set()

    def run(self, locked_plan: LockedPlan) -> None:
        """Dry-run the plan. Raise an error that reports what failed."""
        plan, history = locked_plan.plan, locked_plan.history
        inputs = self._build_summary_inputs(plan, locked_plan.lint_result)
        scale = self._read_scale(self._options.scale_to)
        self._note_lock_holders(plan)
        prover = self._make_prover()
        transaction = DryRunTransaction(self._context, self._session, prover)
        runs = []
        try:
            for _ in range(self._options.repeat):
                transaction.run(plan, find_interrupted(self._context.store, history, plan.direction))
                runs.append(transaction.traces)
        except (StepFailed, psycopg.Error, ConfitureError, KeyboardInterrupt) as error:
            self._emit(
                summarize_failed(
                    transaction.traces, transaction.attempts, scale, inputs, self._build_tenancy_report(prover)
                )
            )
            if isinstance(error, StepFailed) and error.sqlstate == LOCK_NOT_AVAILABLE:
                self._note_lock_holders(plan)
            raise classify_dry_run_failure(error, transaction.progress) from error
        isolation = self._build_tenancy_report(prover)
        self._emit(summarize(runs, transaction.attempts, scale, inputs, isolation))
        for note in scale.notes(runs[-1]) if scale else ():
            self._emit(Notice(text=note))
        accuracy = prediction_accuracy(history)
        if accuracy:
            self._emit(Notice(text=accuracy))
        self._save_predictions(plan, runs, scale, inputs, isolation)
        mixed = isolation.with_verdict(IsolationVerdict.MIXED) if isolation else ()
        if mixed:
            raise CheckFailed(*map(mixed_diagnostic, mixed))

    def _build_summary_inputs(self, plan: Plan, lint_result: PlanLintResult | None) -> SummaryInputs:
        threshold_ms = self._context.settings.database.max_blocking_ms or _DEFAULT_THRESHOLD_MS
        non_representative = frozenset(
            migration.version
            for migration in plan.migrations
            if any(segment.transaction_mode is not TransactionMode.TRANSACTIONAL for segment in migration.segments)
        )
        if lint_result is None:
            return SummaryInputs(threshold_ms=threshold_ms, non_representative=non_representative)
        locks = {text: {str(name): mode for name, mode in locks.items()} for text, locks in lint_result.locks.items()}
        findings = lint_result.report.findings
        return SummaryInputs(
            threshold_ms=threshold_ms, findings=findings, locks=locks, non_representative=non_representative
        )

    def _make_prover(self) -> TenancyProver | None:
        tenancy, options = self._context.settings.tenancy, self._options.proofs
        return TenancyProver(self._session, tenancy, options) if options and tenancy.is_set else None

    def _build_tenancy_report(self, prover: TenancyProver | None) -> IsolationReport | None:
        if prover is None:
            return None
        settings = self._context.settings
        return IsolationReport(
            database=self._context.target.label,
            environment=settings.environment,
            column=settings.tenancy.column,
            statements=tuple(prover.proved_statements),
        )

    def _save_predictions(
        self,
        plan: Plan,
        runs: Sequence[Sequence[StatementTrace]],
        scale: Scale | None,
        inputs: SummaryInputs,
        isolation: IsolationReport | None,
    ) -> None:
        if not self._options.store_prediction or plan.direction is Direction.DOWN:
            return
        if scale and not any(map(scale.has_counts_for, runs)):
            return
        target = self._options.scale_to or self._context.target
        checksums = {migration.version: migration.checksum for migration in plan.migrations}
        try:
            predictions = build_predictions(runs, scale, inputs, target.label, checksums, isolation)
            PredictionStore(self._context.settings.root).save(predictions)
        except FileAccessError as error:
            # Produce the report even if the checkout is read-only.
            self._emit(Notice(text=f"the prediction was not saved: {error}"))

    def _read_scale(self, target: ConnectionTarget | None) -> Scale | None:
        if target is None:
            return None
        connection = target.connect("scale to")
        try:
            connection.execute("SET default_transaction_read_only = on")
            scale = Scale(
                source_rows=read_row_counts(self._connection),
                target_rows=read_row_counts(connection),
                temp_file_limit_bytes=fetch_named_row(connection, "temp_file_limit")["bytes"],
            )
        finally:
            connection.close()
        return scale

    def _note_lock_holders(self, plan: Plan) -> None:
        """Report each session that holds locks on tables in the plan: statements may have to wait for it."""
        texts = [s.text for migration in plan.migrations for step in migration.steps for s in step.statements]
        for holder in find_lock_holders(self._connection, relations_named_in(texts)):
            if holder.identity not in self._reported_holders:
                self._reported_holders.add(holder.identity)
                self._emit(Notice(text=holder.description))
