"""What all tests share: the servers, and projects to run against them."""

from __future__ import annotations

import signal

import pytest

from tests.support.matrix import is_left_out

pytest_plugins = ["tests.support.servers", "tests.support.projects", "tests.support.properties"]


def pytest_configure() -> None:
    """Let the processes that tests start receive Ctrl-C, even if a shell started the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests marked `matrix`, and of those marked `versions_alike` on PostgreSQL 15, run one of three, always the
    same ones.
    """
    left = [one for one in items if _is_sampled(one) and is_left_out(one.name)]
    config.hook.pytest_deselected(items=left)
    dropped = set(left)
    items[:] = [one for one in items if one not in dropped]


def _is_sampled(item: pytest.Item) -> bool:
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    is_former = parameters.get("server") == "server_15" or parameters.get("version") == 15
    return bool(item.get_closest_marker("matrix") or (is_former and item.get_closest_marker("versions_alike")))
