"""Rehearses a plan: the same steps in one transaction that is rolled back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace

from confiture.core.concurrently import rehearsed_away
from confiture.core.database import one_row
from confiture.core.dry_run.proving import Proving
from confiture.core.dry_run.refusals import refuse_what_fails, without_false_forms
from confiture.core.dry_run.sampling import SKIPPED, UNJUDGED, Sampling
from confiture.core.dry_run.trace import Tracer
from confiture.core.events import Emit
from confiture.core.failures import StepFailed
from confiture.core.resuming import Unfinished, fitted
from confiture.core.run.context import Progress
from confiture.core.session import Session
from confiture.core.state import StateStore
from confiture.core.state_schema import SchemaContent, read_content, require_schema_untouched, stray_note
from confiture.core.steps import Foresee, unforeseen
from confiture.models.events import MigrationFinished, MigrationStarted, Noted, Outcome
from confiture.models.plan import Isolation, Plan, PlannedMigration, PlannedStep, Segment
from confiture.models.trace import StatementTrace
from confiture.plan.building import transactional_form
from confiture.plan.ordering import VersionKey, version_key

_NEW_ENUM_VALUE = "55P04"
_ARTEFACT = (
    "if an earlier migration of this dry run, or an earlier segment, adds the value, then the real run commits it first"
    " and does not fail here: apply what comes before on a copy, and rehearse the rest there"
)


class Rehearsal:
    """Runs plans over one session and rolls them back. Between segments it does what commits would have done.

    With `full`, batched backfills run as a whole; otherwise a sample of their batches does. Without `proving` nothing
    is proved.
    """

    def __init__(self, session: Session, state: StateStore, emit: Emit, proving: Proving | None, *, full: bool) -> None:
        self._state = state
        self._proving = proving
        self._sampling = Sampling(session.connection, emit, session.hooks, full=full)
        self._session = session
        self._connection = session.connection
        self._emit = emit
        self.progress: Progress | None = None
        """The migration that runs, or failed; None where none did. Nothing of it is ever committed."""
        self.traces: tuple[StatementTrace, ...] = ()
        """What was seen of each statement of the last run, as far as it came."""
        self._segments_before = 0
        self._installed = False
        self._content: SchemaContent | None = None
        self.tries: list[tuple[StatementTrace, ...]] = []
        """The same of all runs, and of all tries of each."""

    def run(self, plan: Plan, unfinished: Mapping[VersionKey, Unfinished]) -> None:
        """Runs what a real run would, from where that would go on. Raises StepFailed, psycopg.Error or Drift."""
        self._state.require_writable()
        note = stray_note(read_content(self._connection))
        if note:
            self._emit(Noted(text=note))
        self._session.retrying(plan.migrations[0].version, 1, lambda: self._run_once(plan, unfinished))
        self.progress = None

    def _run_once(self, plan: Plan, unfinished: Mapping[VersionKey, Unfinished]) -> None:
        self._session.reset()
        if self._proving:
            self._proving.begin()
        self._segments_before = 0
        self._installed, self._content = self._state.installed(), None
        tracer = Tracer(self._connection)
        watched = self._session.watched(plan.migrations[0].version, 1)
        rolled_back = self._connection.transaction(force_rollback=True)
        try:
            with watched, rolled_back, self._session.released(), tracer.tracing():
                for migration in plan.migrations:
                    self._migrate(migration, unfinished.get(version_key(migration.version)), tracer)
        finally:
            self.traces = tuple(tracer.traces)
            self.tries.append(self.traces)

    def _migrate(self, plan: PlannedMigration, unfinished: Unfinished | None, tracer: Tracer) -> None:
        done = unfinished.committed if unfinished else 0
        plan = fitted(plan, unfinished) if unfinished else plan
        self.progress = Progress(plan, str(uuid.uuid4()), committed=done)
        started_ms = tracer.elapsed_ms()
        self._emit(MigrationStarted(version=plan.version, name=plan.migration.name, resumed_after=done))
        was_sampled = False
        for segment in plan.segments[done:]:
            self._session.reset()
            if not self._installed or self._content is None:
                self._content = read_content(self._connection)
            tracer.begin_segment()
            intended = unfinished is not None and unfinished.intended and segment is plan.segments[done]
            if not self._already_done(segment, intended=intended):
                if segment.isolation is Isolation.BATCHED:
                    was_sampled |= self._sample(plan, segment, tracer)
                else:
                    self._run_steps(plan, _unjudged(segment) if was_sampled else segment, tracer)
            tracer.end_segment()
            self._install(tracer)
            self.progress.committed += 1
            self._segments_before += 1
        duration_ms = tracer.elapsed_ms() - started_ms
        self._emit(MigrationFinished(version=plan.version, outcome=Outcome.DONE, duration_ms=duration_ms))

    def _install(self, tracer: Tracer) -> None:
        """Makes our tables where the real run has made them by now: the next statement may meet them."""
        if not self._installed:
            self._state.install()
            self._installed, self._content = True, None
            tracer.overlook()

    def _sample(self, plan: PlannedMigration, segment: Segment, tracer: Tracer) -> bool:
        """Runs batches of a backfill; whether that was only a sample."""
        (step,) = segment.steps
        for statement in step.statements:
            # each batch is a part of it: proved as a whole, they all are
            self._foreseeing(plan, segment, tracer)(step, statement)
        observe = self._session.held_to_budget(segment, step, tracer.observe)
        sampled = self._sampling.run(plan.version, segment, tracer.overlook, observe)
        self._check_constraints()
        tracer.weigh(sampled.batches, sampled.times)
        return not sampled.is_whole

    def _run_steps(self, plan: PlannedMigration, segment: Segment, tracer: Tracer) -> None:
        try:
            if segment.isolation is Isolation.OUTSIDE:
                refuse_what_fails(self._connection, segment)
                segment = without_false_forms(self._connection, segment)
            foresee = self._foreseeing(plan, segment, tracer)
            self._session.run_steps(plan.version, _in_transaction(plan, segment), tracer.observe, foresee)
            self._check_constraints()
            if self._content is not None:
                require_schema_untouched(self._connection, plan.migration, self._content)
        except StepFailed as failure:
            if failure.sqlstate != _NEW_ENUM_VALUE or not self._segments_before:
                raise
            told = replace(failure.diagnostic, hint=_ARTEFACT)
            raise StepFailed(told, failure.sqlstate) from failure

    def _foreseeing(self, plan: PlannedMigration, segment: Segment, tracer: Tracer) -> Foresee:
        return self._proving.of(plan, segment, tracer) if self._proving else unforeseen

    def _already_done(self, segment: Segment, *, intended: bool) -> bool:
        """Whether the real run will find the statement done; mends first what that would mend."""
        if segment.isolation is not Isolation.OUTSIDE:
            return False
        ((statement,),) = (step.statements for step in segment.steps)
        if not rehearsed_away(self._connection, statement, intended=intended, emit=self._emit):
            return False
        self._emit(Noted(text=f"an earlier run had already done: {statement.text.strip().splitlines()[0]}"))
        return True

    def _check_constraints(self) -> None:
        """Checks what a commit checks, then defers again what is deferred in every new transaction.

        Not by SET CONSTRAINTS ALL: that would also hold for constraints that later segments make.
        """
        self._connection.execute("RESET SESSION AUTHORIZATION")
        names = one_row(self._connection, "deferrable")
        if names["everything"]:
            self._connection.execute(f"SET CONSTRAINTS {names['everything']} IMMEDIATE".encode())
        if names["deferred"]:
            self._connection.execute(f"SET CONSTRAINTS {names['deferred']} DEFERRED".encode())


def _unjudged(segment: Segment) -> Segment:
    """The segment with its checks only run: what they ask for is not there where a backfill was sampled."""
    return replace(segment, steps=tuple(map(_unjudged_step, segment.steps)))


def _unjudged_step(step: PlannedStep) -> PlannedStep:
    if step.reconcile is not None and not step.skipped:
        return replace(step, reconcile=None, statements=(), skipped=SKIPPED)
    return replace(step, expect=None, note=UNJUDGED) if step.expect is not None else step


def _in_transaction(plan: PlannedMigration, segment: Segment) -> Segment:
    """The segment with every statement in a form that can run in a transaction."""
    if segment.isolation is Isolation.TRANSACTIONAL:
        return segment
    alone = Plan(direction=plan.direction, migrations=(replace(plan, segments=(segment,)),))
    (only,) = transactional_form(alone).migrations[0].segments
    return replace(only, number=segment.number)
