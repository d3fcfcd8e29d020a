"""Runs the statements of one step, and tells what they did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import psycopg

from confiture.core.checks import CURSOR_PREFIX, run_check
from confiture.core.database import Connection
from confiture.core.events import Emit
from confiture.core.failures import CheckNotMet, StepFailed, statement_failure
from confiture.core.hooks.running import HookRuns
from confiture.core.reconcile.comparing import reconcile
from confiture.core.reconcile.refusing import ReconcileRefused
from confiture.models.events import Outcome, StepFinished, StepStarted
from confiture.models.migration import Expectation
from confiture.models.plan import Isolation, PlannedReconcile, PlannedStep, Segment, Statement, StepId
from confiture.models.reconciling import Reconciled
from confiture.models.steps import Did, StepRecord, step_id
from confiture.plan.reconciling import difference_diagnostic, equal_sentence
from confiture.secrets import hide_secrets

Observe = Callable[[StepId, Statement, float], None]
"""Is told of each statement that succeeded, with the milliseconds that it took."""


Foresee = Callable[[PlannedStep, Statement], None]
"""Is told of each statement before it runs."""


def unforeseen(step: PlannedStep, statement: Statement) -> None:
    """Foresees nothing."""


def unobserved(step: StepId, statement: Statement, duration_ms: float) -> None:
    """Observes nothing."""


class StepRunner:
    """Runs steps on one connection, in whatever transaction is open there.

    The timeouts, in milliseconds, are what the session has; a step that asks for others gets them for itself.
    """

    def __init__(self, connection: Connection, emit: Emit, lock_timeout_ms: int, hooks: HookRuns) -> None:
        self._hooks = hooks
        self._connection = connection
        self._emit = emit
        self._lock_timeout_ms = lock_timeout_ms
        self._spent_ms = 0.0

    def run(
        self,
        version: str,
        segment: Segment,
        step: PlannedStep,
        observe: Observe = unobserved,
        foresee: Foresee = unforeseen,
    ) -> StepRecord | None:
        """Runs a step; None where it is skipped. Its time is that of its statements. Raises StepFailed."""
        identity = step_id(version, segment, step)
        if step.skipped:
            self._emit(StepFinished(step=identity, outcome=Outcome.SKIPPED, duration_ms=0.0, note=step.skipped))
            return None
        self._emit(StepStarted(step=identity))
        self._spent_ms = 0.0
        try:
            self.set_timeouts(segment, step)
            did = self._run(identity, step, observe, foresee)
            self._restore_timeouts(segment, step)
        except (StepFailed, psycopg.Error, KeyboardInterrupt):
            self._emit(StepFinished(step=identity, outcome=Outcome.FAILED, duration_ms=self._spent_ms))
            raise
        self._emit(did.finished(identity, self._spent_ms))
        return StepRecord(
            phase=step.phase.value,
            name=step.label,
            rows=did.rows,
            duration_ms=self._spent_ms,
            number=step.number,
            proof=did.proof,
        )

    def _run(self, identity: StepId, step: PlannedStep, observe: Observe, foresee: Foresee) -> Did:
        if step.hook is None:
            return self._statements(identity, step, observe, foresee)
        with self._timed():
            result, watching_ms = self._hooks.run(self._connection, identity, step, partial(observe, identity))
        self._spent_ms -= watching_ms
        self._keep_encoding()
        return Did(rows=result.rows_affected, note=step.note, stats=result.stats)

    def _statements(self, identity: StepId, step: PlannedStep, observe: Observe, foresee: Foresee) -> Did:
        written: list[int] = []
        proof = None
        for statement in step.statements:
            foresee(step, statement)
            before_ms = self._spent_ms
            if step.expect is not None:
                self._check(step, statement, step.expect)
            elif step.reconcile is not None:
                proof = self._reconcile(step, step.reconcile)
            else:
                written += self._execute(step, statement)
            observe(identity, statement, self._spent_ms - before_ms)
        note = equal_sentence(proof) if proof else step.note
        return Did(rows=sum(written) if written else None, note=note, proof=proof)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._spent_ms += (time.perf_counter() - started) * 1000

    def _execute(self, step: PlannedStep, statement: Statement) -> list[int]:
        """The rows that a statement wrote, empty where it writes none by its nature."""
        try:
            with self._timed():
                cursor = self._connection.execute(statement.text.encode())
        except psycopg.Error as error:
            raise StepFailed(statement_failure(error, statement, step.rendered), error.sqlstate) from error
        self._keep_encoding()
        return [max(cursor.rowcount, 0)] if statement.writes else []

    def _keep_encoding(self) -> None:
        if self._connection.info.parameter_status("client_encoding") != "UTF8":
            # files are UTF-8, whatever a dump among them says; the server would take the next statement for Latin-1
            self._connection.execute("SET client_encoding = 'UTF8'")

    def _check(self, step: PlannedStep, statement: Statement, expect: Expectation) -> None:
        try:
            with self._timed():
                result = run_check(self._connection, statement.text, expect)
        except psycopg.Error as error:
            diagnostic = statement_failure(error, statement, step.rendered, prefix=len(CURSOR_PREFIX))
            raise StepFailed(diagnostic, error.sqlstate) from error
        if not result.holds:
            diagnostic = step.rendered.diagnostic(
                statement.offset,
                "check-failed",
                f"the check {step.name!r} does not hold",
                detail=(
                    f"expected {result.expected}",
                    hide_secrets(f"got {result.got}"),
                    *_query_lines(statement.text),
                ),
                hint="correct the data, the migration or `expect:`, then run again",
            )
            raise CheckNotMet(diagnostic, None)

    def _reconcile(self, step: PlannedStep, planned: PlannedReconcile) -> Reconciled:
        try:
            with self._timed():
                proof = reconcile(self._connection, step, planned)
        except ReconcileRefused as refusal:
            raise StepFailed(refusal.diagnostic, refusal.sqlstate) from refusal
        except psycopg.Error as error:
            raise StepFailed(statement_failure(error, step.statements[0], step.rendered), error.sqlstate) from error
        if not proof.equal:
            raise CheckNotMet(difference_diagnostic(step, proof), None)
        return proof

    def set_timeouts(self, segment: Segment, step: PlannedStep) -> None:
        """Sets what a step asks for: in a transaction until its end, else for the session."""
        lock_timeout = step.lock_timeout_ms
        if lock_timeout is None and any(statement.concurrently for statement in step.statements):
            # CONCURRENTLY blocks neither reads nor writes while it waits, and giving up costs the whole build
            lock_timeout = 0
        self._configure(segment, "statement_timeout", step.timeout_ms)
        self._configure(segment, "lock_timeout", lock_timeout)

    def _restore_timeouts(self, segment: Segment, step: PlannedStep) -> None:
        if segment.isolation is Isolation.OUTSIDE:
            return
        self._configure(segment, "statement_timeout", None if step.timeout_ms is None else 0)
        self._configure(segment, "lock_timeout", None if step.lock_timeout_ms is None else self._lock_timeout_ms)

    def _configure(self, segment: Segment, setting: str, milliseconds: int | None) -> None:
        if milliseconds is not None:
            scope = "LOCAL " if segment.isolation is Isolation.TRANSACTIONAL else ""
            self._connection.execute(f"SET {scope}{setting} = {milliseconds}".encode())


def _query_lines(query: str) -> tuple[str, ...]:
    return tuple(f"  {line}" for line in hide_secrets(query).splitlines())
