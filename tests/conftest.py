"""What all tests share: the servers, and projects to run against them."""

from __future__ import annotations

import os
from zlib import crc32

import pytest

pytest_plugins = ["tests.support.servers", "tests.support.projects", "tests.support.properties"]

_ALL_CASES = "CONFITURE_ALL_CASES"
"""The environment variable that runs all cases of a matrix."""
_SAMPLED = 3


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests marked `matrix`, run one case of three, always the same ones."""
    if os.environ.get(_ALL_CASES):
        return
    left = [one for one in items if one.get_closest_marker("matrix") and crc32(one.name.encode()) % _SAMPLED]
    config.hook.pytest_deselected(items=left)
    dropped = set(left)
    items[:] = [one for one in items if one not in dropped]
