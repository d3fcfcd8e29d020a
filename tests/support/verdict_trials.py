"""Runs generated migrations dry and for real on the same database, and compares the verdicts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import psycopg

from confiture.errors import InputError
from tests.support.databases import Databases
from tests.support.engine import Ran, dry_run, migrate_up
from tests.support.generated_migrations import CLERK, OWNER, SUPERUSER, Case, DatabasePlan
from tests.support.projects import Project
from tests.support.servers import Database, Server

_SAFE = "-c default_transaction_read_only=off -c search_path=public -c role=none -c event_triggers=off"
_NEW_ENUM_VALUE = "55P04"
_TABLES = r"""
SELECT format('SELECT %L, count(*), max(xmin::text::bigint) FROM %s', oid::regclass, oid::regclass)
FROM pg_class WHERE relkind IN ('r', 'm') AND relnamespace::regnamespace::text NOT LIKE 'pg\_%'
    AND relnamespace <> 'information_schema'::regnamespace AND relispopulated
"""
_CATALOGS = """
SELECT format('SELECT %L, count(*), max(xmin::text::bigint) FROM %s', oid::regclass, oid::regclass)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'pg_catalog'::regnamespace AND NOT relisshared
    AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data')
"""


@dataclass(frozen=True)
class Verdict:
    """The end of a run: its exit code, its first failed step and the code of its first diagnostic.

    The diagnostics may differ: a step can have several problems.
    """

    code: int
    failed: tuple[str, str] | None
    diagnostic: str | None = field(compare=False)

    @classmethod
    def of(cls, ran: Ran) -> Verdict:
        failed = [(phase, name) for phase, name, outcome in ran.steps if outcome == "failed" and phase != "on_error"]
        return cls(ran.code, failed[0] if failed else None, ran.diagnostics[0].code if ran.diagnostics else None)


@dataclass(frozen=True)
class Trial:
    """A case, with its dry run and its real run."""

    case: Case
    dry: Ran
    real: Ran
    changed: frozenset[tuple[object, ...]]
    """The tables that the dry run changed."""

    @cached_property
    def difference(self) -> str | None:
        """The description of how the dry run and the real run differ."""
        if self.changed:
            return f"the dry run changed {sorted(map(str, self.changed))}"
        dry, real = Verdict.of(self.dry), Verdict.of(self.real)
        if dry == real or self._is_documented(dry):
            return None
        return f"dry {dry} {self.dry.diagnostics}\nreal {real} {self.real.diagnostics}"

    def _is_documented(self, dry: Verdict) -> bool:
        """Whether the dry run refuses an enum value that the real run commits before, and its hint explains it."""
        return dry.diagnostic == _NEW_ENUM_VALUE and "commits it first" in (self.dry.diagnostic.hint or "")


class VerdictTrials:
    """A bed for trials on one server: its roles, and databases of several encodings."""

    def __init__(self, server: Server, root: Path) -> None:
        self._server = server
        self._root = root
        self._databases = {
            encoding: Databases(server.admin_url, f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
            for encoding in ("UTF8", "LATIN1", "SQL_ASCII")
        }

    @contextmanager
    def opened(self) -> Iterator[VerdictTrials]:
        """Create the roles, and drop them on exit."""
        for role in (OWNER, CLERK):
            self._server.execute(f"CREATE ROLE {role} LOGIN")
        self._server.execute(f"GRANT {CLERK} TO {OWNER}")
        try:
            yield self
        finally:
            for role in (OWNER, CLERK):
                self._server.execute(f"DROP ROLE {role}")

    def run(self, case: Case) -> Trial:
        """Run a case."""
        databases = self._databases[case.database.encoding]
        database = Database(self._server, databases.take())
        try:
            self._prepare(database, case.database)
            project = self._write(case)
            url = self._url(database, case.database.role)
            before = _state(database)
            try:
                dry = dry_run(project, url=url)
            except InputError as error:
                # Both runs end before they connect.
                return Trial(case, Ran(error=error), Ran(error=error), frozenset())
            changed = frozenset(before ^ _state(database))
            return Trial(case, dry, migrate_up(project, url=url), changed)
        finally:
            self._release(database)
            databases.give_back(database.name)

    def _url(self, database: Database, role: str) -> str:
        return database.url.replace(f"://{SUPERUSER}@", f"://{role}@")

    def _prepare(self, database: Database, plan: DatabasePlan) -> None:
        for text in plan.setup:
            with _connect(database) as connection:
                connection.execute(_fill(text, database, plan).encode())
        project = self._write_history(plan)
        if plan.history is not None:
            migrate_up(project, url=self._url(database, plan.history)).expect(0)
        for text in plan.restrictions:
            with _connect(database) as connection:
                try:
                    connection.execute(_fill(text, database, plan).encode())
                except psycopg.errors.InvalidSchemaName:
                    assert "confiture" in text, text

    def _new_project(self) -> Project:
        shutil.rmtree(self._root, ignore_errors=True)
        project = Project(self._root)
        project.write("confiture.yaml", "migrations: migrations\nschemas: schemas\n")
        return project

    def _write_history(self, plan: DatabasePlan) -> Project:
        project = self._new_project()
        project.migration("001_base", "ddl: [sql: SELECT 1]\n")
        return project

    def _write(self, case: Case) -> Project:
        project = self._new_project()
        if case.database.history is not None:
            project.migration("001_base", "ddl: [sql: SELECT 1]\n")
        for path, text in case.files.items():
            project.write(path, text)
        return project

    def _release(self, database: Database) -> None:
        """Remove what belongs to the server, not to the database."""
        with _connect(database) as connection:
            # Before PostgreSQL 17, it sees the rest go.
            connection.execute(b"DROP EVENT TRIGGER IF EXISTS forbid")
            for role in (OWNER, CLERK):
                connection.execute(f"ALTER ROLE {role} IN DATABASE {database.name} RESET ALL".encode())
            connection.execute(f"ALTER ROLE {SUPERUSER} IN DATABASE {database.name} RESET ALL".encode())
            connection.execute(f"ALTER DATABASE {database.name} RESET ALL".encode())
            connection.execute(f"ALTER DATABASE {database.name} OWNER TO {SUPERUSER}".encode())
            connection.execute(f"DROP OWNED BY {OWNER}, {CLERK} CASCADE".encode())
            connection.execute(b"UPDATE pg_database SET datacl = NULL WHERE datname = current_database()")


def _connect(database: Database) -> psycopg.Connection:
    options = _SAFE if database.server.version >= 17 else _SAFE.replace(" -c event_triggers=off", "")
    return database.connect(options=options, client_encoding="UTF8")


def _fill(text: str, database: Database, plan: DatabasePlan) -> str:
    return text.replace("{database}", database.name).replace("{schema}", plan.schema)


def _state(database: Database) -> set[tuple[object, ...]]:
    """The number of rows of each table and catalog, and the newest transaction that wrote one."""
    with _connect(database) as connection:
        queries = [row[0] for text in (_CATALOGS, _TABLES) for row in connection.execute(text.encode())]
        return set(connection.execute(" UNION ALL ".join(queries).encode()))
