"""Carries out a plan, segment by segment, each committed together with its record."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from confiture.core.concurrently import already_done, clear_up, needs_intent
from confiture.core.events import Emit
from confiture.core.failures import StepFailed, plain_failure
from confiture.core.lock import ProjectLock
from confiture.core.reconcile.evidence import record_proofs
from confiture.core.resuming import Unfinished, fitted
from confiture.core.run.context import Progress
from confiture.core.session import Session
from confiture.core.state import StateStore
from confiture.core.state_schema import SchemaContent, read_content, require_schema_untouched, stray_note
from confiture.errors import ConfitureError
from confiture.models.events import MigrationFinished, MigrationStarted, Noted, Outcome
from confiture.models.history import AppliedMigration, Origin
from confiture.models.plan import (
    Direction,
    Isolation,
    Plan,
    PlannedMigration,
    Segment,
)
from confiture.models.predictions import Prediction
from confiture.models.steps import StepRecord
from confiture.plan.checksums import chain
from confiture.plan.ordering import VersionKey, version_key

if TYPE_CHECKING:
    from confiture.core.backfill.filler import Filler

_MAY_SET_ROLE = re.compile("role|authorization", re.IGNORECASE)


class Runner:
    """Commits plans over one session, under the project's lock. `chain_end` is the chain of the last applied row.

    `predictions` are what dry runs predicted, by version; `filler` gives what runs batched backfills.
    """

    def __init__(
        self,
        session: Session,
        state: StateStore,
        lock: ProjectLock,
        emit: Emit,
        chain_end: str,
        predictions: Mapping[str, Prediction],
        filler: Callable[[], Filler],
    ) -> None:
        self._predictions = predictions
        self._filler = filler
        self._session = session
        self._connection = session.connection
        self._lock = lock
        self._emit = emit
        self._chain_end = chain_end
        self.state = state
        self._installed = state.is_current()
        self._content: SchemaContent | None = None
        self.progress: Progress | None = None
        """The migration that runs, or failed; None between migrations."""

    def apply(self, plan: Plan, unfinished: Mapping[VersionKey, Unfinished]) -> None:
        """Commits the plan, segment by segment. `unfinished` is what earlier runs left midway, by version.

        Raises StepFailed, psycopg.Error or ConfitureError; `progress` then tells what is committed.
        """
        if not self._installed:
            self.state.require_rights()
        note = stray_note(self._schema_content())
        if note:
            self._emit(Noted(text=note))
        for migration in plan.migrations:
            self._migrate(migration, unfinished.get(version_key(migration.version)))

    def on_error(self, plan: PlannedMigration) -> None:
        """Runs a failed migration's on_error steps, each segment by itself. Raises StepFailed or psycopg.Error."""
        for segment in plan.on_error:
            self._session.reset()
            if segment.isolation is Isolation.OUTSIDE:
                self._session.run_steps(plan.version, segment)
                continue
            content = self._schema_content()
            with self._connection.transaction():
                self._session.run_steps(plan.version, segment)
                require_schema_untouched(self._connection, plan.migration, content)

    def _migrate(self, plan: PlannedMigration, unfinished: Unfinished | None) -> None:
        progress = Progress(plan, str(uuid.uuid4()))
        if unfinished:
            plan = fitted(plan, unfinished)
            progress = Progress(plan, unfinished.attempt, unfinished.committed, unfinished.intended, begun=True)
        self.progress = progress
        started = time.perf_counter()
        self._emit(MigrationStarted(version=plan.version, name=plan.migration.name, resumed_after=progress.committed))
        if plan.direction is Direction.DOWN and self._installed:
            # what a backfill noted is about what goes now; its triggers would stay
            self._session.retrying(plan.version, 1, lambda: self._filler().give_up(self._connection, plan.version))
        if progress.committed == len(plan.segments):
            self._finish_without_steps(progress)
        for segment in plan.segments[progress.committed :]:
            self._lock.require()
            self._commit(progress, segment)
            progress.committed += 1
            progress.intended = False
        if plan.direction is Direction.UP:
            self._chain_end = self._link(plan)
        self.progress = None
        duration_ms = (time.perf_counter() - started) * 1000
        self._emit(MigrationFinished(version=plan.version, outcome=Outcome.DONE, duration_ms=duration_ms))

    def _finish_without_steps(self, progress: Progress) -> None:
        """Ends a migration of which nothing is left to run: it has no steps, or what had failed was taken out."""
        self._session.reset()
        with self._connection.transaction(), _recording():
            self._install()
            self._finish(progress, 0.0)
        self._installed = True

    def _commit(self, progress: Progress, segment: Segment) -> None:
        if segment.isolation is Isolation.OUTSIDE:
            self._commit_outside(progress, segment)
        elif segment.isolation is Isolation.BATCHED:
            self._commit_batches(progress, segment)
        else:
            version = progress.plan.version
            self._session.retrying(version, segment.number, lambda: self._commit_together(progress, segment))

    def _commit_together(self, progress: Progress, segment: Segment) -> None:
        self._session.reset()
        # not within the transaction, whose isolation the migration may set
        content = self._schema_content()
        started = time.perf_counter()
        watched = self._session.watched(progress.plan.version, segment.number)
        with watched, self._connection.transaction(), self._session.released_at_end(segment):
            records = self._session.run_steps(progress.plan.version, segment)
            with _recording():
                self._take_back_role(segment)
                require_schema_untouched(self._connection, progress.plan.migration, content)
                self._enter(progress, segment)
                duration_ms = (time.perf_counter() - started) * 1000
                self._record_together(progress, segment, records, duration_ms)
        self._installed = progress.begun = True

    def _record_together(
        self, progress: Progress, segment: Segment, records: Sequence[StepRecord], duration_ms: float
    ) -> None:
        """Enters a segment in its own transaction, and with the last one its migration."""
        plan, attempt, rows = progress.plan, progress.attempt, _as_rows(records)
        record_proofs(self._connection, self.state.key, attempt, plan.version, segment.number, records)
        if plan.direction is Direction.UP and _is_whole(plan, segment) and not progress.begun:
            self.state.record_applied(plan, segment, attempt, rows, duration_ms, self._link(plan))
            self._record_prediction(progress)
        else:
            self.state.record(plan, segment, attempt, rows, duration_ms)
            self._finish_after(progress, segment, duration_ms)

    def _commit_outside(self, progress: Progress, segment: Segment) -> None:
        """An intent first, then the statement, then the record: a run killed in between finds out what happened."""
        self._session.reset()
        plan = progress.plan
        if not progress.intended and self._session.retrying(
            plan.version, segment.number, lambda: self._needs_intent(segment)
        ):
            self._intend(progress, segment)
        started = time.perf_counter()
        try:
            records = self._session.retrying(plan.version, segment.number, lambda: self._run_outside(progress, segment))
        except BaseException as failure:
            self._leave_nothing(progress, segment, refused=isinstance(failure, StepFailed))
            raise
        with self._connection.transaction(), _recording():
            duration_ms = (time.perf_counter() - started) * 1000
            if progress.intended:
                self.state.complete(plan, segment, progress.attempt, _as_rows(records), duration_ms)
            else:
                self._enter(progress, segment)
                self.state.record(plan, segment, progress.attempt, _as_rows(records), duration_ms)
            self._finish_after(progress, segment, duration_ms)
        self._installed = progress.begun = True

    def _commit_batches(self, progress: Progress, segment: Segment) -> None:
        """An intent first, then the batches, each committed with how far it came, then the record."""
        self._session.reset()
        if not progress.intended:
            self._intend(progress, segment)
        filler = self._filler()
        try:
            record = filler.fill(self._connection, progress.plan.version, segment, progress.attempt)
        except StepFailed:
            self._withdraw_unbegun(progress, segment, filler)
            raise
        self._session.reset()
        with self._connection.transaction(), _recording():
            self.state.complete(progress.plan, segment, progress.attempt, _as_rows([record]), record.duration_ms)
            self._finish_after(progress, segment, record.duration_ms)

    def _withdraw_unbegun(self, progress: Progress, segment: Segment, filler: Filler) -> None:
        """Takes back the intent of a backfill that was refused before its first batch."""
        if not self._connection.closed and not filler.has_begun(self._connection, segment, progress.attempt):
            with self._connection.transaction():
                self.state.withdraw(progress.plan, segment, progress.attempt)
            progress.intended = False

    def _needs_intent(self, segment: Segment) -> bool:
        (step,) = segment.steps
        (statement,) = step.statements
        self._session.steps.set_timeouts(segment, step)
        return needs_intent(self._connection, statement, self._emit)

    def _intend(self, progress: Progress, segment: Segment) -> None:
        with self._connection.transaction(), _recording():
            self._enter(progress, segment)
            self.state.intend(progress.plan, segment, progress.attempt)
            # from here on the commit may have reached the server, whatever we hear of it
            progress.intended = True
        self._installed = progress.begun = True

    def _run_outside(self, progress: Progress, segment: Segment) -> list[StepRecord]:
        (step,) = segment.steps
        (statement,) = step.statements
        self._session.steps.set_timeouts(segment, step)
        if already_done(self._connection, statement, intended=progress.intended, emit=self._emit):
            self._emit(Noted(text=f"an earlier run had already done: {_first_line(statement.text)}"))
            return []
        if statement.concurrently:
            # CONCURRENTLY keeps out neither reads nor writes, and cancelling it would cost the whole build
            return self._session.run_steps(progress.plan.version, segment)
        with self._session.watched(progress.plan.version, segment.number):
            return self._session.run_steps(progress.plan.version, segment)

    def _leave_nothing(self, progress: Progress, segment: Segment, *, refused: bool) -> None:
        """Clears up after a failed statement outside a transaction; where that fails too, the next run does it."""
        (statement,) = segment.steps[0].statements
        if not progress.intended:
            return
        try:
            self._session.reset()
            if clear_up(self._connection, statement, refused=refused, emit=self._emit):
                with self._connection.transaction():
                    self.state.withdraw(progress.plan, segment, progress.attempt)
                progress.intended = False
        except (psycopg.Error, ConfitureError) as failure:
            self._emit(Noted(text=f"could not clear up after it, the next run will: {_first_line(str(failure))}"))

    def _take_back_role(self, segment: Segment) -> None:
        texts = (statement.text for step in segment.steps for statement in step.statements)
        if any(step.hook for step in segment.steps) or any(map(_MAY_SET_ROLE.search, texts)):
            # the history is ours to write, whatever role the migration took on, also from inside a DO block or a hook
            self._connection.execute("RESET SESSION AUTHORIZATION")

    def _schema_content(self) -> SchemaContent:
        """What our schema holds when no migration is at work; read once from when our tables are there."""
        content = self._content or read_content(self._connection)
        if self._installed:
            self._content = content
        return content

    def _install(self) -> None:
        if not self._installed:
            self.state.install()

    def _enter(self, progress: Progress, segment: Segment) -> None:
        """Makes the history know of a migration that takes several segments, or takes one outside a transaction."""
        self._install()
        plan = progress.plan
        if progress.begun or _is_whole(plan, segment):
            return
        if plan.direction is Direction.UP:
            self.state.begin(plan, progress.attempt)
        else:
            self.state.begin_reverting(plan.version, progress.attempt)

    def _finish_after(self, progress: Progress, segment: Segment, duration_ms: float) -> None:
        if segment is progress.plan.segments[-1]:
            self._finish(progress, duration_ms)

    def _finish(self, progress: Progress, duration_ms: float) -> None:
        plan = progress.plan
        if plan.direction is Direction.DOWN:
            self.state.delete(plan.version)
        elif progress.begun or plan.segments:
            self.state.finish(plan, progress.attempt, self._link(plan))
        else:
            self.state.insert_applied(plan, progress.attempt, self._link(plan), Origin.RUN, duration_ms)
        self._record_prediction(progress)

    def _record_prediction(self, progress: Progress) -> None:
        plan = progress.plan
        prediction = self._predictions.get(plan.version)
        if prediction and plan.direction is Direction.UP:
            self.state.record_prediction(prediction, progress.attempt)

    def _link(self, plan: PlannedMigration) -> str:
        return chain(self._chain_end, plan.version, plan.checksum)


def chain_end(history: Sequence[AppliedMigration], start: str) -> str:
    """The chain's value after all applied rows of a history."""
    applied = [row.chain for row in history if row.applied_at is not None]
    return applied[-1] if applied else start


@contextmanager
def _recording() -> Iterator[None]:
    """Tells a failure to write the history apart from that of a commit."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        told = plain_failure(error, "another run has recorded this migration meanwhile")
        raise StepFailed(told, error.sqlstate) from error
    except psycopg.Error as error:
        raise StepFailed(plain_failure(error, "the history cannot be written"), error.sqlstate) from error


def _is_whole(plan: PlannedMigration, segment: Segment) -> bool:
    """Whether a segment is its whole migration, in one transaction."""
    return len(plan.segments) == 1 and segment.isolation is Isolation.TRANSACTIONAL


def _as_rows(records: Sequence[StepRecord]) -> list[dict[str, object]]:
    return [record.as_row() for record in records]


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]
