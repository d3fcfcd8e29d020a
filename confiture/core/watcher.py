"""The blocking budget: how long we may make others wait.

lock_timeout bounds how long we wait; this bounds how long others wait for us, in the lock queue behind us included. A
connection of its own looks ten times a second at who waits. Over budget, our statement is cancelled.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

import psycopg

from confiture.core.database import Connection, Database
from confiture.core.queries import query
from confiture.models.events import Waiter

_POLL_S = 0.1


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
        self._over: Waiter | None = None
        self._waiters: dict[int, Waiter] = {}
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._watch, name="blocking watch", daemon=True)

    def __enter__(self) -> BlockingWatch:
        self._connection = self._database.connect("watch")
        self._connection.execute("SET idle_session_timeout = 0; SET statement_timeout = '5s'")
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
            self.release()

    def release(self) -> None:
        """Ends enforcing: called before COMMIT, which must not be cancelled."""
        with self._guard:
            self._armed = False

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
        # without its connection the watch is blind; lock_timeout still bounds the run
        with suppress(psycopg.Error):
            while not self._stopping.wait(_POLL_S):
                if self._armed:
                    self._look()

    def _look(self) -> None:
        connection = self._connection
        if connection is None:
            return
        rows = connection.execute(query("waiters"), {"pid": self._pid}).fetchall()
        with self._guard:
            if not self._armed:
                return
            for row in rows:
                waiter = Waiter(**row)
                known = self._waiters.get(waiter.pid)
                if known is None or waiter.waited_ms >= known.waited_ms:
                    self._waiters[waiter.pid] = waiter
                if self._budget_ms and waiter.waited_ms > self._budget_ms and self._over is None:
                    self._over = waiter
                    connection.execute(query("cancel"), {"pid": self._pid})
