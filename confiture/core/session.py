"""The session that a plan runs over: its settings, its retries, and who waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg

from confiture.core.database import Connection, check_client, one_row
from confiture.core.events import Emit
from confiture.core.failures import OVER_BUDGET, RETRYABLE, StepFailed, over_budget
from confiture.core.hooks.running import HookRuns
from confiture.core.queries import query
from confiture.core.steps import Foresee, Observe, StepRunner, unforeseen, unobserved
from confiture.core.waiting import retry_wait_s
from confiture.core.watcher import BlockingWatch
from confiture.models.events import Blocked, Noted, SegmentRetried
from confiture.models.plan import (
    Isolation,
    PlannedStep,
    Segment,
    Statement,
    StepId,
)
from confiture.models.settings import DatabaseSettings
from confiture.models.steps import StepRecord

_TRANSACTION_TIMEOUT_SINCE = 170_000
T = TypeVar("T")


class Session:
    """The connection that a plan runs over: its settings, its retries, who waits for it.

    `retryable` are the SQLSTATEs after which work is tried again.
    """

    def __init__(
        self,
        connection: Connection,
        settings: DatabaseSettings,
        watch: BlockingWatch,
        emit: Emit,
        hooks: HookRuns,
        retryable: frozenset[str] = RETRYABLE,
    ) -> None:
        self.connection = connection
        self._retryable = retryable
        self._watch = watch
        self.backend_pid = int(one_row(connection, "server")["backend_pid"])
        self.steps = StepRunner(connection, emit, settings.lock_timeout_ms, hooks)
        self.hooks = hooks
        self._settings = settings
        self._emit = emit
        self._client_check_ms = check_client(connection)

    def reset(self) -> None:
        """Back to a fresh session: whatever a migration set, it set for itself."""
        text = query("reset_session").decode()
        if self.connection.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
            text += "SET transaction_timeout = 0;"
        settings = {"lock_timeout": self._settings.lock_timeout_ms, "client_check_ms": self._client_check_ms}
        self.connection.execute(text.format(**settings).encode())

    def run_steps(
        self, version: str, segment: Segment, observe: Observe = unobserved, foresee: Foresee = unforeseen
    ) -> list[StepRecord]:
        """Runs the steps of a segment, in whatever transaction is open. Raises StepFailed."""
        records = []
        try:
            with self.hooks.as_before_if_it_fails(version):
                for step in segment.steps:
                    self._tell_if_unwatched()
                    observed = self.held_to_budget(segment, step, observe)
                    records.append(self.steps.run(version, segment, step, observed, foresee))
        except BaseException:
            # whoever rolls back now must not be cancelled
            self._watch.release()
            raise
        return [record for record in records if record is not None]

    def held_to_budget(self, segment: Segment, step: PlannedStep, observe: Observe) -> Observe:
        """Observes, and stops between two statements where the budget is spent: there a cancel finds nothing."""

        def observed(identity: StepId, statement: Statement, duration_ms: float) -> None:
            observe(identity, statement, duration_ms)
            # what ran outside a transaction is done: giving up now takes nothing back
            if segment.isolation is Isolation.TRANSACTIONAL:
                self._keep_within_budget(step, statement)

        return observed

    def _tell_if_unwatched(self) -> None:
        loss = self._watch.take_loss()
        if loss is not None:
            self._emit(Noted(text=f"blocking is no longer watched: {loss}"))

    @contextmanager
    def watched(self, version: str, segment: int) -> Iterator[None]:
        """Holds what runs inside to the blocking budget, and tells who waited. Raises StepFailed where it is over."""
        with self._watch.segment():
            try:
                yield
            except (StepFailed, psycopg.Error) as error:
                over = self._watch.over_budget
                if over is None or error.sqlstate == OVER_BUDGET:
                    raise
                told = error.diagnostic if isinstance(error, StepFailed) else None
                raise over_budget(over, self._settings.max_blocking_ms, told) from error
            finally:
                self._tell_if_unwatched()
                if self._watch.waiters:
                    over_it = self._watch.over_budget is not None
                    waiters = self._watch.waiters
                    self._emit(Blocked(version=version, segment=segment, waiters=waiters, over_budget=over_it))

    @contextmanager
    def standing_back(self) -> Iterator[None]:
        """What runs inside is cancelled as soon as somebody waits for us."""
        with self._watch.standing_back():
            yield

    @property
    def stood_back(self) -> bool:
        """Whether that happened the last time."""
        return self._watch.stood_back

    @contextmanager
    def released(self) -> Iterator[None]:
        """Ends the watch before the transaction around this does: neither a commit nor a rollback must be cancelled."""
        try:
            yield
        finally:
            self._watch.release()

    @contextmanager
    def released_at_end(self, segment: Segment) -> Iterator[None]:
        """Releases, and raises StepFailed where the budget is spent already."""
        with self.released():
            yield
        last = segment.steps[-1]
        self._keep_within_budget(last, last.statements[-1] if last.statements else None)

    def _keep_within_budget(self, step: PlannedStep, statement: Statement | None) -> None:
        over = self._watch.over_budget
        if over is not None:
            told = step.rendered.source.file.diagnostic(step.span, OVER_BUDGET, "")
            if statement is not None:
                told = step.rendered.diagnostic(statement.offset, OVER_BUDGET, "")
            raise over_budget(over, self._settings.max_blocking_ms, told)

    def retrying(self, version: str, segment: int, work: Callable[[], T]) -> T:
        """Does the work, and again after a wait where it failed for want of a lock."""
        attempt = 0
        while True:
            try:
                return work()
            except (StepFailed, psycopg.Error) as failure:
                if failure.sqlstate not in self._retryable or attempt >= self._settings.retries:
                    raise
                attempt += 1
                wait_s = retry_wait_s(attempt)
                self._emit(
                    SegmentRetried(
                        version=version,
                        segment=segment,
                        attempt=attempt,
                        attempts=self._settings.retries,
                        wait_ms=wait_s * 1000,
                        reason=failure.diagnostic.message if isinstance(failure, StepFailed) else str(failure),
                    )
                )
                time.sleep(wait_s)
