"""The blocking budget limits how long a run may make other sessions wait.

lock_timeout limits how long the run waits. The budget limits how long other sessions wait for the run, including
sessions behind it in a lock queue. The monitor polls for waiters ten times a second over a separate connection, and
once more when the longest wait is about to exceed the budget. If a wait exceeds the budget, the monitor cancels the
run's statement.

PostgreSQL ignores a cancel request that arrives between two statements, so the monitor repeats the request at every
poll until the segment ends. Enforcement must stop before COMMIT or ROLLBACK is sent, because these would be cancelled
like any other statement.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import TracebackType

import psycopg

from confiture.core.db.connection import Connection, ConnectionTarget
from confiture.core.db.queries import query
from confiture.core.state_machine import StateMachine
from confiture.errors import DatabaseUnavailable
from confiture.models.events import Waiter

POLL_S = 0.1
"""The maximum time between two polls."""
_OVER_MS = 1.0


class MonitorState(Enum):
    """The monitor's response to waiting sessions."""

    IDLE = "idle"
    """The monitor does not poll."""
    ARMED = "armed"
    """The monitor records waiters until one has waited longer than the budget."""
    YIELDING = "yielding"
    """The monitor cancels the statement as soon as any session waits."""
    OVER = "over"
    """The budget is exceeded, and the monitor cancels the statement at every poll."""


_TRANSITIONS = {
    MonitorState.IDLE: {MonitorState.IDLE, MonitorState.ARMED},
    MonitorState.ARMED: {MonitorState.IDLE, MonitorState.YIELDING, MonitorState.OVER},
    MonitorState.YIELDING: {MonitorState.IDLE, MonitorState.ARMED, MonitorState.OVER},
    MonitorState.OVER: {MonitorState.IDLE},
}


class BlockingMonitor:
    """Monitors the sessions that wait for the server process `pid`. `max_blocking_ms` is the budget; 0 means no limit.

    `waiters` contains the longest observed wait of each session in the current segment.
    """

    def __init__(self, database: ConnectionTarget, pid: int, max_blocking_ms: int) -> None:
        self._database = database
        self._pid = pid
        self._budget_ms = max_blocking_ms
        self._stop_event = threading.Event()
        self._lock = threading.Lock()
        self._machine = StateMachine(MonitorState.IDLE, _TRANSITIONS)
        self._has_yielded = False
        self._waiter_over_budget: Waiter | None = None
        self._waiters: dict[int, Waiter] = {}
        self._failure: str | None = None
        self._connection: Connection | None = None
        self._poll_interval_s = POLL_S
        self._thread = threading.Thread(target=self._poll_loop, name="blocking monitor", daemon=True)

    def __enter__(self) -> BlockingMonitor:
        self._connection = self._connect()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_event.set()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()

    @contextmanager
    def budget_enforced(self) -> Iterator[None]:
        """Record waiters, and enforce the budget until the context exits or `stop_enforcing` is called."""
        with self._lock:
            self._machine.enter(MonitorState.ARMED)
            self._waiter_over_budget = None
            self._waiters = {}
        try:
            yield
        finally:
            with self._lock:
                self._machine.enter(MonitorState.IDLE)
                # Work that follows without a monitor, such as on_error, has no budget.
                self._waiter_over_budget = None

    def stop_enforcing(self) -> None:
        """Stop enforcing the budget. Must be called before COMMIT and ROLLBACK, which must not be cancelled."""
        # Cancel requests are sent while holding the lock, so the last one precedes the caller's next statement.
        with self._lock:
            self._machine.enter(MonitorState.IDLE)

    @contextmanager
    def yield_to_waiters(self) -> Iterator[None]:
        """Run low-priority work, and cancel it as soon as another session waits."""
        with self._lock:
            # Work that exceeds the budget is also cancelled.
            self._has_yielded = self._machine.state is MonitorState.OVER
            if self._machine.state is MonitorState.ARMED:
                self._machine.enter(MonitorState.YIELDING)
        try:
            yield
        finally:
            with self._lock:
                if self._machine.state is MonitorState.YIELDING:
                    self._machine.enter(MonitorState.ARMED)

    @property
    def has_yielded(self) -> bool:
        """Whether the last `yield_to_waiters` cancelled the work inside it."""
        with self._lock:
            return self._has_yielded

    def pop_failure(self) -> str | None:
        """Return the reason that the monitor has stopped, but only once; None while it is running."""
        with self._lock:
            failure, self._failure = self._failure, None
            return failure

    @property
    def waiter_over_budget(self) -> Waiter | None:
        """The session that waited longer than the budget during this segment, if any."""
        with self._lock:
            return self._waiter_over_budget

    @property
    def waiters(self) -> tuple[Waiter, ...]:
        """All waiters observed during this segment, longest wait first."""
        with self._lock:
            return tuple(sorted(self._waiters.values(), key=lambda waiter: -waiter.waited_ms))

    def _poll_loop(self) -> None:
        while not self._stop_event.wait(self._poll_interval_s):
            self._poll_interval_s = POLL_S
            if self._machine.state is not MonitorState.IDLE and not self._try_poll():
                return

    def _try_poll(self) -> bool:
        """Poll; if the connection fails, poll over a new one. Return false if that also fails."""
        try:
            self._poll()
        except psycopg.Error:
            try:
                self._reconnect()
                self._poll()
            except (psycopg.Error, DatabaseUnavailable) as error:
                # Monitoring stops at this point, but lock_timeout still limits the run.
                with self._lock:
                    self._failure = _format_one_line(error)
                return False
        return True

    def _connect(self) -> Connection:
        connection = self._database.connect("watch")
        connection.execute("SET idle_session_timeout = 0; SET statement_timeout = '5s'")
        return connection

    def _reconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._connect()

    def _poll(self) -> None:
        connection = self._connection
        if connection is None:
            return
        rows = connection.execute(query("waiters"), {"pid": self._pid}).fetchall()
        with self._lock:
            if self._machine.state is MonitorState.IDLE:
                return
            is_yielding = self._machine.state is MonitorState.YIELDING
            for row in rows:
                self._record_waiter(Waiter(**row))
            self._has_yielded |= is_yielding and bool(rows)
            if self._machine.state is MonitorState.OVER or (is_yielding and rows):
                connection.execute(query("cancel"), {"pid": self._pid})
            elif rows and self._budget_ms:
                # A full poll interval would make the other sessions wait longer than the budget.
                remaining_ms = self._budget_ms - max(row["waited_ms"] for row in rows)
                self._poll_interval_s = min(POLL_S, (remaining_ms + _OVER_MS) / 1000)

    def _record_waiter(self, waiter: Waiter) -> None:
        previous = self._waiters.get(waiter.pid)
        if previous is None or waiter.waited_ms >= previous.waited_ms:
            self._waiters[waiter.pid] = waiter
        if self._budget_ms and waiter.waited_ms > self._budget_ms and self._waiter_over_budget is None:
            self._waiter_over_budget = waiter
            self._machine.enter(MonitorState.OVER)


def _format_one_line(error: Exception) -> str:
    lines = [str(error)]
    if isinstance(error, DatabaseUnavailable):
        lines += [line for diagnostic in error.diagnostics for line in diagnostic.detail]
    return ": ".join(" ".join(line.split()) for line in lines)
