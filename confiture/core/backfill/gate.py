"""Holds workers back: between two batches they ask whether they may go on."""

from __future__ import annotations

import threading


class Gate:
    """What workers ask between two batches. Open at first, and at full speed.

    `slow_down` makes them rest after each batch, `close` stops them, `end` sends them home.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ended = False
        self._reason: str | None = None
        self._closed = False
        self._rest = 0.0

    @property
    def reason(self) -> str | None:
        """Why workers are held back now, None where they are not."""
        return self._reason

    @property
    def is_closed(self) -> bool:
        """Whether no worker may begin another batch."""
        return self._closed

    def open(self) -> None:
        """Lets workers go on at full speed."""
        self._set(closed=False, rest=0.0, reason=None)

    def slow_down(self, rest: float, reason: str) -> None:
        """Makes workers rest after each batch for `rest` times as long as it took."""
        self._set(closed=False, rest=rest, reason=reason)

    def close(self, reason: str) -> None:
        """Lets no worker begin another batch."""
        self._set(closed=True, rest=0.0, reason=reason)

    def end(self) -> None:
        """Sends workers home after the batch at hand."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether workers are to go home."""
        return self._ended

    def passed(self, last_batch_s: float) -> bool:
        """Waits as long as it must; false where workers are to go home. `last_batch_s` is what the last batch took."""
        with self._changed:
            if self._rest and not self._closed:
                self._changed.wait_for(lambda: self._ended or self._closed, timeout=last_batch_s * self._rest)
            self._changed.wait_for(lambda: self._ended or not self._closed)
            return not self._ended

    def sleep(self, seconds: float) -> bool:
        """Waits before another try; false where workers are to go home."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._ended, timeout=seconds)

    def _set(self, *, closed: bool, rest: float, reason: str | None) -> None:
        with self._changed:
            self._closed, self._rest, self._reason = closed, rest, reason
            self._changed.notify_all()
