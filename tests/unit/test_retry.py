"""Retries: after which failures, how often, and how long to wait before."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.errors import DeadlockDetected, LockNotAvailable, UniqueViolation

from confiture.core.db.errors import LOCK_CONFLICTS
from confiture.core.db.retry import Retry, RetryPolicy, exponential_backoff_s


class _Action:
    """Fails in turn, then returns how often it ran."""

    def __init__(self, *failures: psycopg.Error) -> None:
        self._failures = list(failures)
        self.runs = 0

    def __call__(self) -> int:
        self.runs += 1
        if self._failures:
            raise self._failures.pop(0)
        return self.runs


def _policy(retries: int) -> RetryPolicy:
    return RetryPolicy(sqlstates=LOCK_CONFLICTS, retries=retries, backoff_s=lambda _: 0.0)


def test_a_failure_that_may_pass_is_tried_again() -> None:
    told: list[Retry] = []
    assert _policy(5).run(_Action(LockNotAvailable(), DeadlockDetected()), told.append) == 3
    assert [(retry.attempt, type(retry.failure)) for retry in told] == [(1, LockNotAvailable), (2, DeadlockDetected)]


def test_another_failure_is_raised_at_once() -> None:
    action = _Action(UniqueViolation())
    with pytest.raises(UniqueViolation):
        _policy(5).run(action)
    assert action.runs == 1


@pytest.mark.parametrize("retries", [0, 2])
def test_the_last_failure_is_raised_after_the_last_retry(retries: int) -> None:
    action = _Action(*[LockNotAvailable() for _ in range(9)])
    with pytest.raises(LockNotAvailable):
        _policy(retries).run(action)
    assert action.runs == retries + 1


def test_waits_grow_up_to_a_limit() -> None:
    for attempt, longest in ((1, 0.1), (2, 0.2), (6, 3.2), (7, 5.0), (500, 5.0)):
        assert longest / 2 <= exponential_backoff_s(attempt) <= longest
