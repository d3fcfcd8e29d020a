"""The gate that workers pass through between batches."""

from __future__ import annotations

import threading


class WorkerGate:
    """A gate that workers pass through between batches. It starts open, at full speed.

    `slow_down` adds a delay after each batch, `close` stops workers temporarily, and `shut_down` makes them exit.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._is_shut_down = False
        self._reason: str | None = None
        self._is_closed = False
        self._delay_factor = 0.0

    @property
    def reason(self) -> str | None:
        """The reason that workers are held back; None if they are not."""
        return self._reason

    @property
    def is_closed(self) -> bool:
        """Whether workers must not start another batch."""
        return self._is_closed

    def open(self) -> None:
        """Let workers continue at full speed."""
        self._change(is_closed=False, delay_factor=0.0, reason=None)

    def slow_down(self, delay_factor: float, reason: str) -> None:
        """Delay workers after each batch by `delay_factor` times its duration."""
        self._change(is_closed=False, delay_factor=delay_factor, reason=reason)

    def close(self, reason: str) -> None:
        """Stop workers before their next batch."""
        self._change(is_closed=True, delay_factor=0.0, reason=reason)

    def shut_down(self) -> None:
        """Make workers exit after their current batch."""
        with self._condition:
            self._is_shut_down = True
            self._condition.notify_all()

    @property
    def is_shut_down(self) -> bool:
        """Whether workers must exit."""
        return self._is_shut_down

    def wait_until_open(self, last_batch_s: float) -> bool:
        """Wait until the gate is open; return false to exit. `last_batch_s` is the duration of the last batch."""
        with self._condition:
            if self._delay_factor and not self._is_closed:
                self._condition.wait_for(
                    lambda: self._is_shut_down or self._is_closed, timeout=last_batch_s * self._delay_factor
                )
            self._condition.wait_for(lambda: self._is_shut_down or not self._is_closed)
            return not self._is_shut_down

    def sleep(self, seconds: float) -> bool:
        """Wait before another attempt. Return false if the worker must exit."""
        with self._condition:
            return not self._condition.wait_for(lambda: self._is_shut_down, timeout=seconds)

    def _change(self, *, is_closed: bool, delay_factor: float, reason: str | None) -> None:
        with self._condition:
            self._is_closed, self._delay_factor, self._reason = is_closed, delay_factor, reason
            self._condition.notify_all()
