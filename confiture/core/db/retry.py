"""How long to wait before another try."""

from __future__ import annotations

import random

_FIRST_S, _LONGEST_S = 0.1, 5.0


def backoff_s(attempt: int) -> float:
    """Seconds to wait before a try, counted from 1: twice as long each time, up to a limit, and spread by half, so that
    those who failed together do not meet again.
    """
    longest = min(_FIRST_S * 2 ** (attempt - 1), _LONGEST_S)
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads retries, protects nothing
