"""Runs the statements of one step, and tells what they did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import psycopg

from confiture.core.db.checks import CURSOR_PREFIX, run_check
from confiture.core.db.errors import CheckNotSatisfied, StepFailed, statement_diagnostic
from confiture.core.db.server_messages import server_messages_reported
from confiture.core.hooks.hook_runner import HookRunner
from confiture.core.reconcile.errors import NotComparable
from confiture.core.reconcile.reconciliation import reconcile
from confiture.core.run.context import RunContext
from confiture.core.run.statement_observer import StatementObserver
from confiture.models.events import Outcome, StepFinished, StepStarted
from confiture.models.plan import PlannedStep, Segment, Statement, StepAction, StepId, TransactionMode
from confiture.models.reconcile_results import ReconcileResult
from confiture.models.steps import StepOutcome, StepRecord, build_step_id
from confiture.plan.reconcile_messages import difference_diagnostic, equal_summary
from confiture.secrets import hide_secrets


class _Timer:
    """The milliseconds that the statements of one step took."""

    def __init__(self) -> None:
        self.elapsed_ms = 0.0

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Adds the time that runs inside, also where that fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.elapsed_ms += (time.perf_counter() - started) * 1000

    def leave_out(self, duration_ms: float) -> None:
        """Takes back time that was not the step's."""
        self.elapsed_ms -= duration_ms


class StepRunner:
    """Runs steps on one connection, in whatever transaction is open there.

    The timeouts, in milliseconds, are what the session has; a step that asks for others gets them for itself.
    """

    def __init__(self, context: RunContext, hook_runner: HookRunner) -> None:
        self._hook_runner = hook_runner
        self._connection = context.connection
        self._emit = context.emit
        self._lock_timeout_ms = context.settings.database.lock_timeout_ms

    def run(self, version: str, segment: Segment, step: PlannedStep, observer: StatementObserver) -> StepRecord | None:
        """Runs a step; None where it is skipped. Its time is that of its statements. Raises StepFailed."""
        identity = build_step_id(version, segment, step)
        if step.skip_reason:
            self._emit(StepFinished(step=identity, outcome=Outcome.SKIPPED, duration_ms=0.0, note=step.skip_reason))
            return None
        self._emit(StepStarted(step=identity))
        timer = _Timer()
        try:
            self.set_timeouts(segment, step)
            with server_messages_reported(self._connection, identity, self._emit):
                did = self._run(identity, step, observer, timer)
            self._restore_timeouts(segment, step)
        except (StepFailed, psycopg.Error, KeyboardInterrupt):
            self._emit(StepFinished(step=identity, outcome=Outcome.FAILED, duration_ms=timer.elapsed_ms))
            raise
        self._emit(did.to_event(identity, timer.elapsed_ms))
        return StepRecord(
            phase=step.phase.value,
            name=step.label,
            rows=did.rows,
            duration_ms=timer.elapsed_ms,
            number=step.number,
            proof=did.proof,
        )

    def _run(self, identity: StepId, step: PlannedStep, observer: StatementObserver, timer: _Timer) -> StepOutcome:
        return RUN_BY_ACTION[step.action](self, identity, step, observer, timer)

    def run_hook(self, identity: StepId, step: PlannedStep, observer: StatementObserver, timer: _Timer) -> StepOutcome:
        """Runs the step's hook."""
        with timer.measure():
            result, observing_ms = self._hook_runner.run(
                self._connection, identity, step, partial(observer.after, identity, step)
            )
        timer.leave_out(observing_ms)
        self._restore_encoding()
        return StepOutcome(rows=result.rows_affected, note=step.note, stats=result.stats)

    def run_statements(
        self, identity: StepId, step: PlannedStep, observer: StatementObserver, timer: _Timer
    ) -> StepOutcome:
        """Runs the step's statements."""
        written: list[int] = []
        for statement in step.statements:
            with _observe_statement(identity, step, statement, observer, timer):
                written += self._execute(step, statement, timer)
        return StepOutcome(rows=sum(written) if written else None, note=step.note)

    def run_check(self, identity: StepId, step: PlannedStep, observer: StatementObserver, timer: _Timer) -> StepOutcome:
        """Compares what the step's query returns."""
        (statement,) = step.statements
        with _observe_statement(identity, step, statement, observer, timer):
            self._check(step, statement, timer)
        return StepOutcome(rows=None, note=step.note)

    def run_reconcile(
        self, identity: StepId, step: PlannedStep, observer: StatementObserver, timer: _Timer
    ) -> StepOutcome:
        """Compares a table with the step's query."""
        (statement,) = step.statements
        with _observe_statement(identity, step, statement, observer, timer):
            proof = self._reconcile(step, timer)
        return StepOutcome(rows=None, note=equal_summary(proof), proof=proof)

    def _execute(self, step: PlannedStep, statement: Statement, timer: _Timer) -> list[int]:
        """The rows that a statement wrote, empty where it writes none by its nature."""
        try:
            with timer.measure():
                cursor = self._connection.execute(statement.text.encode())
        except psycopg.Error as error:
            raise StepFailed(statement_diagnostic(error, statement, step.rendered), error.sqlstate) from error
        self._restore_encoding()
        return [max(cursor.rowcount, 0)] if statement.has_row_count else []

    def _restore_encoding(self) -> None:
        if self._connection.info.parameter_status("client_encoding") != "UTF8":
            # files are UTF-8, whatever a dump among them says; the server would take the next statement for Latin-1
            self._connection.execute("SET client_encoding = 'UTF8'")

    def _check(self, step: PlannedStep, statement: Statement, timer: _Timer) -> None:
        if step.expect is None:
            raise LookupError(step.name)
        try:
            with timer.measure():
                result = run_check(self._connection, statement.text, step.expect)
        except psycopg.Error as error:
            diagnostic = statement_diagnostic(error, statement, step.rendered, prefix=len(CURSOR_PREFIX))
            raise StepFailed(diagnostic, error.sqlstate) from error
        if not result.is_satisfied:
            diagnostic = step.rendered.diagnostic(
                statement.offset,
                "check-failed",
                f"the check {step.name!r} does not hold",
                detail=(
                    f"expected {result.expected}",
                    hide_secrets(f"got {result.actual}"),
                    *_query_lines(statement.text),
                ),
                hint="correct the data, the migration or `expect:`, then run again",
            )
            raise CheckNotSatisfied(diagnostic, None)

    def _reconcile(self, step: PlannedStep, timer: _Timer) -> ReconcileResult:
        if step.reconcile is None:
            raise LookupError(step.name)
        try:
            with timer.measure():
                proof = reconcile(self._connection, step, step.reconcile)
        except NotComparable as refusal:
            raise StepFailed(refusal.diagnostic, refusal.sqlstate) from refusal
        except psycopg.Error as error:
            raise StepFailed(statement_diagnostic(error, step.statements[0], step.rendered), error.sqlstate) from error
        if not proof.is_equal:
            raise CheckNotSatisfied(difference_diagnostic(step, proof), None)
        return proof

    def set_timeouts(self, segment: Segment, step: PlannedStep) -> None:
        """Sets what a step asks for: in a transaction until its end, else for the session."""
        lock_timeout = step.lock_timeout_ms
        if lock_timeout is None and any(statement.is_concurrent for statement in step.statements):
            # CONCURRENTLY blocks neither reads nor writes while it waits, and giving up costs the whole build
            lock_timeout = 0
        self._set_parameter(segment, "statement_timeout", step.timeout_ms)
        self._set_parameter(segment, "lock_timeout", lock_timeout)

    def _restore_timeouts(self, segment: Segment, step: PlannedStep) -> None:
        if segment.transaction_mode is TransactionMode.OUTSIDE:
            return
        self._set_parameter(segment, "statement_timeout", None if step.timeout_ms is None else 0)
        self._set_parameter(segment, "lock_timeout", None if step.lock_timeout_ms is None else self._lock_timeout_ms)

    def _set_parameter(self, segment: Segment, setting: str, milliseconds: int | None) -> None:
        if milliseconds is not None:
            scope = "LOCAL " if segment.transaction_mode is TransactionMode.TRANSACTIONAL else ""
            self._connection.execute(f"SET {scope}{setting} = {milliseconds}".encode())


_Run = Callable[[StepRunner, StepId, PlannedStep, StatementObserver, _Timer], StepOutcome]
RUN_BY_ACTION: Mapping[StepAction, _Run] = {
    StepAction.EXECUTE: StepRunner.run_statements,
    StepAction.CHECK: StepRunner.run_check,
    StepAction.RECONCILE: StepRunner.run_reconcile,
    StepAction.HOOK: StepRunner.run_hook,
}
"""How a step runs, by its action."""


@contextmanager
def _observe_statement(
    identity: StepId, step: PlannedStep, statement: Statement, observer: StatementObserver, timer: _Timer
) -> Iterator[None]:
    """Shows a statement to an observer before and after it runs inside; not after a failure."""
    observer.before(step, statement)
    before_ms = timer.elapsed_ms
    yield
    observer.after(identity, step, statement, timer.elapsed_ms - before_ms)


def _query_lines(query: str) -> tuple[str, ...]:
    return tuple(f"  {line}" for line in hide_secrets(query).splitlines())
