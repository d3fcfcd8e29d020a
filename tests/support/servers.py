"""Real servers: PostgreSQL 18 from the embedded wheel, and 15 where it is installed. One of each for each worker."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from confiture.core.embedded.server import EmbeddedServer
from tests.support.databases import Databases

PG15 = Path("/usr/lib/postgresql/15/bin")
# no test pulls the plug
_CARELESS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}


@dataclass(frozen=True)
class Server:
    """A running server. `programs` is the folder of its own psql and pg_dump."""

    version: int
    admin_url: str
    programs: Path

    def url(self, database: str) -> str:
        return self.admin_url.replace("/postgres?", f"/{database}?")

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(statement.encode())


@dataclass(frozen=True)
class Database:
    """A database of its own for one test."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True, **options)

    def execute(self, statement: str) -> None:
        """Runs one or several statements, each by itself where they are given by themselves."""
        with self.connect() as connection:
            connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple]:
        with self.connect() as connection:
            return connection.execute(query.encode()).fetchall()

    def value(self, query: str) -> object:
        return self.rows(query)[0][0]

    def dump(self) -> str:
        """The schema as pg_dump prints it, without our own tables."""
        command = [str(self.server.programs / "pg_dump"), "--schema-only", "--exclude-schema=confiture", self.url]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        # since 2025 every dump has a random key
        return "\n".join(line for line in printed.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


@pytest.fixture(scope="session")
def uses_server() -> None:
    """Requested by every fixture that takes a server: tests that depend on it are marked `server`."""


_item: pytest.Item | None = None
"""The test that runs, with its set-up and teardown."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if uses_server.__name__ in getattr(item, "fixturenames", ()):
            item.add_marker("server")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    global _item
    _item, outer = item, _item
    try:
        return (yield)
    finally:
        _item = outer


def require_marker() -> None:
    """Fail the running test unless it is marked `server`: `-m "not server"` must start none."""
    if _item is not None and not _item.get_closest_marker("server"):
        pytest.fail("the test uses a server without the marker: request the fixture `uses_server`", pytrace=False)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Watch the embedded servers that tests start themselves, too."""
    ensure_running = EmbeddedServer._ensure_running

    def watched(server: EmbeddedServer) -> None:
        require_marker()
        ensure_running(server)

    EmbeddedServer._ensure_running = watched  # type: ignore[assignment, method-assign]


@pytest.fixture(scope="session")
def server_18(uses_server: None) -> Iterator[Server]:
    require_marker()
    with server_folder() as folder:
        embedded = EmbeddedServer(folder)
        with embedded.started() as url:
            server = Server(18, url, embedded.program_path("psql").parent)
            disable_durability(server)
            yield server


@pytest.fixture(scope="session")
def server_15(uses_server: None) -> Iterator[Server]:
    require_marker()
    if not (PG15 / "postgres").exists():
        pytest.skip("PostgreSQL 15 is not installed")
    with server_folder() as folder:
        for server in start_server_15(folder):
            disable_durability(server)
            yield server


def disable_durability(server: Server) -> None:
    """Lets a server write as little as it may. Not by its options: those of the embedded one are the product's."""
    for name, value in _CARELESS.items():
        server.execute(f"ALTER SYSTEM SET {name} = {value}")
    server.execute("SELECT pg_reload_conf()")


def start_server_15(folder: Path) -> Generator[Server]:
    require_marker()
    run = unprivileged_runner(folder)
    data = folder / "data"
    run([PG15 / "initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "-U", "postgres", "-D", data])
    options = (
        f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c max_prepared_transactions=5"
    )
    run([PG15 / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start"])
    try:
        yield Server(15, f"postgresql://postgres@/postgres?host={folder}&port=5432", PG15)
    finally:
        run([PG15 / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder for a server. Not below pytest's own: each session of pytest closes that to everybody else, also to
    the servers of other sessions that run as another user."""
    folder = Path(tempfile.mkdtemp(prefix="confiture-server-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unprivileged_runner(folder: Path) -> Callable[[list[object]], None]:
    """Runs programs as somebody whom PostgreSQL accepts."""
    user: dict[str, object] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        shutil.chown(folder, account.pw_uid, account.pw_gid)

    def run(command: list[object]) -> None:
        subprocess.run(
            list(map(str, command)), check=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **user
        )  # type: ignore[call-overload]

    return run


@pytest.fixture(params=["server_18", "server_15"])
def server(request: pytest.FixtureRequest, uses_server: None) -> Server:
    """Each server in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """An empty database on each server in turn."""
    yield from new_database(server)


@pytest.fixture
def database_18(server_18: Server) -> Iterator[Database]:
    """An empty database on PostgreSQL 18, for what does not depend on the version."""
    yield from new_database(server_18)


def new_database(server: Server) -> Iterator[Database]:
    require_marker()
    databases = _databases(server)
    name = databases.take()
    yield Database(server, name)
    databases.give_back(name)


@cache
def _databases(server: Server) -> Databases:
    return Databases(server.admin_url)


@dataclass(frozen=True)
class Roles:
    """Two roles that may log in, and not much more."""

    database: Database
    migrator: str
    reader: str

    def url(self, role: str) -> str:
        return self.database.url.replace("://postgres@", f"://{role}@")


@pytest.fixture
def roles(database: Database) -> Iterator[Roles]:
    """Two ordinary roles: neither sees what the other does."""
    made = Roles(database, f"{database.name}_migrator", f"{database.name}_reader")
    database.execute(f"CREATE ROLE {made.migrator} LOGIN; CREATE ROLE {made.reader} LOGIN")
    yield made
    for role in (made.migrator, made.reader):
        database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
