"""The blocking budget: how long we may make others wait.

lock_timeout bounds how long we wait; this bounds how long others wait for us, in the lock queue behind us included. A
connection of its own looks ten times a second at who waits, and when the longest wait is about to go over budget. Then
our statement is cancelled.

PostgreSQL ignores a cancel that arrives between two statements, so it is sent again at every look until the segment
ends. It must end before COMMIT and ROLLBACK are sent, for these would be cancelled like any other statement.
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
"""The longest time between two looks."""
_OVER_MS = 1.0


class MonitorState(Enum):
    """What the monitor does where it sees that somebody waits."""

    IDLE = "idle"
    """Nothing: it does not look."""
    ARMED = "armed"
    """Counts who waits, until one has waited longer than the budget."""
    YIELDING = "yielding"
    """Cancels at once."""
    OVER = "over"
    """Cancels at every look: the budget is spent."""


_TRANSITIONS = {
    MonitorState.IDLE: {MonitorState.IDLE, MonitorState.ARMED},
    MonitorState.ARMED: {MonitorState.IDLE, MonitorState.YIELDING, MonitorState.OVER},
    MonitorState.YIELDING: {MonitorState.IDLE, MonitorState.ARMED, MonitorState.OVER},
    MonitorState.OVER: {MonitorState.IDLE},
}


class BlockingMonitor:
    """Watches who waits for the server process `pid`. `max_blocking_ms` is the budget, 0 for none.

    `waiters` holds the longest wait seen of each session in the segment at hand.
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
        self._thread = threading.Thread(target=self._poll_loop, name="blocking watch", daemon=True)

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
        """Counts who waits from here on, and enforces the budget until the context or `stop_enforcing` ends it."""
        with self._lock:
            self._machine.enter(MonitorState.ARMED)
            self._waiter_over_budget = None
            self._waiters = {}
        try:
            yield
        finally:
            with self._lock:
                self._machine.enter(MonitorState.IDLE)
                # what runs unwatched after it, like on_error, is held to no budget
                self._waiter_over_budget = None

    def stop_enforcing(self) -> None:
        """Ends enforcing: called before COMMIT and ROLLBACK, which must not be cancelled."""
        # a cancel is sent under the guard: what the server is told after this comes after the last cancel
        with self._lock:
            self._machine.enter(MonitorState.IDLE)

    @contextmanager
    def yield_to_waiters(self) -> Iterator[None]:
        """For what is not worth making anybody wait: inside, it is cancelled as soon as somebody is seen to wait."""
        with self._lock:
            # what runs over budget is cancelled as well
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
        """Whether something was cancelled in the last `yield_to_waiters`."""
        with self._lock:
            return self._has_yielded

    def pop_failure(self) -> str | None:
        """Why nobody watches any more, the first time that it is asked for; None while somebody does."""
        with self._lock:
            loss, self._failure = self._failure, None
            return loss

    @property
    def waiter_over_budget(self) -> Waiter | None:
        """Whoever waited longer than the budget in this segment, None where nobody did."""
        with self._lock:
            return self._waiter_over_budget

    @property
    def waiters(self) -> tuple[Waiter, ...]:
        """Everybody seen waiting in this segment, the longest first."""
        with self._lock:
            return tuple(sorted(self._waiters.values(), key=lambda waiter: -waiter.waited_ms))

    def _poll_loop(self) -> None:
        while not self._stop_event.wait(self._poll_interval_s):
            self._poll_interval_s = POLL_S
            if self._machine.state is not MonitorState.IDLE and not self._try_poll():
                return

    def _try_poll(self) -> bool:
        """Looks, over a new connection where the old one fails; false where that fails too."""
        try:
            self._poll()
        except psycopg.Error:
            try:
                self._reconnect()
                self._poll()
            except (psycopg.Error, DatabaseUnavailable) as error:
                # blind from here on; lock_timeout still bounds the run
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
                # one more whole pause would be added to what the others wait
                left_ms = self._budget_ms - max(row["waited_ms"] for row in rows)
                self._poll_interval_s = min(POLL_S, (left_ms + _OVER_MS) / 1000)

    def _record_waiter(self, waiter: Waiter) -> None:
        known = self._waiters.get(waiter.pid)
        if known is None or waiter.waited_ms >= known.waited_ms:
            self._waiters[waiter.pid] = waiter
        if self._budget_ms and waiter.waited_ms > self._budget_ms and self._waiter_over_budget is None:
            self._waiter_over_budget = waiter
            self._machine.enter(MonitorState.OVER)


def _format_one_line(error: Exception) -> str:
    told = [str(error)]
    if isinstance(error, DatabaseUnavailable):
        told += [line for diagnostic in error.diagnostics for line in diagnostic.detail]
    return ": ".join(" ".join(line.split()) for line in told)
