"""Rehearses a plan: the same steps in one transaction that is rolled back."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import replace

from confiture.core.database import one_row
from confiture.core.dry_run.trace import Tracer
from confiture.core.events import Emit
from confiture.core.resuming import Unfinished, fitted
from confiture.core.runner import Progress, Session
from confiture.core.state import StateStore
from confiture.models.events import MigrationFinished, MigrationStarted, Outcome
from confiture.models.plan import Isolation, Plan, PlannedMigration, Segment
from confiture.models.trace import StatementTrace
from confiture.plan.building import transactional_form
from confiture.plan.ordering import VersionKey, version_key


class Rehearsal:
    """Runs plans over one session and rolls them back. Between segments it does what commits would have done."""

    def __init__(self, session: Session, emit: Emit) -> None:
        self._session = session
        self._connection = session.connection
        self._emit = emit
        self.progress: Progress | None = None
        """The migration that runs, or failed; None where none did. Nothing of it is ever committed."""
        self.traces: tuple[StatementTrace, ...] = ()
        """What was seen of each statement of the last run, as far as it came."""

    def run(self, plan: Plan, unfinished: Mapping[VersionKey, Unfinished]) -> None:
        """Runs what a real run would, from where that would go on. Raises StepFailed, psycopg.Error or Drift."""
        state = StateStore(self._connection)
        if not state.installed():
            state.require_rights()
        self._session.retrying(plan.migrations[0].version, 1, lambda: self._run_once(plan, unfinished))
        self.progress = None

    def _run_once(self, plan: Plan, unfinished: Mapping[VersionKey, Unfinished]) -> None:
        self._session.reset()
        tracer = Tracer(self._connection)
        watched = self._session.watched(plan.migrations[0].version, 1)
        try:
            with watched, self._connection.transaction(force_rollback=True), tracer.tracing():
                for migration in plan.migrations:
                    self._migrate(migration, unfinished.get(version_key(migration.version)), tracer)
        finally:
            self.traces = tuple(tracer.traces)

    def _migrate(self, plan: PlannedMigration, unfinished: Unfinished | None, tracer: Tracer) -> None:
        done = unfinished.committed if unfinished else 0
        plan = fitted(plan, unfinished) if unfinished else plan
        self.progress = Progress(plan, str(uuid.uuid4()))
        started = time.perf_counter()
        self._emit(MigrationStarted(version=plan.version, name=plan.migration.name, resumed_after=done))
        for segment in plan.segments[done:]:
            self._session.reset()
            tracer.begin_segment()
            self._session.run_steps(plan.version, _in_transaction(plan, segment), tracer.observe)
            self._check_constraints()
            tracer.end_segment()
        duration_ms = (time.perf_counter() - started) * 1000
        self._emit(MigrationFinished(version=plan.version, outcome=Outcome.DONE, duration_ms=duration_ms))

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


def _in_transaction(plan: PlannedMigration, segment: Segment) -> Segment:
    """The segment with every statement in a form that can run in a transaction."""
    if segment.isolation is Isolation.TRANSACTIONAL:
        return segment
    alone = Plan(direction=plan.direction, migrations=(replace(plan, segments=(segment,)),))
    (only,) = transactional_form(alone).migrations[0].segments
    return replace(only, number=segment.number)
