"""A run's session: settings, retries and the blocking monitor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg

from confiture.core.db.blocking_monitor import BlockingMonitor
from confiture.core.db.connection import enable_client_check, fetch_named_row
from confiture.core.db.errors import OVER_BUDGET, StepFailed, over_budget_error
from confiture.core.db.queries import query
from confiture.core.db.retry import Retry, RetryPolicy
from confiture.core.hooks.hook_runner import HookRunner
from confiture.core.run.context import RunContext
from confiture.core.run.session_check import (
    ROLES,
    HookCodeObserver,
    SessionCheck,
    fresh_settings,
    set_config,
    timeouts_outside,
)
from confiture.core.run.statement_observer import ObserverSequence, StatementObserver
from confiture.core.run.steps import StepRunner
from confiture.models.events import Notice, OthersBlocked, SegmentRetried
from confiture.models.plan import (
    PlannedStep,
    Segment,
    Statement,
    StepId,
    TransactionMode,
)
from confiture.models.steps import StepRecord

_TRANSACTION_TIMEOUT_SINCE = 170_000
T = TypeVar("T")


class Session:
    """A run's connection, with settings, retries and the blocking monitor."""

    def __init__(self, context: RunContext, monitor: BlockingMonitor) -> None:
        self.connection = context.connection
        login = fetch_named_row(self.connection, "login_session")
        self._login_settings = self._settings_of_login(login)
        self._changed_settings = ""
        self.session_check = SessionCheck(self.connection, login["login"])
        self._retryable_sqlstates = context.mode.retryable
        self.monitor = monitor
        self.backend_pid = int(fetch_named_row(self.connection, "server")["backend_pid"])
        self.hook_runner = HookRunner(context.emit, context.settings.root, context.mode.dry_run)
        self.step_runner = StepRunner(context, self.hook_runner, self.restore_settings)
        self._settings = context.settings.database
        self._emit = context.emit
        self._client_check_ms = enable_client_check(self.connection)

    def reset(self) -> None:
        """Reset the session, so that one migration's settings do not affect the next migration."""
        self.session_check.code.clear()
        self.connection.execute(query("reset_session") + self._session_settings())

    def begin_migration(self) -> None:
        """Begin a migration with the settings of a new session, which an earlier migration may have changed."""
        changed = self.session_check.begin_migration()
        if changed:
            self._changed_settings = fresh_settings(changed)

    def check_end(
        self, segment: Segment, *, exempt: frozenset[str] = frozenset(), next_segment: Segment | None = None
    ) -> None:
        """Raise StepFailed if the next segment cannot begin with the settings and objects of this one.

        With `next_segment`, the segment is committed, and the role was reset. `exempt` are names of settings that may
        differ. Do nothing if no segment follows.
        """
        if segment.expected_settings is None or _discards_all(segment):
            return
        settings = segment.expected_settings if next_segment is None else next_segment.settings
        exempt |= timeouts_outside(segment) | (ROLES if next_segment else frozenset())
        is_committed = next_segment is not None
        self.session_check.check(segment, self._fresh_settings(), settings, exempt=exempt, is_committed=is_committed)

    def settings_made(self, segment: Segment) -> frozenset[str]:
        """Return the names of settings that the session has besides those with which the segment begins."""
        return self.session_check.settings_made(segment, self._fresh_settings())

    def _fresh_settings(self) -> bytes:
        return b"RESET SESSION AUTHORIZATION; RESET ALL;" + self._session_settings()

    def restore_settings(self) -> None:
        """Make the settings of a new session again after RESET ALL, which removes them."""
        self.connection.execute(self._session_settings())

    def _session_settings(self) -> bytes:
        text = query("session_settings").decode()
        if self.connection.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
            text += "SET transaction_timeout = 0;"
        settings = {"lock_timeout": self._settings.lock_timeout_ms, "client_check_ms": self._client_check_ms}
        return f"{self._login_settings}{self._changed_settings}{text.format(**settings)}".encode()

    def _settings_of_login(self, login: Mapping[str, Any]) -> str:
        """Return the statements that make the settings again that a login trigger made, and that RESET ALL removes."""
        text = "".join(set_config(name, value) for name, value in login["settings"])
        if login["role"] != "none":
            self.connection.execute("RESET SESSION AUTHORIZATION")
            if fetch_named_row(self.connection, "login_session")["role"] != login["role"]:
                text += set_config("role", login["role"])
        return text

    def begin(self, segment: Segment) -> None:
        """Begin a segment with a reset session and the settings made by earlier segments."""
        self.reset()
        self.apply_settings(segment)

    def apply_settings(self, segment: Segment) -> None:
        """Reapply the settings made by earlier segments."""
        if segment.settings:
            # They may be in force already, and the role that they set may lack the privilege to make them again.
            self.connection.execute("RESET SESSION AUTHORIZATION")
        for setting in segment.settings:
            self.connection.execute(setting.encode())

    def run_steps(self, version: str, segment: Segment, observer: StatementObserver | None = None) -> list[StepRecord]:
        """Run a segment's steps in the open transaction, if any. Raise StepFailed."""
        records = []
        # Record a statement's effects before the budget check can end the run.
        own = [HookCodeObserver(self.session_check)] if segment.expected_settings is not None else []
        observers = ObserverSequence(*([observer] if observer else []), *own, *self._budget_observers(segment))
        try:
            with self.hook_runner.restore_stats_on_error(version):
                self.apply_settings(segment)
                for step in segment.steps:
                    self._note_lost_monitor()
                    records.append(self.step_runner.run(version, segment, step, observers))
        except BaseException:
            # The rollback must not be cancelled.
            self.monitor.stop_enforcing()
            raise
        return [record for record in records if record is not None]

    def _budget_observers(self, segment: Segment) -> tuple[StatementObserver, ...]:
        # Outside a transaction, completed statements are already permanent, so giving up now would undo nothing.
        is_transactional = segment.transaction_mode is TransactionMode.TRANSACTIONAL
        return (_BudgetObserver(self._check_budget),) if is_transactional else ()

    def _note_lost_monitor(self) -> None:
        loss = self.monitor.pop_failure()
        if loss is not None:
            self._emit(Notice(text=f"blocking is no longer monitored: {loss}"))

    @contextmanager
    def with_blocking_monitor(self, version: str, segment: int) -> Iterator[None]:
        """Enforce the blocking budget inside the context, and report waiters. Raise StepFailed if it is exceeded."""
        with self.monitor.budget_enforced():
            try:
                yield
            except (StepFailed, psycopg.Error) as error:
                over = self.monitor.waiter_over_budget
                if over is None or error.sqlstate == OVER_BUDGET:
                    raise
                diagnostic = error.diagnostic if isinstance(error, StepFailed) else None
                raise over_budget_error(over, self._settings.max_blocking_ms, diagnostic) from error
            finally:
                self._note_lost_monitor()
                if self.monitor.waiters:
                    over_it = self.monitor.waiter_over_budget is not None
                    waiters = self.monitor.waiters
                    self._emit(OthersBlocked(version=version, segment=segment, waiters=waiters, over_budget=over_it))

    @contextmanager
    def release_monitor_on_exit(self) -> Iterator[None]:
        """Stop enforcing the budget before the enclosing transaction ends, because COMMIT must not be cancelled."""
        try:
            yield
        finally:
            self.monitor.stop_enforcing()

    @contextmanager
    def check_budget_on_exit(self, segment: Segment) -> Iterator[None]:
        """Stop enforcing the budget on exit, and raise StepFailed if the budget has already been exceeded."""
        with self.release_monitor_on_exit():
            yield
        last = segment.steps[-1]
        self._check_budget(last, last.statements[-1] if last.statements else None)

    def _check_budget(self, step: PlannedStep, statement: Statement | None) -> None:
        over = self.monitor.waiter_over_budget
        if over is not None:
            diagnostic = step.rendered.source.file.diagnostic(step.span, OVER_BUDGET, "")
            if statement is not None:
                diagnostic = step.rendered.diagnostic(statement.offset, OVER_BUDGET, "")
            raise over_budget_error(over, self._settings.max_blocking_ms, diagnostic)

    def run_with_retries(self, version: str, segment: int, action: Callable[[], T]) -> T:
        """Run the action. If it could not acquire a lock, retry it after a wait."""
        policy = RetryPolicy(sqlstates=self._retryable_sqlstates, retries=self._settings.retries)

        def emit_retry(retry: Retry) -> None:
            failure = retry.failure
            self._emit(
                SegmentRetried(
                    version=version,
                    segment=segment,
                    attempt=retry.attempt,
                    attempts=policy.retries,
                    wait_ms=retry.wait_s * 1000,
                    reason=failure.diagnostic.message if isinstance(failure, StepFailed) else str(failure),
                )
            )

        return policy.run(action, emit_retry)


def _discards_all(segment: Segment) -> bool:
    """Whether a segment is DISCARD ALL, which leaves nothing to compare, and removes Confiture's own settings too."""
    is_outside = segment.transaction_mode is TransactionMode.OUTSIDE
    return is_outside and segment.steps[0].statements[0].node_kind == "discard_stmt"


class _BudgetObserver(StatementObserver):
    """An observer that stops between statements once the budget is exceeded: a cancel has no effect at that point."""

    def __init__(self, check: Callable[[PlannedStep, Statement], None]) -> None:
        self._check = check

    def after(self, identity: StepId, step: PlannedStep, statement: Statement, duration_ms: float) -> None:
        """Raise StepFailed if the budget is exceeded."""
        self._check(step, statement)
