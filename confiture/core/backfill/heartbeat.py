"""The sign of life that a backfill gives, and what it is asked to do in return."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from confiture.core.backfill.backfill_store import BackfillStore

BEAT_S = 1.0
PAUSED = "paused; `confiture backfill resume` goes on"


class BackfillCancelled(Exception):
    """Somebody asked for the backfill to be cancelled."""


class Heartbeat:
    """Beats over the run's own connection, in the main thread. `require_lock` raises where the project's lock is lost:
    another run may then be at the same work.
    """

    def __init__(self, store: BackfillStore, require_lock: Callable[[], None]) -> None:
        self._store = store
        self._require_lock = require_lock
        self._runner = f"{socket.gethostname()}, pid {os.getpid()}"
        self._batch_rows: int | None = None
        self._next_beat = 0.0

    def beat(self, batch_rows: int | None = None, waiting_for: str | None = None) -> bool:
        """Gives a sign of life; true where the backfill is to pause. Raises Cancelled, and what `require_lock` does."""
        self._require_lock()
        self._batch_rows = batch_rows or self._batch_rows
        self._next_beat = time.monotonic() + BEAT_S
        asked = self._store.record_heartbeat(runner=self._runner, batch_rows=self._batch_rows, waiting_for=waiting_for)
        if asked == "cancel":
            raise BackfillCancelled
        return asked == "pause"

    def beat_if_due(self, waiting_for: str | None = None) -> None:
        """Called between two pieces of work of the main thread: beats when it is due, and waits out a pause."""
        if time.monotonic() < self._next_beat:
            return
        is_paused = self.beat(waiting_for=waiting_for)
        while is_paused:
            time.sleep(BEAT_S / 4)
            is_paused = self.beat(waiting_for=PAUSED)
