"""The marker `server` is on every test that uses a server, and on no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from confiture.core.embedded.server import EmbeddedServer
from tests.support.servers import Server, new_database, start_server_15


def test_tests_that_use_a_server_are_marked(database_18: object, request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("server")


def test_a_test_without_the_marker_gets_no_server(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    assert not request.node.get_closest_marker("server")
    server = Server(18, "postgresql://nowhere/postgres?", tmp_path)
    for use in (new_database(server), start_server_15(tmp_path), EmbeddedServer(tmp_path).started()):
        with pytest.raises(pytest.fail.Exception, match="request the fixture `uses_server`"):
            use.__enter__() if hasattr(use, "__enter__") else next(use)
