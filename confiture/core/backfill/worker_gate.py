"""Holds workers back: between two batches they ask whether they may go on."""

from __future__ import annotations

import threading


class WorkerGate:
    """What workers ask between two batches. Open at first, and at full speed.

    `slow_down` makes them rest after each batch, `close` stops them, `shut_down` sends them home.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._is_shut_down = False
        self._reason: str | None = None
        self._is_closed = False
        self._delay_factor = 0.0

    @property
    def reason(self) -> str | None:
        """Why workers are held back now, None where they are not."""
        return self._reason

    @property
    def is_closed(self) -> bool:
        """Whether no worker may begin another batch."""
        return self._is_closed

    def open(self) -> None:
        """Lets workers go on at full speed."""
        self._change(is_closed=False, delay_factor=0.0, reason=None)

    def slow_down(self, delay_factor: float, reason: str) -> None:
        """Makes workers rest after each batch for `delay_factor` times as long as it took."""
        self._change(is_closed=False, delay_factor=delay_factor, reason=reason)

    def close(self, reason: str) -> None:
        """Lets no worker begin another batch."""
        self._change(is_closed=True, delay_factor=0.0, reason=reason)

    def shut_down(self) -> None:
        """Sends workers home after the batch at hand."""
        with self._condition:
            self._is_shut_down = True
            self._condition.notify_all()

    @property
    def is_shut_down(self) -> bool:
        """Whether workers are to go home."""
        return self._is_shut_down

    def wait_until_open(self, last_batch_s: float) -> bool:
        """Waits as long as it must; false where workers are to go home. `last_batch_s` is what the last batch took."""
        with self._condition:
            if self._delay_factor and not self._is_closed:
                self._condition.wait_for(
                    lambda: self._is_shut_down or self._is_closed, timeout=last_batch_s * self._delay_factor
                )
            self._condition.wait_for(lambda: self._is_shut_down or not self._is_closed)
            return not self._is_shut_down

    def sleep(self, seconds: float) -> bool:
        """Waits before another try; false where workers are to go home."""
        with self._condition:
            return not self._condition.wait_for(lambda: self._is_shut_down, timeout=seconds)

    def _change(self, *, is_closed: bool, delay_factor: float, reason: str | None) -> None:
        with self._condition:
            self._is_closed, self._delay_factor, self._reason = is_closed, delay_factor, reason
            self._condition.notify_all()
