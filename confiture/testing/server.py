"""The server for test databases: throwaway databases at any migration, cloned from templates."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from psycopg import sql

from confiture.core.db.connection import ConnectionTarget, check_server, database_label
from confiture.core.throwaway.databases import ThrowawayDatabases, check_creation_right, open_databases
from confiture.core.throwaway.disposable_server import open_disposable_server
from confiture.errors import ConfitureError, Diagnostic, InputError
from confiture.models.settings import EMBEDDED, DatabaseSettings
from confiture.plan.migration_order import find_version
from confiture.project import Project
from confiture.testing.database import ScratchDatabase
from confiture.testing.error_notes import add_notes, readable_errors

_MOST_TEMPLATES = 8


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
    label = database_label(DatabaseSettings(url=url))
    with ExitStack() as stack:
        if url == EMBEDDED:
            server = stack.enter_context(open_disposable_server(project.settings.root, label))
        else:
            server = ConnectionTarget(conninfo=url, label=label, origin="the address of the test server")
        databases = stack.enter_context(open_databases(server, "tests"))
        check_server(databases.connection, label)
        check_creation_right(databases)
        yield ScratchServer(project, databases)


class ScratchServer:
    """The server for test databases. Up to eight templates are built on first use and kept until the end.

    Example::

        with scratch_server(Project.load()) as server, server.database("014") as database:
            print(database.value("SELECT count(*) FROM r_totals"))
    """

    def __init__(self, project: Project, databases: ThrowawayDatabases) -> None:
        self.project = project
        self._databases = databases
        self._templates: OrderedDict[int, str] = OrderedDict()
        """Templates by their number of applied migrations, ordered from least to most recently used."""
        self._template_errors: dict[int, ConfitureError] = {}

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
        self._databases.drop(database.name)

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
                self._databases.drop(oldest)
        if migration_count:
            self._templates.move_to_end(migration_count)
        return self._templates.get(migration_count)

    def _build_template(self, migration_count: int) -> str:
        nearest = max((number for number in self._templates if number < migration_count), default=0)
        name = self._copy_template(self._templates.get(nearest))
        try:
            self._bind_database(name).up(to=self.project.migrations[migration_count - 1].version)
        except BaseException:
            self._databases.drop(name)
            raise
        self._databases.wait_for_disconnect(name)
        return name

    def _copy_template(self, template: str | None) -> str:
        # STRATEGY file_copy is faster only above about 100 MB. Below that size, it is slower because it needs two
        # checkpoints.
        clone = sql.SQL("TEMPLATE {}").format(sql.Identifier(template)) if template else None
        return self._databases.create("test", clone)

    def _bind_database(self, name: str) -> ScratchDatabase:
        return ScratchDatabase.for_project(self.project, name, self._databases.target(name).conninfo)
