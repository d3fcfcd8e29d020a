"""Where the databases of tests are made: names of their own, cloned from templates, dropped at the end.

Every test session has a random number, which is in the names of its databases and which it holds an advisory lock on.
Databases whose session holds its lock no more were left by one that was killed: the next session drops them.
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
"""The class of the advisory locks of test sessions."""
_MOST_TEMPLATES = 8
_PATIENCE_S, _POLL_S = 5.0, 0.002


@cache
def _load_queries() -> Mapping[str, str]:
    return parse_query_file((files("confiture.testing") / f"server{QUALIFIED}").read_text(encoding="utf-8"))


def _query(name: str) -> bytes:
    return _load_queries()[name].encode()


class DatabaseFactory(Protocol):
    """What the fixture `confiture_database` is: gives a fresh database at a migration.

    Example::

        def test_totals(confiture_database: DatabaseFactory) -> None:
            database = confiture_database(before="014")
    """

    def __call__(self, version: str | None = None, *, before: str | None = None) -> ScratchDatabase:
        """A database with all migrations up to `version` and with it; up to `before` and without it; or with all."""


@contextmanager
def scratch_server(project: Project, url: str = EMBEDDED) -> Iterator[ScratchServer]:
    """A server for the databases of tests: the one that a URL or conninfo string leads to, or an embedded one.

    The embedded one is the tests' own, below `.confiture/testing/` in the project's folder: no test sees the databases
    and roles of the server that `confiture db` starts. Raises DatabaseUnavailable where it cannot be used for tests.

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
        made = ScratchServer(project, conninfo, connection)
        stack.callback(made.close)
        yield made


def _start_embedded(stack: ExitStack, project: Project) -> str:
    """The address of the tests' own server, which runs until the stack ends."""
    server = EmbeddedServer(project.settings.root / ".confiture" / "testing")
    try:
        return stack.enter_context(server.started())
    except DatabaseUnavailable:
        # made by another version, or broken: there is nothing in it to keep
        if not server.data_directory.exists():
            raise
        server.reset()
        return stack.enter_context(server.started())


def _disable_fsync(connection: Connection) -> None:
    """Lets the tests' own server not wait for disks, on which most of the time of a DROP DATABASE would go."""
    connection.execute("ALTER SYSTEM SET fsync = off")
    connection.execute(_query("reload"))


def _check_privileges(connection: Connection, label: str) -> None:
    row = connection.execute(_query("rights")).fetchone()
    if row is None or not row["may"]:
        role = row["role"] if row else "this role"
        raise DatabaseUnavailable(
            Diagnostic(
                code="no-right-to-create",
                message=f"the role {role} may not create databases on {label}: each test gets one of its own",
                hint=f"ALTER ROLE {role} CREATEDB, or name another server",
            )
        )


class ScratchServer:
    """Makes databases for tests. Templates are built at first use and kept until the end, eight at most.

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
        """By how many migrations are applied, the one used last at the end."""
        self._template_errors: dict[int, ConfitureError] = {}
        connection.execute(_query("lock"), {"locks": _LOCKS, "session": int(self._session, 16)})
        self._drop_orphans()

    @contextmanager
    def database(self, version: str | None = None, *, before: str | None = None) -> Iterator[ScratchDatabase]:
        """A database at a migration, dropped at the end: for fixtures that live longer than a test. Raises as `create`.

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
        """A database at a migration, as `DatabaseFactory` says, until it is given to `drop`.

        Raises InputError for a version that there is not, and what the migrations raise that fail.
        """
        __tracebackhide__ = True
        with readable_errors():
            return self._bind_database(
                self._copy_template(self._find_or_build_template(self._count_migrations(version, before)))
            )

    def drop(self, database: ScratchDatabase) -> None:
        """Drops a database that `create` made; whoever is connected to it is disconnected."""
        database.close()
        self._drop_database(database.name)

    def close(self) -> None:
        """Drops the templates."""
        while self._templates:
            _, name = self._templates.popitem()
            self._drop_database(name)

    def _count_migrations(self, version: str | None, before: str | None) -> int:
        """How many migrations are to be applied."""
        migrations = self.project.migrations
        if version is not None and before is not None:
            message = "`version` and `before` exclude each other"
            raise InputError(Diagnostic(code="bad-option", message=message, hint="leave one out"))
        if before is not None:
            return find_version(before, migrations)
        return len(migrations) if version is None else find_version(version, migrations) + 1

    def _find_or_build_template(self, migration_count: int) -> str | None:
        """The name of a database with so many migrations; None for an empty one."""
        if migration_count in self._template_errors:
            raise self._template_errors[migration_count]
        if migration_count and migration_count not in self._templates:
            try:
                self._templates[migration_count] = self._build_template(migration_count)
            except ConfitureError as error:
                add_notes(
                    error, f"while migrations were applied up to {self.project.migrations[migration_count - 1].label}"
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
        nearest = max((known for known in self._templates if known < migration_count), default=0)
        name = self._copy_template(self._templates.get(nearest))
        try:
            self._bind_database(name).up(to=self.project.migrations[migration_count - 1].version)
        except BaseException:
            self._drop_database(name)
            raise
        self._wait_for_disconnect(name)
        return name

    def _wait_for_disconnect(self, name: str) -> None:
        """Sessions end a little after their connections; CREATE DATABASE looks for them only ten times a second."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            row = self._connection.execute(_query("sessions"), {"name": name}).fetchone()
            if row is None or not row["sessions"]:
                return
            time.sleep(_POLL_S)

    def _copy_template(self, template: str | None) -> str:
        name = f"{_PREFIX}{os.getpid()}_{self._session}_{next(self._numbers)}"
        # by its files it would be copied faster only above some 100 MB, and slower below: that takes two checkpoints
        clone = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        self._execute(
            sql.SQL("CREATE DATABASE {}{}").format(sql.Identifier(name), clone), "a test's database cannot be made"
        )
        return name

    def _drop_database(self, name: str) -> None:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        self._execute(statement, f"the test's database {name} cannot be dropped")

    def _drop_orphans(self) -> None:
        for row in self._connection.execute(_query("left_behind"), {"locks": _LOCKS}).fetchall():
            try:
                self._connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(row["name"])))
            except psycopg.Error:
                # another session drops it too, or somebody looks at it
                continue

    def _execute(self, statement: sql.Composed, action: str) -> None:
        try:
            self._connection.execute(statement)
        except psycopg.Error as error:
            raise DatabaseUnavailable(db_error_diagnostic(error, action)) from error

    def _bind_database(self, name: str) -> ScratchDatabase:
        return ScratchDatabase.for_project(self.project, name, database_url(self._conninfo, name))


def database_url(conninfo: str, name: str) -> str:
    """The URL of another database where a URL or conninfo string leads; what is no part of it stays for PG* variables.

    Raises psycopg.ProgrammingError where the string cannot be read.
    """
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo).items() if value not in (None, "")}
    parts.pop("dbname", None)
    user, password = parts.pop("user", ""), parts.pop("password", "")
    secret = f":{quote(password, safe='')}" if password else ""
    account = f"{quote(user, safe='')}{secret}@" if user else ""
    if password and not user:
        parts["password"] = password
    # sockets, and several hosts, have no place before the name
    host = parts.pop("host") if _is_plain_host(parts.get("host", "")) else ""
    port = f":{parts.pop('port')}" if host and "port" in parts else ""
    rest = f"?{urlencode(parts, quote_via=quote)}" if parts else ""
    return f"postgresql://{account}{f'[{host}]' if ':' in host else host}{port}/{quote(name, safe='')}{rest}"


def _is_plain_host(host: str) -> bool:
    return bool(host) and not set(host) & set("/,@%")
