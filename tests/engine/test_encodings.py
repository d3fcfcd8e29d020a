"""Databases that are not in UTF-8: names that they can hold are stored, and text that they cannot hold fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.projects import Project
from tests.support.python_migrations import IMPORTS
from tests.support.servers import Database, Server

_LONG = "CREATE TABLE a (id int PRIMARY KEY, name text NOT NULL, created date NOT NULL, comment text)"


@pytest.fixture
def create(server: Server) -> Iterator[Callable[[str], Database]]:
    """Create a database in an encoding."""
    names: list[str] = []

    def create_database(encoding: str) -> Database:
        name = f"encoding_{encoding.lower()}_{server.version}_{id(names)}"
        server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        names.append(name)
        return Database(server, name)

    yield create_database
    for name in names:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("encoding", ["LATIN1", "LATIN9", "SQL_ASCII", "WIN1252", "EUC_JP"])
def test_names_are_stored_in_the_encoding(project: Project, create: Callable[[str], Database], encoding: str) -> None:
    database = create(encoding)
    project.environ["DATABASE_URL"] = database.url
    project.migration(
        "001_a",
        f"ddl:\n  - sql: {_LONG}\n  - name: plain\n    sql: CREATE TABLE b (id int PRIMARY KEY)\n"
        "  - backfill: {into: b, from: a, on_writes: ignore, sql: 'INSERT INTO b SELECT id FROM a WHERE {{ batch }}'}\n"
        "  - sql: VACUUM a\n  - reconcile: {table: b, sql: SELECT id FROM a}\n",
    )
    project.run("migrate", "--dry-run")
    project.run("migrate", "up")
    project.run("migrate", "up")
    project.run("migrate", "status")
    project.run("verify")
    steps = str(database.rows("SELECT steps::text FROM confiture.migrations")[0][0])
    assert "CREATE TABLE a (id int PRIMARY KEY" in steps
    assert "…" in steps or "..." in steps


def test_a_value_that_the_encoding_lacks_fails_and_is_not_rewritten(
    project: Project, create: Callable[[str], Database]
) -> None:
    database = create("LATIN1")
    project.environ["DATABASE_URL"] = database.url
    project.write(
        "migrations/001_a.py",
        f"{IMPORTS}class Add(Hook):\n    phase = HookPhase.AFTER_DDL\n\n    def execute(self, conn, context):\n"
        "        conn.execute('INSERT INTO a VALUES (%s)', ['☃'])\n\nregister_hook('add', Add)\n\n\n"
        "class A(Migration):\n    def up(self):\n        self.execute('CREATE TABLE a (name text PRIMARY KEY)')\n"
        "        self.hook('add', phase='after_ddl')\n",
    )
    for command in ("--dry-run", "up"):
        assert "LATIN1" in project.run("migrate", command, expect=4).err
    assert database.rows("SELECT to_regclass('a')") == [(None,)]


def test_sql_that_the_encoding_lacks_fails_with_its_line(project: Project, create: Callable[[str], Database]) -> None:
    project.environ["DATABASE_URL"] = create("LATIN1").url
    project.migration("001_a", "ddl:\n  - sql: CREATE TABLE a (id int)\n  - sql: COMMENT ON TABLE a IS '☃'\n")
    for command in ("--dry-run", "up"):
        assert "001_a.yaml:3:" in project.run("migrate", command, expect=4).err
