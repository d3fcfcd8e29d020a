"""A database for one test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from confiture.core.commands import DownOptions, UpOptions
from confiture.core.db.connection import ConnectionTarget
from confiture.core.run.context import DryRunOptions
from confiture.core.status import read_history
from confiture.models.history import MigrationState
from confiture.models.reports import RunReport
from confiture.project import Project
from confiture.testing.error_notes import readable_errors
from confiture.text import pluralize

Parameters = Sequence[Any] | Mapping[str, Any] | None
_ORIGIN = "the test server"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScratchDatabase:
    """A separate database bound to the project. The database is dropped when the test ends.

    Commands run as on the command line, with the same checks, locks, history and failures. The exception text contains
    the complete diagnostics.

    Example::

        def test_totals_are_filled(confiture_database: DatabaseFactory) -> None:
            database = confiture_database(before="014")
            database.execute("INSERT INTO w_orders (id, tenant_id, amount) VALUES (1, 7, 9.50)")
            report = database.up(to="014")
            assert report.rows_affected == 1
            assert database.value("SELECT total FROM r_totals WHERE tenant_id = %s", [7]) == Decimal("9.50")
    """

    name: str
    url: str = field(repr=False)
    """A URL that works with any driver. It includes the password, if any."""
    project: Project = field(repr=False)
    """The project, with this database in its settings: `project.run`, `project.lint`, ..."""
    _connections: list[psycopg.Connection[Any]] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def for_project(cls, project: Project, name: str, url: str) -> ScratchDatabase:
        """Return the database at `url`, bound to the project."""
        database = replace(project.settings.database, url=url, url_from=_ORIGIN)
        # the environment's protection is for its own database
        settings = replace(project.settings, database=database, protected=False, requires_reason=False)
        return cls(name=name, url=url, project=replace(project, settings=settings))

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection. As a context manager, it commits on exit. All connections are closed after the test."""
        connection = psycopg.connect(self.url, autocommit=autocommit)
        self._connections.append(connection)
        return connection

    def execute(self, sql: str, parameters: Parameters = None) -> None:
        """Execute a statement (or several without parameters) and commit."""
        __tracebackhide__ = True
        with self._open_session() as connection:
            connection.execute(sql.encode(), parameters)

    def rows(self, sql: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        """Return the rows from a query.

        Example::

            assert database.rows("SELECT id, total FROM r_totals ORDER BY id") == [(1, 10), (2, 20)]
        """
        __tracebackhide__ = True
        with self._open_session() as connection:
            return connection.execute(sql.encode(), parameters).fetchall()

    def value(self, sql: str, parameters: Parameters = None) -> Any:
        """Return the single value from a query. Raise LookupError if the result is not one row with one column.

        Example::

            assert database.value("SELECT count(*) FROM r_totals") == 24
        """
        __tracebackhide__ = True
        rows = self.rows(sql, parameters)
        if len(rows) != 1 or len(rows[0]) != 1:
            columns = f" of {pluralize(len(rows[0]), 'column')}" if rows else ""
            raise LookupError(f"the query returned {pluralize(len(rows), 'row')}{columns}, not one value: {sql}")
        return rows[0][0]

    def up(self, *, to: str | None = None) -> RunReport:
        """Apply pending migrations up to and including a version. Raise the same errors as `Project.run`."""
        __tracebackhide__ = True
        with readable_errors():
            return self.project.run(UpOptions(to=to))

    def down(self, *, to: str | None = None, steps: int | None = None) -> RunReport:
        """Revert the last migration, the last `steps` migrations, or those after the version `to` (`0`: all)."""
        __tracebackhide__ = True
        with readable_errors():
            return self.project.run(DownOptions(to=to, steps=steps))

    def dry_run(self, *, to: str | None = None, repeat: int = 1, full: bool = False) -> RunReport:
        """Run pending migrations and roll them back `repeat` times. With `full`, batched backfills run completely.

        The report is the same as that of `Project.dry_run`. Nothing is stored in the project directory.

        Example::

            assert "w_orders" not in database.dry_run(to="014").locked_tables
        """
        __tracebackhide__ = True
        rehearsal = DryRunOptions(repeat=repeat, full=full, confirmed=True, store_prediction=False)
        with readable_errors():
            return self.project.run(UpOptions(to=to, dry_run=True, rehearsal=rehearsal))

    @property
    def applied(self) -> tuple[str, ...]:
        """The applied versions, in the order in which they were applied."""
        database = ConnectionTarget(conninfo=self.url, label=self.name, origin=_ORIGIN)
        with closing(database.connect("test")) as connection:
            history = read_history(connection, self.project.settings.history)
            return tuple(row.version for row in history if row.state is MigrationState.APPLIED)

    def close(self) -> None:
        """Close the connections that `connect` opened."""
        while self._connections:
            self._connections.pop().close()

    @contextmanager
    def _open_session(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        __tracebackhide__ = True
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            yield connection
