"""No query of ours calls or reads what a role may offer that can create in `public`, or in its own temporary schema.

Each file of our SQL is tried as it is: what is added to one is covered. Only a hole (`{name}`) of a new kind needs an
example below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from confiture.core.db.queries import history_schema_sql, query
from confiture.models.query_files import parse_query_file
from confiture.sql.parser import postgast
from confiture.sql.qualification import QueryTemplate, find_sources, qualified_path, qualify_file
from tests.support.hostile_role import Attack, called, depended_on, described, made, names_of_all_queries
from tests.support.servers import Database, Server, new_database

EXAMPLES: dict[str, dict[str, str]] = {
    "build": {"check_function_bodies": "on", "client_check_ms": "0", "lock_timeout": "0"},
    "backfill": {
        "before": "true",
        "columns": "k1",
        "keys": "k1",
        "least": "1",
        "limit": "1",
        "notes": "confiture.backfill_1_keys",
        "order": "s.k1",
        "parts": "1",
        "percent": "1",
        "source": "confiture.backfill_1_keys AS s",
    },
    "queries": {"lock_timeout": "0", "client_check_ms": "0"},
    "reconcile": {
        "actual": "SELECT 1 AS c0, 'a'::pg_catalog.text AS part",
        "chosen": "true",
        "columns": "e.c0",
        "expected": "SELECT 1 AS c0, 'b'::pg_catalog.text AS part",
        "hash": "pg_catalog.hashint8extended(e.c0, 1)",
        "key": "e.c0",
        "most": "1",
        "part_text": "d.part",
        "texts": "e.c0",
    },
    "tenancy": {
        "all": "SELECT 1::bigint",
        "columns": "c1",
        "group": "q.c1",
        "key": "q.c1::pg_catalog.text",
        "known": "true",
        "literal": "'1'",
        "none": "SELECT 1::bigint",
        "one": "SELECT 1::bigint",
        "operators": "pg_catalog",
        "row": "ARRAY[q.c1::pg_catalog.text]",
        "shown": "3",
        "tenant": "c1",
        "tenant_pairs": "VALUES ('1'::pg_catalog.text, 1::bigint)",
        "tenant_text": "c1::pg_catalog.text",
        "tenants": "ARRAY['1']",
        "type": "bigint",
    },
}
# what NULL for each parameter runs into
HARMLESS = (psycopg.errors.IntegrityError, psycopg.errors.NullValueNotAllowed)
NUMBER = re.compile(r"(?<!location )(?<!stmt_len )(?<!start )(?<!end )\b\d{5,10}\b")
PARAMETER = re.compile(r"\$(\d+)")
TABLES = re.compile(r"^CREATE TABLE (\S+)", re.MULTILINE)
UPGRADE = re.compile(r"UPDATE confiture\.format SET version = (\d+)")
TRACING = "SET LOCAL debug_print_parse = on; SET LOCAL client_min_messages = log;"
PREFERRED = "public, pg_catalog"
"""Finds what others made first. Only parsed by this path: functions of PostgreSQL itself look operators up by it, such
as pg_get_viewdef."""


def written(path: Path, source: Path) -> Mapping[str, str]:
    """The queries of a file as they run, without holes and parameters."""
    examples = EXAMPLES.get(source.name.removesuffix(".sql"), {})
    queries = dict(parse_query_file(path.read_text(encoding="utf-8")))
    if "isolation_alone" in queries:
        examples = examples | {
            "alone": re.sub(r"\{([a-z]\w*)\}", lambda hole: examples[hole[1]], queries["isolation_alone"])
        }
    return {
        name: QueryTemplate(re.sub(r"\{([a-z]\w*)\}", lambda hole: examples[hole[1]], text)).sql.replace("%%", "%")
        for name, text in queries.items()
    }


@pytest.fixture(scope="module")
def attacked_15(server_15: Server) -> Iterator[Database]:
    yield from _attacked(server_15)


@pytest.fixture(scope="module")
def attacked_18(server_18: Server) -> Iterator[Database]:
    yield from _attacked(server_18)


@pytest.fixture(params=["attacked_18", "attacked_15"])
def attacked(request: pytest.FixtureRequest, uses_server: None) -> Database:
    """A database of each version, with what a role has made against all files."""
    return request.getfixturevalue(request.param)


def _attacked(server: Server) -> Iterator[Database]:
    for database in new_database(server):
        with database.connect() as connection:
            connection.execute(query("create_schema"))
            connection.execute(history_schema_sql(0))
            connection.execute("CREATE TABLE confiture.backfill_1_keys (entry bigint, k1 text)")
            Attack(connection, names_of_all_queries()).make()
        yield database


@pytest.mark.parametrize("path", find_sources(), ids=lambda path: path.name)
def test_the_qualified_text_is_in_step(path: Path) -> None:
    assert qualified_path(path).read_text(encoding="utf-8") == qualify_file(path.read_text(encoding="utf-8")), (
        "run python -m confiture.sql.qualification"
    )


@pytest.mark.parametrize("path", find_sources(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_queries_find_only_what_is_of_postgresql(attacked: Database, path: Path) -> None:
    with attacked.connect() as connection:
        Attack(connection, names_of_all_queries()).make_temporary()
        hostile = made(connection)
        called(connection)
        for name, text in written(qualified_path(path), path).items():
            found = analyzed(connection, text, PREFERRED) & hostile
            assert not found, (name, described(connection, found))
            run(connection, text)
            assert not called(connection), name


@pytest.mark.parametrize("path", find_sources(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_same_queries_are_hijacked_as_people_write_them(attacked: Database, path: Path) -> None:
    """So the attack is one, in each file."""
    with attacked.connect() as connection:
        hostile = made(connection)
        assert any(is_hijacked(connection, text, hostile) for text in written(path, path).values())


def is_hijacked(connection: psycopg.Connection, text: str, hostile: set[int]) -> bool:
    try:
        return bool(analyzed(connection, text, PREFERRED) & hostile)
    except psycopg.ProgrammingError:
        # what PostgreSQL took does not fit
        return True


def analyzed(connection: psycopg.Connection, text: str, search_path: str) -> set[int]:
    """The OIDs in the trees of statements, and of what tables depend on that they make."""
    trees: list[str] = []

    def keep(notice: psycopg.errors.Diagnostic) -> None:
        trees.append(notice.message_detail or "")

    connection.add_notice_handler(keep)
    try:
        with undone(connection, text):
            before = depended_on(connection)
            for statement in postgast.split(text):
                connection.execute(f"{TRACING} SET LOCAL search_path = {search_path}".encode())
                if statement.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
                    result = connection.pgconn.prepare(b"", statement.encode())
                    if result.error_message:
                        raise psycopg.errors.error_from_result(result)
                else:
                    connection.execute(statement.encode())
            found = depended_on(connection) - before
    finally:
        connection.remove_notice_handler(keep)
    return found | {int(number) for tree in trees for number in NUMBER.findall(tree)}


def run(connection: psycopg.Connection, text: str) -> None:
    """Runs statements with NULL for each parameter, by the path that a database begins with."""
    with suppress(*HARMLESS), undone(connection, text):
        for statement in postgast.split(text):
            is_prepared = statement.startswith("PREPARE")
            number = 0 if is_prepared else max(map(int, PARAMETER.findall(statement)), default=0)
            psycopg.RawCursor(connection).execute(statement, [None] * number or None)
            if is_prepared:
                connection.execute(b'EXECUTE "confiture: touched relations" (0, 0, NULL, NULL)')


@contextmanager
def undone(connection: psycopg.Connection, text: str) -> Iterator[None]:
    """A transaction that is rolled back, in which what a text makes is not there yet."""
    with connection.transaction(force_rollback=True):
        connection.execute("DEALLOCATE ALL")
        if "CREATE SCHEMA" in text:
            connection.execute("DROP SCHEMA confiture CASCADE")
        upgrade = UPGRADE.search(text)
        if upgrade:
            former = history_schema_sql(0).removesuffix(history_schema_sql(int(upgrade[1]) - 1))
            connection.execute(b"DROP SCHEMA confiture CASCADE; CREATE SCHEMA confiture; " + former)
        else:
            for table in TABLES.findall(text):
                connection.execute(f"DROP TABLE {table} CASCADE".encode())
        yield
