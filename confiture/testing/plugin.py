"""The pytest plugin, which provides fixtures for databases at a given migration.

Every pytest run loads the plugin, so the plugin imports its dependencies only when a test needs them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from confiture.project import Project
    from confiture.testing.database import ScratchDatabase
    from confiture.testing.server import DatabaseFactory, ScratchServer

_PROJECT = pytest.StashKey["Project"]()
_URL_VARIABLE = "CONFITURE_TEST_URL"
_OTHER_SERVER = f"to use another server for tests, set {_URL_VARIABLE}, or confiture_test_url in pytest's ini file"
_OTHER_PROJECT = "to use another project for tests, set confiture_config in pytest's ini file"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the ini-file options."""
    parser.addini(
        "confiture_config", "the project's confiture.yaml; default: the nearest one in the rootdir or its parents"
    )
    parser.addini("confiture_environment", "the environment whose settings tests use; default: as for commands")
    parser.addini(
        "confiture_test_url",
        f"the server for test databases, or 'embedded' (default); {_URL_VARIABLE} takes precedence",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses `confiture_migration` once for each migration."""
    if "confiture_migration" not in metafunc.fixturenames:
        return
    migrations = _load_project(metafunc.config).migrations
    versions = [migration.version for migration in migrations]
    names = [f"{migration.version}_{migration.name}" for migration in migrations]
    metafunc.parametrize("confiture_migration", versions, ids=names)


@pytest.fixture(scope="session")
def confiture_project(request: pytest.FixtureRequest) -> Project:
    """Return the project in the rootdir or in the working directory; `confiture_config` selects another one.

    Use the project to read, plan and lint; run migrations on databases from `confiture_database`. The project does not
    use the database in its settings: `run` would use `confiture_test_url` or the project's embedded server. To provide
    another project, define a fixture with the same name.
    """
    return _load_project(request.config)


@pytest.fixture(scope="session")
def confiture_server(request: pytest.FixtureRequest, confiture_project: Project) -> Iterator[ScratchServer]:
    """Return the server for test databases."""
    from confiture.errors import ConfitureError
    from confiture.testing.error_notes import format_error
    from confiture.testing.server import scratch_server

    with ExitStack() as stack:
        try:
            server = stack.enter_context(scratch_server(confiture_project, _server_url(request.config)))
        except ConfitureError as error:
            raise pytest.fail.Exception(f"{format_error(error)}\n  {_OTHER_SERVER}", pytrace=False) from None
        yield server


@pytest.fixture
def confiture_database(confiture_server: ScratchServer) -> Iterator[DatabaseFactory]:
    """Return a factory for databases at a given migration. The databases are dropped when the test ends.

    `confiture_database("014")` contains all migrations up to and including 014, `confiture_database(before="014")`
    contains those before 014, and `confiture_database()` contains all migrations.
    """
    with ExitStack() as stack:

        def fresh(version: str | None = None, *, before: str | None = None) -> ScratchDatabase:
            __tracebackhide__ = True
            database = confiture_server.create(version, before=before)
            stack.callback(confiture_server.drop, database)
            return database

        yield fresh


def _load_project(config: pytest.Config) -> Project:
    """Return the project, loading it once. If the project cannot be loaded, fail the test with all problems."""
    if _PROJECT not in config.stash:
        from confiture.errors import ConfitureError
        from confiture.files.settings import find_settings_file
        from confiture.project import Project
        from confiture.testing.error_notes import format_error

        here = config.rootpath, config.invocation_params.dir
        path = next((folder for folder in here if find_settings_file(folder)), config.rootpath)
        named = config.getini("confiture_config")
        try:
            config.stash[_PROJECT] = Project.load(
                config.rootpath / named if named else path,
                environment=config.getini("confiture_environment") or None,
                database=_server_url(config),
            )
        except ConfitureError as error:
            hint = f"\n  {_OTHER_PROJECT}" if error.diagnostics[0].code == "no-project" else ""
            raise pytest.fail.Exception(format_error(error) + hint, pytrace=False) from None
    return config.stash[_PROJECT]


def _server_url(config: pytest.Config) -> str:
    return os.environ.get(_URL_VARIABLE) or config.getini("confiture_test_url") or "embedded"
