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
from types import TracebackType

import psycopg

from confiture.core.database import Connection, Database
from confiture.core.queries import query
from confiture.errors import DatabaseUnavailable
from confiture.models.events import Waiter

POLL_S = 0.1
"""The longest time between two looks."""
_OVER_MS = 1.0


class BlockingWatch:
    """Watches who waits for the server process `pid`. `max_blocking_ms` is the budget, 0 for none.

    `waiters` holds the longest wait seen of each session in the segment at hand.
    """

    def __init__(self, database: Database, pid: int, max_blocking_ms: int) -> None:
        self._database = database
        self._pid = pid
        self._budget_ms = max_blocking_ms
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._armed = False
        self._standing_back = self._stood_back = False
        self._over: Waiter | None = None
        self._waiters: dict[int, Waiter] = {}
        self._loss: str | None = None
        self._connection: Connection | None = None
        self._pause_s = POLL_S
        self._thread = threading.Thread(target=self._watch, name="blocking watch", daemon=True)

    def __enter__(self) -> BlockingWatch:
        self._connection = self._connect()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()

    @contextmanager
    def segment(self) -> Iterator[None]:
        """Counts who waits from here on, and enforces the budget until the context ends or `release` is called."""
        with self._guard:
            self._over = None
            self._waiters = {}
            self._armed = True
        try:
            yield
        finally:
            with self._guard:
                self._armed = False
                # what runs unwatched after it, like on_error, is held to no budget
                self._over = None

    def release(self) -> None:
        """Ends enforcing: called before COMMIT and ROLLBACK, which must not be cancelled."""
        # a cancel is sent under the guard: what the server is told after this comes after the last cancel
        with self._guard:
            self._armed = False

    @contextmanager
    def standing_back(self) -> Iterator[None]:
        """For what is not worth making anybody wait: inside, it is cancelled as soon as somebody is seen to wait."""
        with self._guard:
            self._standing_back, self._stood_back = True, False
        try:
            yield
        finally:
            with self._guard:
                self._standing_back = False

    @property
    def stood_back(self) -> bool:
        """Whether something was cancelled in the last `standing_back`."""
        with self._guard:
            return self._stood_back

    def take_loss(self) -> str | None:
        """Why nobody watches any more, the first time that it is asked for; None while somebody does."""
        with self._guard:
            loss, self._loss = self._loss, None
            return loss

    @property
    def over_budget(self) -> Waiter | None:
        """Whoever waited longer than the budget in this segment, None where nobody did."""
        with self._guard:
            return self._over

    @property
    def waiters(self) -> tuple[Waiter, ...]:
        """Everybody seen waiting in this segment, the longest first."""
        with self._guard:
            return tuple(sorted(self._waiters.values(), key=lambda waiter: -waiter.waited_ms))

    def _watch(self) -> None:
        while not self._stopping.wait(self._pause_s):
            self._pause_s = POLL_S
            if self._armed and not self._looked():
                return

    def _looked(self) -> bool:
        """Looks, over a new connection where the old one fails; false where that fails too."""
        try:
            self._look()
        except psycopg.Error:
            try:
                self._reconnect()
                self._look()
            except (psycopg.Error, DatabaseUnavailable) as error:
                # blind from here on; lock_timeout still bounds the run
                with self._guard:
                    self._loss = _in_one_line(error)
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

    def _look(self) -> None:
        connection = self._connection
        if connection is None:
            return
        rows = connection.execute(query("waiters"), {"pid": self._pid}).fetchall()
        with self._guard:
            if not self._armed:
                return
            for row in rows:
                self._saw(Waiter(**row))
            self._stood_back |= self._standing_back and bool(rows)
            if self._over is not None or (self._standing_back and rows):
                connection.execute(query("cancel"), {"pid": self._pid})
            elif rows and self._budget_ms:
                # one more whole pause would be added to what the others wait
                left_ms = self._budget_ms - max(row["waited_ms"] for row in rows)
                self._pause_s = min(POLL_S, (left_ms + _OVER_MS) / 1000)

    def _saw(self, waiter: Waiter) -> None:
        known = self._waiters.get(waiter.pid)
        if known is None or waiter.waited_ms >= known.waited_ms:
            self._waiters[waiter.pid] = waiter
        if self._budget_ms and waiter.waited_ms > self._budget_ms and self._over is None:
            self._over = waiter


def _in_one_line(error: Exception) -> str:
    told = [str(error)]
    if isinstance(error, DatabaseUnavailable):
        told += [line for diagnostic in error.diagnostics for line in diagnostic.detail]
    return ": ".join(" ".join(line.split()) for line in told)
