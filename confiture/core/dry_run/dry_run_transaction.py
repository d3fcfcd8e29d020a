"""Dry-run a plan: run the same steps in one transaction, then roll it back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

from confiture.core.backfill.preflight import check_backfills
from confiture.core.db.connection import fetch_named_row
from confiture.core.db.errors import StepFailed
from confiture.core.db.history_schema import SchemaContent, check_schema_untouched, read_content, stray_note
from confiture.core.db.queries import query
from confiture.core.dry_run.real_run_checks import drop_unusable_transactional_form, reject_failing_statements
from confiture.core.dry_run.sampling import SKIPPED, UNJUDGED, BackfillSampler, SampleContext
from confiture.core.dry_run.tenancy_prover import TenancyProver
from confiture.core.dry_run.trace import Tracer
from confiture.core.dry_run.transaction_modes import without_transaction_modes
from confiture.core.run.concurrent_ddl import is_satisfied_in_dry_run
from confiture.core.run.context import MigrationProgress, RunContext
from confiture.core.run.history_errors import history_errors_translated
from confiture.core.run.resume import ResumePoint, match_plan_to_journal
from confiture.core.run.session import Session
from confiture.core.run.statement_observer import StatementObserver
from confiture.models.events import MigrationFinished, MigrationStarted, Notice, Outcome
from confiture.models.plan import (
    Direction,
    Plan,
    PlannedMigration,
    PlannedStep,
    Segment,
    Statement,
    StepAction,
    StepId,
    TransactionMode,
)
from confiture.models.trace import StatementTrace
from confiture.plan.migration_order import VersionKey, version_key
from confiture.plan.planner import as_single_transaction

_NEW_ENUM_VALUE = "55P04"
_UNIQUE_VIOLATION = "23505"
_ARTEFACTS = {
    _NEW_ENUM_VALUE: "if an earlier migration or segment in this dry run adds the value, the real run commits it first"
    " and does not fail: apply the earlier part to a copy, and dry-run the rest on that copy",
    _UNIQUE_VIOLATION: "correct the data or the statement. A dry run is one transaction: if the key contains now() or"
    " pg_current_xact_id() and an earlier migration or segment inserted the same value, the real run does not fail;"
    " apply the earlier part to a copy, and dry-run the rest on that copy",
}


class DryRunTransaction:
    """A transaction that runs plans and rolls them back. Between segments, it emulates the effects of a commit.

    With the option `full`, batched backfills run completely; otherwise only a sample of batches runs. Without a prover,
    tenant isolation is not proved.
    """

    def __init__(self, context: RunContext, session: Session, prover: TenancyProver | None) -> None:
        self._store = context.store
        self._prover = prover
        self._sampler = BackfillSampler(context, session.hook_runner)
        self._session = session
        self._connection = context.connection
        self._emit = context.emit
        self._settings = context.settings
        self.progress: MigrationProgress | None = None
        """The running or failed migration; None if there is none. No part of the migration is ever committed."""
        self.traces: tuple[StatementTrace, ...] = ()
        """The statement traces of the last run, up to a failure."""
        self._segments_run = 0
        self._installed = False
        self._is_resumed = False
        self._content: SchemaContent | None = None
        self._own_settings: frozenset[str] = frozenset()
        """The settings that the tracer makes in the current segment."""
        self.attempts: list[tuple[StatementTrace, ...]] = []
        """The traces of all runs, including all attempts."""

    def run(self, plan: Plan, resume_points: Mapping[VersionKey, ResumePoint]) -> None:
        """Run the same steps as a real run, from the resume points. Raise StepFailed, psycopg.Error or Drift."""
        self._store.check_writable()
        note = stray_note(read_content(self._connection))
        if note:
            self._emit(Notice(text=note))
        self._session.run_with_retries(plan.migrations[0].version, 1, lambda: self._run_once(plan, resume_points))
        self.progress = None

    def _run_once(self, plan: Plan, resume_points: Mapping[VersionKey, ResumePoint]) -> None:
        self._session.reset()
        if self._prover:
            self._prover.reset_catalog()
        self._segments_run = 0
        self._installed, self._content = self._store.is_installed(), None
        tracer = Tracer(self._connection)
        watched = self._session.with_blocking_monitor(plan.migrations[0].version, 1)
        rolled_back = self._connection.transaction(force_rollback=True)
        try:
            with watched, rolled_back, self._session.release_monitor_on_exit(), tracer.tracing():
                for migration in plan.migrations:
                    self._run_migration(migration, resume_points.get(version_key(migration.version)), tracer)
        finally:
            self.traces = tuple(tracer.traces)
            self.attempts.append(self.traces)

    def _run_migration(self, plan: PlannedMigration, resume_point: ResumePoint | None, tracer: Tracer) -> None:
        committed = resume_point.committed_segments if resume_point else 0
        self._is_resumed = resume_point is not None
        plan = match_plan_to_journal(plan, resume_point, self._settings) if resume_point else plan
        self.progress = MigrationProgress(plan, str(uuid.uuid4()), committed=committed)
        started_ms = tracer.elapsed_ms()
        self._session.begin_migration()
        self._emit(MigrationStarted(version=plan.version, name=plan.migration.name, resumed_after=committed))
        check_backfills(self._connection, plan.segments[committed:], self._session.begin)
        was_sampled = False
        for segment in plan.segments[committed:]:
            self._session.reset()
            if not self._installed or self._content is None:
                self._content = read_content(self._connection)
            tracer.begin_segment()
            if segment.transaction_mode is TransactionMode.BATCHED:
                self._check_history(segment, tracer)
            self._apply_settings(segment)
            if segment.expected_settings is not None:
                self._own_settings = self._session.settings_made(segment)
                tracer.ignore()
            intended = resume_point is not None and resume_point.has_intent and segment is plan.segments[committed]
            if not self._is_already_done(segment, has_intent=intended):
                if segment.transaction_mode is TransactionMode.BATCHED:
                    was_sampled |= self._sample_backfill(self.progress, segment, tracer)
                else:
                    self._run_steps(plan, _without_checks(segment) if was_sampled else segment, tracer)
            tracer.end_segment()
            if segment.transaction_mode is not TransactionMode.BATCHED:
                self._check_history(segment, tracer)
            self.progress.commit_segment()
            self._segments_run += 1
        duration_ms = tracer.elapsed_ms() - started_ms
        self._emit(MigrationFinished(version=plan.version, outcome=Outcome.DONE, duration_ms=duration_ms))

    def _apply_settings(self, segment: Segment) -> None:
        """Make the settings of earlier segments again, for the mode of the transactions that the segment begins too."""
        self._session.apply_settings(segment)
        if segment.settings and segment.transaction_mode is not TransactionMode.TRANSACTIONAL:
            self._connection.execute(query("follow_default_mode"))

    def _check_history(self, segment: Segment, tracer: Tracer) -> None:
        """Raise StepFailed if the record of a segment cannot be written: write it, and roll that back at once.

        Create the history tables when the real run would have created them: the next statement may depend on it.
        """
        with history_errors_translated():
            if not self._installed:
                self._store.install()
                self._installed, self._content = True, None
            with self._connection.transaction(force_rollback=True):
                self._connection.execute("SET LOCAL statement_timeout = 0")
                self._record(segment)
        tracer.ignore()

    def _record(self, segment: Segment) -> None:
        progress = self.progress
        if progress is None:
            raise LookupError(segment.number)
        if progress.plan.direction is Direction.UP and not self._is_resumed:
            self._store.insert_running(progress.plan, progress.attempt)
        self._store.record_segment(progress.plan, segment, progress.attempt, (), 0.0)

    def _sample_backfill(self, progress: MigrationProgress, segment: Segment, tracer: Tracer) -> bool:
        """Run batches of a backfill. Return whether that was only a sample."""
        (step,), plan = segment.steps, progress.plan
        context = SampleContext(ignore_reads=tracer.ignore, begin=progress.begin_segment)
        observer = _DryRunObserver(self._prover, tracer, plan, segment)
        for statement in step.statements:
            # A proof for the whole statement covers all batches.
            observer.before(step, statement)
        sampled = self._sampler.run(plan.version, segment, context, observer)
        self._check_constraints()
        tracer.mark_sampled(sampled.batches, sampled.scale_factor)
        return not sampled.is_whole

    def _run_steps(self, plan: PlannedMigration, segment: Segment, tracer: Tracer) -> None:
        original = segment
        try:
            if segment.transaction_mode is TransactionMode.OUTSIDE:
                reject_failing_statements(self._connection, segment)
                segment = drop_unusable_transactional_form(self._connection, segment)
            observer = _DryRunObserver(self._prover, tracer, plan, segment)
            self._session.run_steps(plan.version, without_transaction_modes(_as_transactional(plan, segment)), observer)
            self._session.check_end(original, exempt=self._own_settings)
            self._check_constraints()
            if self._content is not None:
                check_schema_untouched(self._connection, plan.migration, self._content)
        except StepFailed as failure:
            hint = _ARTEFACTS.get(failure.sqlstate or "")
            if hint is None or not self._segments_run:
                raise
            diagnostic = replace(failure.diagnostic, hint=hint)
            raise StepFailed(diagnostic, failure.sqlstate) from failure

    def _is_already_done(self, segment: Segment, *, has_intent: bool) -> bool:
        """Whether the real run would find the statement already done. First repair what the real run would repair."""
        if segment.transaction_mode is not TransactionMode.OUTSIDE:
            return False
        ((statement,),) = (step.statements for step in segment.steps)
        if not is_satisfied_in_dry_run(self._connection, statement, has_intent=has_intent, emit=self._emit):
            return False
        self._emit(
            Notice(text=f"skipped because an earlier run completed it: {statement.text.strip().splitlines()[0]}")
        )
        return True

    def _check_constraints(self) -> None:
        """Check the constraints that a commit would check, then defer the initially deferred ones again.

        SET CONSTRAINTS ALL would also apply to constraints that later segments create.
        """
        self._connection.execute("RESET SESSION AUTHORIZATION; SET LOCAL statement_timeout = 0")
        names = fetch_named_row(self._connection, "deferrable")
        if names["everything"]:
            self._connection.execute(f"SET CONSTRAINTS {names['everything']} IMMEDIATE".encode())
        if names["deferred"]:
            self._connection.execute(f"SET CONSTRAINTS {names['deferred']} DEFERRED".encode())


class _DryRunObserver(StatementObserver):
    """An observer that proves each statement's tenant isolation before it runs, and traces the statement afterwards."""

    def __init__(self, prover: TenancyProver | None, tracer: Tracer, plan: PlannedMigration, segment: Segment) -> None:
        self._prover = prover
        self._tracer = tracer
        self._plan = plan
        self._segment = segment

    def before(self, step: PlannedStep, statement: Statement) -> None:
        """Prove that the statement keeps tenants apart, if a prover is set. Prepare for tracing the statement."""
        if self._prover:
            self._prover.prove(self._plan, self._segment, step, statement, self._tracer)
        self._tracer.prepare(statement)

    def after(self, identity: StepId, step: PlannedStep, statement: Statement, duration_ms: float) -> None:
        """Trace the statement."""
        self._tracer.record_statement(identity, statement, duration_ms)


def _without_checks(segment: Segment) -> Segment:
    """Return the segment with unevaluated checks: a sampled backfill does not produce the data that they expect."""
    return replace(segment, steps=tuple(map(_step_without_checks, segment.steps)))


def _step_without_checks(step: PlannedStep) -> PlannedStep:
    return step if step.skip_reason else WITHOUT_CHECKS[step.action](step)


WITHOUT_CHECKS: Mapping[StepAction, Callable[[PlannedStep], PlannedStep]] = {
    StepAction.EXECUTE: lambda step: step,
    StepAction.CHECK: lambda step: replace(step, action=StepAction.EXECUTE, content=None, note=UNJUDGED),
    StepAction.RECONCILE: lambda step: replace(
        step, action=StepAction.EXECUTE, content=None, statements=(), skip_reason=SKIPPED
    ),
    StepAction.HOOK: lambda step: step,
}
"""The function that replaces a step after a sampled backfill, by the step's action."""


def _as_transactional(plan: PlannedMigration, segment: Segment) -> Segment:
    """Return the segment with every statement in a form that can run in a transaction."""
    if segment.transaction_mode is TransactionMode.TRANSACTIONAL:
        return segment
    alone = Plan(direction=plan.direction, migrations=(replace(plan, segments=(segment,)),))
    (only,) = as_single_transaction(alone).migrations[0].segments
    return replace(only, number=segment.number)
