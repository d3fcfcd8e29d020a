"""Matrices of cases, of which the suite runs one of three, always the same ones."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar
from zlib import crc32

ALL_CASES = bool(os.environ.get("CONFITURE_ALL_CASES"))
_STEP = 3
T = TypeVar("T")


def is_left_out(name: str) -> bool:
    """Whether the suite runs the case of this name only together with all others."""
    return not ALL_CASES and crc32(name.encode()) % _STEP != 0


def sample(cases: Iterable[T], key: str = "") -> list[T]:
    """Every third case, from a place that depends on the key: for loops within a test."""
    found = list(cases)
    return found if ALL_CASES else found[crc32(key.encode(errors="replace")) % _STEP :: _STEP]
