"""A worker takes key ranges and fills them batch by batch over its own connection."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

import psycopg

from confiture.core.backfill.backfill_store import StoredRange
from confiture.core.backfill.batch_key import BatchKey
from confiture.core.backfill.batches import Batch, BatchFailed, BatchRunner, BatchSizer
from confiture.core.backfill.context import WorkerConfig
from confiture.core.backfill.worker_gate import WorkerGate
from confiture.core.db.blocking_monitor import BlockingMonitor
from confiture.core.db.connection import Connection, enable_client_check, fetch_named_row, set_lock_timeout
from confiture.core.db.errors import (
    CONNECTION_LOST,
    KEY_CONFLICTS,
    RETRYABLE,
    SERVER_UNAVAILABLE,
    TOO_LARGE,
    StepFailed,
    db_error_diagnostic,
)
from confiture.core.db.retry import RetryPolicy
from confiture.core.db.server_messages import MessageFields, read_message
from confiture.errors import DatabaseUnavailable
from confiture.models.events import Waiter
from confiture.models.plan import PlannedStep

_RETRYABLE = RETRYABLE | TOO_LARGE | SERVER_UNAVAILABLE
_BAD_DATA = ("22", "23")
"""SQLSTATE classes that indicate that a single row is invalid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRetry:
    """A worker will retry a batch with `rows` rows after `wait_s` seconds."""

    rows: int
    attempt: int
    wait_s: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerBlockedOthers:
    """Other sessions waited for a batch. `budget_ms` is the maximum allowed wait; 0 means no limit."""

    waiters: tuple[Waiter, ...]
    budget_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerMonitorLost:
    """The worker's blocking monitor has stopped; `reason` says why."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerExited:
    """A worker exited because of `error`, or because no work was left."""

    error: BaseException | None


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerServerMessage:
    """PostgreSQL sent a message to a worker."""

    message: MessageFields


WorkerMessage = WorkerServerMessage | Batch | WorkerRetry | WorkerBlockedOthers | WorkerMonitorLost | WorkerExited


class Worker:
    """One worker thread. It puts events into `outbox`; the last event is `WorkerExited`."""

    def __init__(
        self,
        number: int,
        config: WorkerConfig,
        ranges: SimpleQueue[StoredRange],
        gate: WorkerGate,
        outbox: SimpleQueue[WorkerMessage],
    ) -> None:
        self._config = config
        self._ranges = ranges
        self._gate = gate
        self._outbox = outbox
        self._batch_sizer = BatchSizer(config.backfill.batch_rows, config.backfill.batch_time_ms)
        self._retry_policy = RetryPolicy(sqlstates=_RETRYABLE, retries=config.settings.retries)
        self._connection: Connection | None = None
        self._is_clearing = False
        """Whether stale target rows are deleted before the next batch, because a batch conflicted with one."""
        self._rows_to_bisect = 0
        """The number of upcoming rows known to include an invalid one; 0 if no invalid row is known."""
        self.thread = threading.Thread(target=self._run, name=f"backfill {number}", daemon=True)

    @property
    def batch_rows(self) -> int:
        """The number of rows in the next batch."""
        return (
            min(max(self._rows_to_bisect // 2, 1), self._batch_sizer.rows)
            if self._rows_to_bisect
            else self._batch_sizer.rows
        )

    def interrupt(self) -> None:
        """Cancel the current statement."""
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=1)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while not self._gate.is_shut_down:
                self._process_range(self._ranges.get_nowait())
        except Empty:
            pass
        except BaseException as failure:
            error = failure
        finally:
            self._outbox.put(WorkerExited(error=error))

    def _process_range(self, stored_range: StoredRange) -> None:
        failures = 0
        while not self._gate.is_shut_down:
            try:
                with self._open_session() as (connection, runner, monitor):
                    for batch in self._run_batches(connection, runner, monitor, stored_range):
                        failures = 0
                        self._outbox.put(batch)
                return
            except (BatchFailed, psycopg.Error, DatabaseUnavailable) as failure:
                failures += 1
                self._prepare_retry(failure, failures)

    @contextmanager
    def _open_session(self) -> Iterator[tuple[Connection, BatchRunner, BlockingMonitor]]:
        """Open a connection with its batch runner and its blocking monitor; close all on exit."""
        config = self._config
        with ExitStack() as stack:
            connection = stack.enter_context(config.database.connect("backfill"))
            _configure_session(connection, config)
            pid = int(fetch_named_row(connection, "server")["backend_pid"])
            monitor = stack.enter_context(BlockingMonitor(config.database, pid, config.settings.max_blocking_ms))
            connection.add_notice_handler(self._forward_server_message)
            self._connection = connection
            try:
                runner = BatchRunner(connection, config, monitor)
                yield connection, runner, monitor
            finally:
                self._connection = None

    def _run_batches(
        self, connection: Connection, runner: BatchRunner, monitor: BlockingMonitor, stored_range: StoredRange
    ) -> Iterator[Batch]:
        last_s = 0.0
        while self._gate.wait_until_open(last_s):
            try:
                clear = (
                    self._config.clear_factory(connection) if self._is_clearing and self._config.clear_factory else None
                )
                batch = runner.run(stored_range, self.batch_rows, clear)
            finally:
                self._report_waiters(monitor)
            if batch is None:
                return
            last_s = batch.duration_ms / 1000
            self._rows_to_bisect = max(self._rows_to_bisect - batch.source_rows, 0)
            self._is_clearing = False
            self._batch_sizer.record(batch.source_rows, batch.duration_ms)
            yield batch
            if batch.is_last:
                return

    def _forward_server_message(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        message = read_message(diagnostic)
        if message is not None:
            self._outbox.put(WorkerServerMessage(message=message))

    def _report_waiters(self, monitor: BlockingMonitor) -> None:
        """Report the sessions that waited, except workers in the same run."""
        if loss := monitor.pop_failure():
            self._outbox.put(WorkerMonitorLost(reason=loss))
        own = self._connection.info.parameter_status("application_name") if self._connection else None
        others = tuple(waiter for waiter in monitor.waiters if waiter.application_name != own)
        if others:
            self._outbox.put(WorkerBlockedOthers(waiters=others, budget_ms=self._config.settings.max_blocking_ms))

    def _prepare_retry(self, failure: BatchFailed | psycopg.Error | DatabaseUnavailable, attempt: int) -> None:
        """Wait before the next attempt, and reduce the batch size if that may help. Raise a permanent failure."""
        if self._gate.is_shut_down:
            return
        wait_s = 0.0
        if isinstance(failure, BatchFailed) and (failure.sqlstate or "")[:2] in _BAD_DATA:
            self._narrow_down(failure, attempt)
        else:
            wait_s = self._wait_s(failure, attempt)
        self._outbox.put(
            WorkerRetry(rows=self.batch_rows, attempt=attempt, wait_s=wait_s, reason=_failure_reason(failure))
        )
        self._gate.sleep(wait_s)

    def _narrow_down(self, failure: BatchFailed, attempt: int) -> None:
        """Find the invalid row by bisection, committing the rows before it. Raise the failure once it is found."""
        if failure.rows == 1:
            if failure.sqlstate in KEY_CONFLICTS and self._config.clear_factory and not self._is_clearing:
                # The row may conflict with a row whose key another session has written since then. That key is refilled
                # anyway.
                self._is_clearing = True
            elif attempt > 1:
                raise failure
        self._rows_to_bisect = failure.rows

    def _wait_s(self, failure: BatchFailed | psycopg.Error | DatabaseUnavailable, attempt: int) -> float:
        """Return the seconds until the next attempt; halve a batch that was too large. Raise a permanent failure."""
        wait_s = self._retry_policy.wait_s(_failure_sqlstate(failure), attempt)
        if wait_s is None:
            raise failure
        if isinstance(failure, BatchFailed) and failure.sqlstate in TOO_LARGE:
            self._batch_sizer.halve()
        return wait_s


def _failure_sqlstate(failure: BatchFailed | psycopg.Error | DatabaseUnavailable) -> str:
    return CONNECTION_LOST if isinstance(failure, DatabaseUnavailable) else failure.sqlstate or CONNECTION_LOST


def _failure_reason(failure: BatchFailed | psycopg.Error | DatabaseUnavailable) -> str:
    if isinstance(failure, BatchFailed):
        return failure.failure.diagnostic.message
    if isinstance(failure, DatabaseUnavailable):
        return failure.diagnostics[0].message
    return db_error_diagnostic(failure, "the batch was lost").message


def to_step_failure(failure: BatchFailed | psycopg.Error, step: PlannedStep, key: BatchKey) -> StepFailed:
    """Return the failure that ended a backfill, including the invalid row if it was found."""
    if isinstance(failure, psycopg.Error):
        return StepFailed(db_error_diagnostic(failure, f"the backfill {step.name!r} failed"), failure.sqlstate)
    diagnostic = failure.failure.diagnostic
    if failure.rows == 1 and failure.key_range is not None and failure.key_range.up_to is not None:
        names = ", ".join(column.name for column in key.columns)
        values = ", ".join((*failure.key_range.prefix, failure.key_range.up_to))
        diagnostic = replace(diagnostic, detail=(*diagnostic.detail, f"the row: {key.table} ({names}) = ({values})"))
    return StepFailed(diagnostic, failure.sqlstate)


def _configure_session(connection: Connection, config: WorkerConfig) -> None:
    step = config.step
    lock_timeout = config.settings.lock_timeout_ms if step.lock_timeout_ms is None else step.lock_timeout_ms
    set_lock_timeout(connection, lock_timeout)
    connection.execute(
        f"SET statement_timeout = {step.timeout_ms or 0}; SET jit = off;"
        " SET idle_session_timeout = 0; SET client_min_messages = notice; SET confiture.filling = 'on'".encode()
    )
    prepare_session(connection, config.session_settings)
    # The step's own limits take precedence over the settings of earlier segments.
    if step.lock_timeout_ms is not None:
        set_lock_timeout(connection, step.lock_timeout_ms)
    if step.timeout_ms is not None:
        connection.execute(f"SET statement_timeout = {step.timeout_ms}".encode())
    enable_client_check(connection)


def prepare_session(connection: Connection, session_settings: Iterable[str]) -> None:
    """Set the session parameters that every backfill session needs, after those set by earlier segments.

    With row_security off, a policy that would hide rows raises an error instead of silently skipping them.
    """
    for setting in session_settings:
        connection.execute(setting.encode())
    connection.execute(
        "SET row_security = off; SET extra_float_digits = 1; SET idle_in_transaction_session_timeout = 0;"
        " SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
    )
