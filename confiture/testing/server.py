"""The server for test databases. They have unique names, are cloned from templates, and are dropped at the end.

Every test session has a random number, which is part of its databases' names, and holds an advisory lock on that
number. If no session holds the lock for a database, the database was left behind by a killed session, and the next
session drops it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from importlib.resources import files
from itertools import count
from typing import Protocol
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from confiture.core.db.connection import Connection, ConnectionTarget, check_server, database_label
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.embedded.server import EmbeddedServer
from confiture.errors import ConfitureError, DatabaseUnavailable, Diagnostic, InputError
from confiture.models.query_files import QUALIFIED, parse_query_file
from confiture.models.settings import EMBEDDED, DatabaseSettings
from confiture.plan.migration_order import find_version
from confiture.project import Project
from confiture.testing.database import ScratchDatabase
from confiture.testing.error_notes import add_notes, readable_errors

_PREFIX = "confiture_test_"
_LOCKS = 1_669_427_321
"""The class of the advisory locks for test sessions."""
_MOST_TEMPLATES = 8
_PATIENCE_S, _POLL_S = 5.0, 0.002


@cache
def _load_queries() -> Mapping[str, str]:
    return parse_query_file((files("confiture.testing") / f"server{QUALIFIED}").read_text(encoding="utf-8"))


def _query(name: str) -> bytes:
    return _load_queries()[name].encode()


class DatabaseFactory(Protocol):
    """The type of the fixture `confiture_database`. It creates a fresh database at a given migration.

    Example::

        def test_totals(confiture_database: DatabaseFactory) -> None:
            database = confiture_database(before="014")
    """

    def __call__(self, version: str | None = None, *, before: str | None = None) -> ScratchDatabase:
        """Create a database with all migrations up to and including `version`, or before `before`, or with all."""


@contextmanager
def scratch_server(project: Project, url: str = EMBEDDED) -> Iterator[ScratchServer]:
    """Open a server for test databases: the server at a URL or conninfo string, or an embedded one.

    The embedded server is separate, below `.confiture/testing/` in the project directory, so tests do not see the
    databases and roles on the server started by `confiture db`. Raise DatabaseUnavailable if the server cannot be used
    for tests.

    Example::

        with scratch_server(Project.load()) as server, server.database(before="014") as database:
            up_down_up(database, "014")
    """
    with ExitStack() as stack:
        conninfo = _start_embedded(stack, project) if url == EMBEDDED else url
        label = database_label(DatabaseSettings(url=url))
        server = ConnectionTarget(conninfo=conninfo, label=label, origin="the address of the test server")
        connection = stack.enter_context(closing(server.connect("tests")))
        check_server(connection, label)
        if url == EMBEDDED:
            _disable_fsync(connection)
        _check_privileges(connection, label)
        scratch = ScratchServer(project, conninfo, connection)
        stack.callback(scratch.close)
        yield scratch


def _start_embedded(stack: ExitStack, project: Project) -> str:
    """Start the separate embedded server, which runs until the stack closes. Return the server's address."""
    server = EmbeddedServer(project.settings.root / ".confiture" / "testing")
    try:
        return stack.enter_context(server.started())
    except DatabaseUnavailable:
        # The server was created by another version or is broken. Its data need not be kept.
        if not server.data_directory.exists():
            raise
        server.reset()
        return stack.enter_context(server.started())


def _disable_fsync(connection: Connection) -> None:
    """Turn off fsync on the embedded server, because DROP DATABASE would spend most of its time waiting for disks."""
    connection.execute("ALTER SYSTEM SET fsync = off")
    connection.execute(_query("reload"))


def _check_privileges(connection: Connection, label: str) -> None:
    row = connection.execute(_query("rights")).fetchone()
    if row is None or not row["may"]:
        role = row["role"] if row else "this role"
        raise DatabaseUnavailable(
            Diagnostic(
                code="no-right-to-create",
                message=f"the role {role} cannot create databases on {label}, and each test needs one",
                hint=f"run ALTER ROLE {role} CREATEDB, or use another server",
            )
        )


class ScratchServer:
    """The server for test databases. Up to eight templates are built on first use and kept until the end.

    Example::

        with scratch_server(Project.load()) as server, server.database("014") as database:
            print(database.value("SELECT count(*) FROM r_totals"))
    """

    def __init__(self, project: Project, conninfo: str, connection: Connection) -> None:
        self.project = project
        self._conninfo = conninfo
        self._connection = connection
        self._session = f"{secrets.randbits(31):08x}"
        self._numbers = count(1)
        self._templates: OrderedDict[int, str] = OrderedDict()
        """Templates by their number of applied migrations, ordered from least to most recently used."""
        self._template_errors: dict[int, ConfitureError] = {}
        connection.execute(_query("lock"), {"locks": _LOCKS, "session": int(self._session, 16)})
        self._drop_orphans()

    @contextmanager
    def database(self, version: str | None = None, *, before: str | None = None) -> Iterator[ScratchDatabase]:
        """Create a database at a given migration, and drop it on exit. Raise the same errors as `create`.

        Example::

            @pytest.fixture(scope="module")
            def shop(confiture_server: ScratchServer) -> Iterator[ScratchDatabase]:
                with confiture_server.database("014") as database:
                    yield database
        """
        __tracebackhide__ = True
        database = self.create(version, before=before)
        try:
            yield database
        finally:
            self.drop(database)

    def create(self, version: str | None = None, *, before: str | None = None) -> ScratchDatabase:
        """Create a database at a given migration, with the same parameters as `DatabaseFactory`. `drop` removes it.

        Raise InputError for an unknown version, and the errors raised by failing migrations.
        """
        __tracebackhide__ = True
        with readable_errors():
            return self._bind_database(
                self._copy_template(self._find_or_build_template(self._count_migrations(version, before)))
            )

    def drop(self, database: ScratchDatabase) -> None:
        """Drop a database created by `create`, closing its connections."""
        database.close()
        self._drop_database(database.name)

    def close(self) -> None:
        """Drop the templates."""
        while self._templates:
            _, name = self._templates.popitem()
            self._drop_database(name)

    def _count_migrations(self, version: str | None, before: str | None) -> int:
        """Return the number of migrations to apply."""
        migrations = self.project.migrations
        if version is not None and before is not None:
            message = "`version` and `before` are mutually exclusive"
            raise InputError(Diagnostic(code="bad-option", message=message, hint="remove one of them"))
        if before is not None:
            return find_version(before, migrations)
        return len(migrations) if version is None else find_version(version, migrations) + 1

    def _find_or_build_template(self, migration_count: int) -> str | None:
        """Return the name of a template with that many migrations; None for an empty one."""
        if migration_count in self._template_errors:
            raise self._template_errors[migration_count]
        if migration_count and migration_count not in self._templates:
            try:
                self._templates[migration_count] = self._build_template(migration_count)
            except ConfitureError as error:
                add_notes(
                    error, f"while applying migrations up to {self.project.migrations[migration_count - 1].label}"
                )
                self._template_errors[migration_count] = error
                raise
            if len(self._templates) > _MOST_TEMPLATES:
                _, oldest = self._templates.popitem(last=False)
                self._drop_database(oldest)
        if migration_count:
            self._templates.move_to_end(migration_count)
        return self._templates.get(migration_count)

    def _build_template(self, migration_count: int) -> str:
        nearest = max((number for number in self._templates if number < migration_count), default=0)
        name = self._copy_template(self._templates.get(nearest))
        try:
            self._bind_database(name).up(to=self.project.migrations[migration_count - 1].version)
        except BaseException:
            self._drop_database(name)
            raise
        self._wait_for_disconnect(name)
        return name

    def _wait_for_disconnect(self, name: str) -> None:
        """Wait for sessions, which outlive their connections. CREATE DATABASE checks only ten times a second."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            row = self._connection.execute(_query("sessions"), {"name": name}).fetchone()
            if row is None or not row["sessions"]:
                return
            time.sleep(_POLL_S)

    def _copy_template(self, template: str | None) -> str:
        name = f"{_PREFIX}{os.getpid()}_{self._session}_{next(self._numbers)}"
        # STRATEGY file_copy is faster only above about 100 MB. Below that size, it is slower because it needs two
        # checkpoints.
        clone = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        self._execute(
            sql.SQL("CREATE DATABASE {}{}").format(sql.Identifier(name), clone), "a test database cannot be created"
        )
        return name

    def _drop_database(self, name: str) -> None:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        self._execute(statement, f"the test database {name} cannot be dropped")

    def _drop_orphans(self) -> None:
        for row in self._connection.execute(_query("left_behind"), {"locks": _LOCKS}).fetchall():
            try:
                self._connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(row["name"])))
            except psycopg.Error:
                # Another session is also dropping the database, or a user is connected to it.
                continue

    def _execute(self, statement: sql.Composed, action: str) -> None:
        try:
            self._connection.execute(statement)
        except psycopg.Error as error:
            raise DatabaseUnavailable(db_error_diagnostic(error, action)) from error

    def _bind_database(self, name: str) -> ScratchDatabase:
        return ScratchDatabase.for_project(self.project, name, database_url(self._conninfo, name))


def database_url(conninfo: str, name: str) -> str:
    """Return the URL of another database on the server at a URL or conninfo string. PG* variables supply the rest.

    Raise psycopg.ProgrammingError if the string is invalid.
    """
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo).items() if value not in (None, "")}
    parts.pop("dbname", None)
    user, password = parts.pop("user", ""), parts.pop("password", "")
    secret = f":{quote(password, safe='')}" if password else ""
    account = f"{quote(user, safe='')}{secret}@" if user else ""
    if password and not user:
        parts["password"] = password
    # Sockets and multiple hosts cannot be written before the name.
    host = parts.pop("host") if _is_plain_host(parts.get("host", "")) else ""
    port = f":{parts.pop('port')}" if host and "port" in parts else ""
    rest = f"?{urlencode(parts, quote_via=quote)}" if parts else ""
    return f"postgresql://{account}{f'[{host}]' if ':' in host else host}{port}/{quote(name, safe='')}{rest}"


def _is_plain_host(host: str) -> bool:
    return bool(host) and not set(host) & set("/,@%")
