"""Execute a plan segment by segment, committing each segment together with its history record."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import psycopg

from confiture.core.db.errors import StepFailed
from confiture.core.db.history_schema import SchemaContent, check_schema_untouched, read_content, stray_note
from confiture.core.db.migration_lock import MigrationLock
from confiture.core.reconcile.proof_records import record_proofs
from confiture.core.run.concurrent_ddl import clean_up_failed_statement, is_already_done, needs_intent
from confiture.core.run.context import MigrationProgress, RecordState, RunContext
from confiture.core.run.event_recorder import EventRecorder
from confiture.core.run.history_errors import history_errors_translated
from confiture.core.run.resume import ResumePoint, match_plan_to_journal
from confiture.core.run.session import Session
from confiture.errors import ConfitureError, Diagnostic
from confiture.models.backfills import PROGRESS_LOST
from confiture.models.events import MigrationFinished, MigrationStarted, Notice, Outcome
from confiture.models.history import AppliedMigration, HistoryOrigin
from confiture.models.history_events import HistoryEventKind
from confiture.models.plan import (
    Direction,
    Plan,
    PlannedMigration,
    Segment,
    TransactionMode,
)
from confiture.models.predictions import Prediction
from confiture.models.steps import StepRecord
from confiture.plan.checksums import chain_checksum
from confiture.plan.migration_order import VersionKey, version_key

if TYPE_CHECKING:
    from confiture.core.backfill.backfill_runner import BackfillRunner

_MAY_AFFECT_HISTORY = re.compile("role|authorization|timeout", re.IGNORECASE)


class MigrationRunner:
    """Runs and commits plans over one session, holding the migration lock.

    `chain_checksum` is the chain checksum of the last applied row. `predictions` come from dry runs, by version.
    """

    def __init__(
        self,
        context: RunContext,
        session: Session,
        lock: MigrationLock,
        chain_checksum: str,
        predictions: Mapping[str, Prediction],
        events: EventRecorder,
    ) -> None:
        self._predictions = predictions
        self._events = events
        self._context = context
        self._session = session
        self._connection = context.connection
        self._lock = lock
        self._emit = context.emit
        self._chain_checksum = chain_checksum
        self._store = context.store
        self._is_installed = self._store.is_current()
        self._content: SchemaContent | None = None
        self.progress: MigrationProgress | None = None
        """The running or failed migration; None between migrations."""
        self.started_at = time.perf_counter()
        """When that migration started, as `perf_counter` counts."""

    @property
    def is_installed(self) -> bool:
        """Whether the history tables exist in the current format."""
        return self._is_installed

    def apply(self, plan: Plan, resume_points: Mapping[VersionKey, ResumePoint]) -> None:
        """Commit the plan, segment by segment.

        `resume_points` are the migrations left incomplete by earlier runs, by version. Raise StepFailed, psycopg.Error
        or ConfitureError; `progress` then describes what is committed.
        """
        if self._is_installed:
            with self._connection.transaction(), history_errors_translated():
                self._events.record_plan()
        else:
            self._store.check_privileges()
        note = stray_note(self._schema_content())
        if note:
            self._emit(Notice(text=note))
        for migration in plan.migrations:
            self._run_migration(migration, resume_points.get(version_key(migration.version)))

    def run_on_error(self, plan: PlannedMigration, failure: Diagnostic) -> None:
        """Run a failed migration's on_error steps, each segment separately. Hooks in these steps receive the cause.

        Raise StepFailed or psycopg.Error.
        """
        self._session.hook_runner.note_failure(failure)
        for segment in plan.on_error:
            self._session.reset()
            if segment.transaction_mode is TransactionMode.OUTSIDE:
                self._session.run_steps(plan.version, segment)
                continue
            content = self._schema_content()
            with self._connection.transaction():
                self._session.run_steps(plan.version, segment)
                self._session.check_end(segment)
                check_schema_untouched(self._connection, plan.migration, content)

    def _check_saved_plan(self, plan: PlannedMigration) -> None:
        """Raise Drift if another session has changed what the saved plan depends on."""
        if self._context.mode.guard is not None:
            self._session.reset()
            self._context.mode.guard.check_migration(self._connection, self._read_history(), plan)

    def _accept_changes(self, plan: PlannedMigration) -> None:
        """Let a saved plan accept what the migration has changed."""
        if self._context.mode.guard is not None:
            self._session.reset()
            self._context.mode.guard.accept_migration(self._connection, self._read_history(), plan)

    def _read_history(self) -> tuple[AppliedMigration, ...]:
        return self._store.read_history() if self._is_installed else ()

    def _run_migration(self, plan: PlannedMigration, resume_point: ResumePoint | None) -> None:
        self._check_saved_plan(plan)
        progress = MigrationProgress(plan, str(uuid.uuid4()))
        if resume_point:
            plan = match_plan_to_journal(plan, resume_point, self._context.settings)
            state = RecordState.INTENDED if resume_point.has_intent else RecordState.BEGUN
            progress = MigrationProgress(plan, resume_point.attempt, resume_point.committed_segments, state)
        self.progress = progress
        self._session.begin_migration()
        self.started_at = time.perf_counter()
        self._emit(
            MigrationStarted(version=plan.version, name=plan.migration.name, resumed_after=progress.committed_segments)
        )
        if resume_point:
            with history_errors_translated():
                self._events.record(HistoryEventKind.RESUMED, progress)
        if plan.direction is Direction.DOWN and self._is_installed:
            # A backfill's captured changes refer to what is being reverted, and its triggers would be left behind.
            self._session.run_with_retries(
                plan.version, 1, lambda: self._make_backfill_runner().abandon(self._connection, plan.version)
            )
        self._check_backfills(plan.segments[progress.committed_segments :])
        if progress.is_whole:
            self._finish_without_steps(progress)
        for segment in plan.segments[progress.committed_segments :]:
            self._lock.ensure_held()
            self._commit(progress, segment)
            self._is_installed = True
            progress.commit_segment()
            self._check_committed(plan, segment)
        if plan.direction is Direction.UP:
            self._chain_checksum = self._next_chain_checksum(plan)
        self.progress = None
        duration_ms = (time.perf_counter() - self.started_at) * 1000
        self._emit(MigrationFinished(version=plan.version, outcome=Outcome.DONE, duration_ms=duration_ms))
        self._accept_changes(plan)

    def _check_backfills(self, segments: Sequence[Segment]) -> None:
        """Raise StepFailed for a backfill that would be rejected only after earlier segments have committed."""
        if any(segment.transaction_mode is TransactionMode.BATCHED for segment in segments[1:]):
            from confiture.core.backfill.preflight import check_backfills

            check_backfills(self._connection, segments, self._session.begin)
            self._session.reset()

    def _check_committed(self, plan: PlannedMigration, segment: Segment) -> None:
        """Raise StepFailed for a setting that only shows after the commit, because SET LOCAL covered it until then."""
        if segment is not plan.segments[-1] and segment.transaction_mode is not TransactionMode.BATCHED:
            self._session.check_end(segment, next_segment=plan.segments[segment.number])

    def _finish_without_steps(self, progress: MigrationProgress) -> None:
        """Finish a migration that has nothing left to run, because it has no steps or the failed ones were removed."""
        self._session.reset()
        with self._connection.transaction(), history_errors_translated():
            self._install_history()
            self._finish(progress, 0.0)
        self._is_installed = True

    def _commit(self, progress: MigrationProgress, segment: Segment) -> None:
        if segment.transaction_mode is TransactionMode.OUTSIDE:
            self._commit_outside_transaction(progress, segment)
        elif segment.transaction_mode is TransactionMode.BATCHED:
            self._commit_batches(progress, segment)
        else:
            version = progress.plan.version
            self._session.run_with_retries(version, segment.number, lambda: self._commit_transaction(progress, segment))

    def _commit_transaction(self, progress: MigrationProgress, segment: Segment) -> None:
        self._session.reset()
        # Do this outside the transaction, because the migration may set the isolation level.
        content = self._schema_content()
        started = time.perf_counter()
        watched = self._session.with_blocking_monitor(progress.plan.version, segment.number)
        with watched, self._connection.transaction(), self._session.check_budget_on_exit(segment):
            records = self._session.run_steps(progress.plan.version, segment)
            self._session.check_end(segment)
            with history_errors_translated():
                self._prepare_for_history(segment)
                check_schema_untouched(self._connection, progress.plan.migration, content)
                self._record_start(progress, segment)
                duration_ms = (time.perf_counter() - started) * 1000
                self._record_in_transaction(progress, segment, records, duration_ms)

    def _record_in_transaction(
        self, progress: MigrationProgress, segment: Segment, records: Sequence[StepRecord], duration_ms: float
    ) -> None:
        """Record a segment in a separate transaction, and record the migration together with its last segment."""
        plan, attempt, rows = progress.plan, progress.attempt, _to_rows(records)
        record_proofs(self._connection, self._store.key, attempt, plan.version, segment.number, records)
        if plan.direction is Direction.UP and _is_whole_migration(plan, segment) and not progress.is_begun:
            link, event = self._next_chain_checksum(plan), self._events.applied_parameters(progress, duration_ms)
            self._store.record_applied(plan, segment, attempt, rows, duration_ms, link, event)
            self._events.record_schema()
            self._record_prediction(progress)
        else:
            self._store.record_segment(plan, segment, attempt, rows, duration_ms)
            self._finish_if_last(progress, segment, duration_ms)

    def _commit_outside_transaction(self, progress: MigrationProgress, segment: Segment) -> None:
        """Commit an intent, run the statement, then commit the record. After a crash, the next run finds the intent."""
        self._session.reset()
        plan = progress.plan
        if not progress.has_intent and self._session.run_with_retries(
            plan.version, segment.number, lambda: self._needs_intent(segment)
        ):
            self._record_intent(progress, segment)
        started = time.perf_counter()
        try:
            records = self._session.run_with_retries(
                plan.version, segment.number, lambda: self._run_outside_transaction(progress, segment)
            )
        except BaseException as failure:
            self._clean_up_failure(progress, segment, was_rejected=isinstance(failure, StepFailed))
            raise
        self._prepare_for_history(segment)
        with self._connection.transaction(), history_errors_translated():
            duration_ms = (time.perf_counter() - started) * 1000
            if progress.has_intent:
                self._store.complete_intent(plan, segment, progress.attempt, _to_rows(records), duration_ms)
            else:
                self._record_start(progress, segment)
                self._store.record_segment(plan, segment, progress.attempt, _to_rows(records), duration_ms)
            self._finish_if_last(progress, segment, duration_ms)

    def _commit_batches(self, progress: MigrationProgress, segment: Segment) -> None:
        """Commit an intent, then each batch together with its key position, then the record."""
        self._session.reset()
        if not progress.has_intent:
            self._record_intent(progress, segment)
        backfill_runner = self._make_backfill_runner()
        try:
            record = backfill_runner.run(self._connection, progress.plan.version, segment, progress.attempt)
        except StepFailed as error:
            if error.diagnostic.code != PROGRESS_LOST:
                self._delete_unused_intent(progress, segment, backfill_runner)
            raise
        self._session.reset()
        with self._connection.transaction(), history_errors_translated():
            self._store.complete_intent(
                progress.plan, segment, progress.attempt, _to_rows([record]), record.duration_ms
            )
            self._finish_if_last(progress, segment, record.duration_ms)

    def _delete_unused_intent(
        self, progress: MigrationProgress, segment: Segment, backfill_runner: BackfillRunner
    ) -> None:
        """Delete the intent for a backfill that was rejected before its first batch."""
        if not self._connection.closed and not backfill_runner.is_started(self._connection, segment, progress.attempt):
            with self._connection.transaction():
                self._store.delete_intent(progress.plan, segment, progress.attempt)
            progress.withdraw_intent()

    def _make_backfill_runner(self) -> BackfillRunner:
        # Import lazily, because most runs have no backfill.
        from confiture.core.backfill.backfill_runner import BackfillRunner

        context = self._context
        hook_runner, require_lock = self._session.hook_runner, self._lock.ensure_held
        begin = self._session.begin
        return BackfillRunner(context.target, context.settings, self._emit, hook_runner, require_lock, begin)

    def _needs_intent(self, segment: Segment) -> bool:
        (step,) = segment.steps
        (statement,) = step.statements
        self._session.apply_settings(segment)
        self._session.step_runner.set_timeouts(segment, step)
        is_needed = needs_intent(self._connection, statement, self._emit)
        self._prepare_for_history(segment)
        return is_needed

    def _record_intent(self, progress: MigrationProgress, segment: Segment) -> None:
        with self._connection.transaction(), history_errors_translated():
            self._record_start(progress, segment)
            self._store.record_intent(progress.plan, segment, progress.attempt)
            # From here on, the commit may have reached the server even if no reply arrives.
            progress.send_intent()
        progress.confirm_intent()
        self._is_installed = True

    def _run_outside_transaction(self, progress: MigrationProgress, segment: Segment) -> list[StepRecord]:
        (step,) = segment.steps
        (statement,) = step.statements
        self._session.apply_settings(segment)
        self._session.step_runner.set_timeouts(segment, step)
        if is_already_done(self._connection, statement, has_intent=progress.has_intent, emit=self._emit):
            self._emit(Notice(text=f"skipped because an earlier run completed it: {_first_line(statement.text)}"))
            return []
        if statement.is_concurrent:
            # A CONCURRENTLY statement blocks neither reads nor writes, and cancelling it would waste the whole build.
            return self._session.run_steps(progress.plan.version, segment)
        with self._session.with_blocking_monitor(progress.plan.version, segment.number):
            return self._session.run_steps(progress.plan.version, segment)

    def _clean_up_failure(self, progress: MigrationProgress, segment: Segment, *, was_rejected: bool) -> None:
        """Clean up after a failed statement outside a transaction. If cleaning up also fails, the next run does it."""
        (statement,) = segment.steps[0].statements
        if not progress.has_intent:
            return
        try:
            self._session.reset()
            self._session.apply_settings(segment)
            if clean_up_failed_statement(self._connection, statement, was_rejected=was_rejected, emit=self._emit):
                self._prepare_for_history(segment)
                with self._connection.transaction():
                    self._store.delete_intent(progress.plan, segment, progress.attempt)
                progress.withdraw_intent()
        except (psycopg.Error, ConfitureError) as failure:
            self._emit(Notice(text=f"could not clean up; the next run will do this: {_first_line(str(failure))}"))

    def _prepare_for_history(self, segment: Segment) -> None:
        """Restore the run's own role, and remove timeouts, if the segment may have changed them."""
        texts = [*segment.settings, *(statement.text for step in segment.steps for statement in step.statements)]
        if any(step.hook for step in segment.steps) or any(map(_MAY_AFFECT_HISTORY.search, texts)):
            # The run's own role must write the history, even if the migration, a DO block or a hook has changed the
            # role. A statement timeout that the migration sets is for its own statements.
            local = "LOCAL " if segment.transaction_mode is TransactionMode.TRANSACTIONAL else ""
            self._connection.execute(f"RESET SESSION AUTHORIZATION; SET {local}statement_timeout = 0".encode())

    def _schema_content(self) -> SchemaContent:
        """Return the content of Confiture's schema while no migration runs; cache it once the history is installed."""
        content = self._content or read_content(self._connection)
        if self._is_installed:
            self._content = content
        return content

    def _install_history(self) -> None:
        if not self._is_installed:
            self._store.install()
            self._events.record_plan()

    def _record_start(self, progress: MigrationProgress, segment: Segment) -> None:
        """Record the start of a migration that has several segments or a single one outside a transaction."""
        self._install_history()
        plan = progress.plan
        if progress.is_begun or _is_whole_migration(plan, segment):
            return
        if plan.direction is Direction.UP:
            self._store.insert_running(plan, progress.attempt)
        else:
            self._store.mark_reverting(plan.version, progress.attempt)

    def _finish_if_last(self, progress: MigrationProgress, segment: Segment, duration_ms: float) -> None:
        self._events.record_schema()
        if segment is progress.plan.segments[-1]:
            self._finish(progress, duration_ms)

    def _finish(self, progress: MigrationProgress, duration_ms: float) -> None:
        plan = progress.plan
        if plan.direction is Direction.DOWN:
            self._store.delete(plan.version)
            self._events.record(HistoryEventKind.UNDONE, progress)
            return
        if progress.is_begun or plan.segments:
            self._store.mark_applied(plan, progress.attempt, self._next_chain_checksum(plan))
        else:
            self._store.insert_applied(
                plan, progress.attempt, self._next_chain_checksum(plan), HistoryOrigin.RUN, duration_ms
            )
        self._events.record(HistoryEventKind.APPLIED, progress, None if plan.segments else duration_ms)
        self._record_prediction(progress)

    def _record_prediction(self, progress: MigrationProgress) -> None:
        plan = progress.plan
        prediction = self._predictions.get(plan.version)
        if prediction:
            self._store.record_prediction(prediction, progress.attempt)

    def _next_chain_checksum(self, plan: PlannedMigration) -> str:
        return chain_checksum(self._chain_checksum, plan.version, plan.checksum)


def last_chain_checksum(history: Sequence[AppliedMigration], start: str) -> str:
    """Return the chain checksum after all applied rows in a history."""
    applied = [row.chain for row in history if row.applied_at is not None]
    return applied[-1] if applied else start


def _is_whole_migration(plan: PlannedMigration, segment: Segment) -> bool:
    """Whether the migration consists of this segment only, in one transaction."""
    return len(plan.segments) == 1 and segment.transaction_mode is TransactionMode.TRANSACTIONAL


def _to_rows(records: Sequence[StepRecord]) -> list[dict[str, object]]:
    return [record.to_row() for record in records]


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]
