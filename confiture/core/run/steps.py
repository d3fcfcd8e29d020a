"""Run the statements in one step, and report their effects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

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
from confiture.plan.session_settings import resets_all_settings, resets_row_security
from confiture.secrets import hide_secrets


class _Timer:
    """Measures the milliseconds that the statements in one step take."""

    def __init__(self) -> None:
        self.elapsed_ms = 0.0

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the time spent inside the context, even if the code inside fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.elapsed_ms += (time.perf_counter() - started) * 1000

    def leave_out(self, duration_ms: float) -> None:
        """Subtract time that does not belong to the step."""
        self.elapsed_ms -= duration_ms


class _Limit(NamedTuple):
    """A timeout that a step sets: the values before and after it was set."""

    name: str
    former_value: str
    value: str


class StepRunner:
    """Runs steps on one connection, in the open transaction, if any.

    Each step can override the session's timeouts.
    """

    def __init__(self, context: RunContext, hook_runner: HookRunner, restore_settings: Callable[[], None]) -> None:
        self._restore_settings = restore_settings
        self._hook_runner = hook_runner
        self._connection = context.connection
        self._emit = context.emit

    def run(self, version: str, segment: Segment, step: PlannedStep, observer: StatementObserver) -> StepRecord | None:
        """Run a step; return None if it is skipped. Its duration is the time spent in statements. Raise StepFailed."""
        identity = build_step_id(version, segment, step)
        if step.skip_reason:
            self._emit(StepFinished(step=identity, outcome=Outcome.SKIPPED, duration_ms=0.0, note=step.skip_reason))
            return None
        self._emit(StepStarted(step=identity))
        timer = _Timer()
        try:
            limits = self.set_timeouts(segment, step)
            with server_messages_reported(self._connection, identity, self._emit):
                outcome = self._run(identity, step, observer, timer)
            self._restore_timeouts(segment, limits)
        except (StepFailed, psycopg.Error, KeyboardInterrupt):
            self._emit(StepFinished(step=identity, outcome=Outcome.FAILED, duration_ms=timer.elapsed_ms))
            raise
        self._emit(outcome.to_event(identity, timer.elapsed_ms))
        return StepRecord(
            phase=step.phase.value,
            name=step.label,
            rows=outcome.rows,
            duration_ms=timer.elapsed_ms,
            number=step.number,
            proof=outcome.proof,
        )

    def _run(self, identity: StepId, step: PlannedStep, observer: StatementObserver, timer: _Timer) -> StepOutcome:
        return RUN_BY_ACTION[step.action](self, identity, step, observer, timer)

    def run_hook(self, identity: StepId, step: PlannedStep, observer: StatementObserver, timer: _Timer) -> StepOutcome:
        """Run the step's hook."""
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
        """Run the step's statements."""
        row_counts: list[int] = []
        for statement in step.statements:
            with _observe_statement(identity, step, statement, observer, timer):
                row_counts += self._execute(step, statement, timer)
        return StepOutcome(rows=sum(row_counts) if row_counts else None, note=step.note)

    def run_check(self, identity: StepId, step: PlannedStep, observer: StatementObserver, timer: _Timer) -> StepOutcome:
        """Compare the result of the step's query with the expected one."""
        (statement,) = step.statements
        with _observe_statement(identity, step, statement, observer, timer):
            self._check(step, statement, timer)
        return StepOutcome(rows=None, note=step.note)

    def run_reconcile(
        self, identity: StepId, step: PlannedStep, observer: StatementObserver, timer: _Timer
    ) -> StepOutcome:
        """Compare a table with the result of the step's query."""
        (statement,) = step.statements
        with _observe_statement(identity, step, statement, observer, timer):
            proof = self._reconcile(step, timer)
        return StepOutcome(rows=None, note=equal_summary(proof), proof=proof)

    def _execute(self, step: PlannedStep, statement: Statement, timer: _Timer) -> list[int]:
        """Return how many rows a statement wrote; empty if the statement does not write rows."""
        try:
            with timer.measure():
                cursor = self._connection.execute(statement.text.encode())
        except psycopg.Error as error:
            raise StepFailed(statement_diagnostic(error, statement, step.rendered), error.sqlstate) from error
        if resets_all_settings(statement):
            self._restore_settings()
        elif resets_row_security(statement):
            self._connection.execute("SET row_security = off")
        self._restore_encoding()
        return [max(cursor.rowcount, 0)] if statement.has_row_count else []

    def _restore_encoding(self) -> None:
        if self._connection.info.parameter_status("client_encoding") != "UTF8":
            # A dump may set another client_encoding. All files are UTF-8, so the next statement would be misread.
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

    def set_timeouts(self, segment: Segment, step: PlannedStep) -> tuple[_Limit, ...]:
        """Set the step's timeouts, until the end of the transaction or, outside one, for the session. Return them."""
        lock_timeout = step.lock_timeout_ms
        if lock_timeout is None and any(statement.is_concurrent for statement in step.statements):
            # A CONCURRENTLY statement blocks neither reads nor writes while it waits, and giving up would waste the
            # whole build.
            lock_timeout = 0
        named = {"statement_timeout": step.timeout_ms, "lock_timeout": lock_timeout}
        return tuple(
            self._set_parameter(segment, name, milliseconds)
            for name, milliseconds in named.items()
            if milliseconds is not None
        )

    def _restore_timeouts(self, segment: Segment, limits: Sequence[_Limit]) -> None:
        """Restore the values before the step, except those that the step has changed itself."""
        if segment.transaction_mode is TransactionMode.OUTSIDE:
            return
        for limit in limits:
            if self._read_parameter(limit.name) == limit.value:
                self._connection.execute(f"SET {_local(segment)}{limit.name} = '{limit.former_value}'".encode())

    def _set_parameter(self, segment: Segment, name: str, milliseconds: int) -> _Limit:
        former_value = self._read_parameter(name)
        self._connection.execute(f"SET {_local(segment)}{name} = {milliseconds}".encode())
        return _Limit(name, former_value, self._read_parameter(name))

    def _read_parameter(self, name: str) -> str:
        row = self._connection.execute(f"SHOW {name}".encode()).fetchone()
        if row is None:
            raise LookupError(name)
        return str(row[name])


def _local(segment: Segment) -> str:
    return "LOCAL " if segment.transaction_mode is TransactionMode.TRANSACTIONAL else ""


_Run = Callable[[StepRunner, StepId, PlannedStep, StatementObserver, _Timer], StepOutcome]
RUN_BY_ACTION: Mapping[StepAction, _Run] = {
    StepAction.EXECUTE: StepRunner.run_statements,
    StepAction.CHECK: StepRunner.run_check,
    StepAction.RECONCILE: StepRunner.run_reconcile,
    StepAction.HOOK: StepRunner.run_hook,
}
"""The method that runs a step, by the step's action."""


@contextmanager
def _observe_statement(
    identity: StepId, step: PlannedStep, statement: Statement, observer: StatementObserver, timer: _Timer
) -> Iterator[None]:
    """Call an observer before the statement inside the context and, if the statement succeeds, after it."""
    observer.before(step, statement)
    before_ms = timer.elapsed_ms
    yield
    observer.after(identity, step, statement, timer.elapsed_ms - before_ms)


def _query_lines(query: str) -> tuple[str, ...]:
    return tuple(f"  {line}" for line in hide_secrets(query).splitlines())
