"""Retries: after which failures, how many times, and with what backoff."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from confiture.core.db.errors import StepFailed

_FIRST_S, _LONGEST_S = 0.1, 5.0
T = TypeVar("T")


def exponential_backoff_s(attempt: int) -> float:
    """Return the seconds to wait before a retry, counted from 1. They double each time up to a limit, with 50 % jitter.

    Jitter prevents sessions that failed together from colliding again.
    """
    longest = min(_FIRST_S * 2 ** (attempt - 1), _LONGEST_S)
    return random.uniform(longest / 2, longest)  # noqa: S311 - not security-relevant


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """An upcoming retry: its number (from 1), the wait before it, and the failure that caused it."""

    attempt: int
    wait_s: float
    failure: StepFailed | psycopg.Error


def _ignore(_: Retry) -> None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Retries after `sqlstates`, up to `retries` times. The wait before retry n is `backoff_s(n)`."""

    sqlstates: frozenset[str]
    retries: int
    backoff_s: Callable[[int], float] = exponential_backoff_s

    def is_retryable(self, sqlstate: str | None) -> bool:
        """Whether another attempt may succeed after a failure."""
        return sqlstate in self.sqlstates

    def wait_s(self, sqlstate: str | None, attempt: int) -> float | None:
        """Return the seconds to wait before a retry, counted from 1; None if there is no retry."""
        return self.backoff_s(attempt) if self.is_retryable(sqlstate) and attempt <= self.retries else None

    def run(self, action: Callable[[], T], on_retry: Callable[[Retry], None] = _ignore) -> T:
        """Run the action until it succeeds, or raise the last failure. `on_retry` is called before each wait."""
        attempt = 0
        while True:
            try:
                return action()
            except (StepFailed, psycopg.Error) as failure:
                attempt += 1
                wait_s = self.wait_s(failure.sqlstate, attempt)
                if wait_s is None:
                    raise
                on_retry(Retry(attempt=attempt, wait_s=wait_s, failure=failure))
                time.sleep(wait_s)
