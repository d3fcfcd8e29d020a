"""The backfill heartbeat, which also returns control requests."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from confiture.core.backfill.backfill_store import BackfillStore

BEAT_S = 1.0
PAUSED = "paused; run `confiture backfill resume` to continue"


class BackfillCancelled(Exception):
    """The user requested cancellation of the backfill."""


class ProgressLost(Exception):
    """The row of the backfill is missing, so it is unknown which rows are filled."""


class Heartbeat:
    """Sends the heartbeat of one backfill over the run's own connection, in the main thread.

    `require_lock` raises an error if the migration lock is lost, because another run may then do the same work.
    """

    def __init__(self, store: BackfillStore, require_lock: Callable[[], None]) -> None:
        self._store = store
        self._require_lock = require_lock
        self._runner = f"{socket.gethostname()}, pid {os.getpid()}"
        self._batch_rows: int | None = None
        self._next_beat = 0.0

    def beat(self, batch_rows: int | None = None, waiting_for: str | None = None) -> bool:
        """Send a heartbeat. Return whether to pause.

        Raise BackfillCancelled, ProgressLost, or an error from `require_lock`.
        """
        self._require_lock()
        self._batch_rows = batch_rows or self._batch_rows
        self._next_beat = time.monotonic() + BEAT_S
        control = self._store.record_heartbeat(
            runner=self._runner, batch_rows=self._batch_rows, waiting_for=waiting_for
        )
        if control is None:
            raise ProgressLost
        if control == "cancel":
            raise BackfillCancelled
        return control == "pause"

    def beat_if_due(self, waiting_for: str | None = None) -> None:
        """Send a heartbeat if one is due, and wait while the backfill is paused. The main thread calls this often."""
        if time.monotonic() < self._next_beat:
            return
        if self.beat(waiting_for=waiting_for):
            self.wait_while_paused()

    def wait_while_paused(self) -> None:
        """Wait until the backfill is resumed. Raise BackfillCancelled or an error from `require_lock`."""
        while self.beat(waiting_for=PAUSED):
            time.sleep(BEAT_S / 4)
