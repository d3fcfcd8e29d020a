"""A database that a test was given before is as a new one to the next test."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.databases import Databases
from tests.support.servers import Database, Server

pytestmark = pytest.mark.versions_alike

CLEARED = {
    "tables": (
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a) PARTITION BY RANGE (a);"
        "CREATE VIEW c AS TABLE a; CREATE MATERIALIZED VIEW d AS TABLE c; CREATE SEQUENCE e;"
        "CREATE TABLE f (id int GENERATED ALWAYS AS IDENTITY, other serial)",
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    ),
    "types and functions": (
        "CREATE TYPE a AS ENUM ('x'); CREATE DOMAIN b AS a; CREATE TYPE c AS (b b);"
        "CREATE FUNCTION d(c) RETURNS a LANGUAGE sql AS 'SELECT ($1).b'; CREATE PROCEDURE e() LANGUAGE sql AS ''",
        "SELECT (SELECT count(*) FROM pg_type WHERE oid >= 16384) + (SELECT count(*) FROM pg_proc WHERE oid >= 16384)",
    ),
    "schemas": (
        'CREATE SCHEMA "Shop" CREATE TABLE "A, b" (id int); CREATE TEMP TABLE t (id int)',
        "SELECT count(*) FROM pg_namespace WHERE oid >= 16384",
    ),
    "what refuses": (
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END';"
        "CREATE EVENT TRIGGER no ON ddl_command_end EXECUTE FUNCTION no()",
        "SELECT count(*) FROM pg_event_trigger",
    ),
}
THROWN_AWAY = {
    "settings": (
        "ALTER DATABASE {name} SET lock_timeout = '1s'",
        "SELECT count(*) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
        " WHERE datname = current_database()",
    ),
    "grants on public": (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "SELECT has_schema_privilege('pg_monitor', 'public', 'CREATE')::int",
    ),
    "grants on the database": (
        "GRANT CREATE ON DATABASE {name} TO PUBLIC",
        "SELECT has_database_privilege('pg_monitor', current_database(), 'CREATE')::int",
    ),
    "a comment on public": (
        "COMMENT ON SCHEMA public IS 'ours'",
        "SELECT (obj_description('public'::regnamespace) = 'ours')::int",
    ),
    "no public": (
        "DROP SCHEMA public",
        "SELECT 1 - count(*) FROM pg_namespace WHERE nspname = 'public'",
    ),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "SELECT count(*) FROM pg_default_acl",
    ),
    "operators": (
        "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
        "SELECT count(*) FROM pg_operator WHERE oid >= 16384",
    ),
    "large objects": ("SELECT lo_create(0)", "SELECT count(*) FROM pg_largeobject_metadata"),
}


OID = "SELECT oid FROM pg_database WHERE datname = current_database()"


@pytest.mark.parametrize(
    ("left", "remaining"), [*CLEARED.values(), *THROWN_AWAY.values()], ids=[*CLEARED, *THROWN_AWAY]
)
def test_nothing_comes_back(left: str, remaining: str, server: Server) -> None:
    databases = Databases(server.admin_url)
    first, second = (Database(server, databases.take()) for _ in range(2))
    first.execute(left.format(name=first.name))
    assert first.value(remaining) != 0, "nothing was left"
    for one in (first, second):
        databases.give_back(one.name)
    later = [Database(server, databases.take()) for _ in range(2)]
    assert [one.value(remaining) for one in later] == [0, 0]
    assert not {first.name, second.name} & {one.name for one in later}
    for one in later:
        databases.drop(one.name)


@pytest.mark.parametrize("left", [left for left, _ in CLEARED.values()], ids=CLEARED)
def test_most_databases_are_used_again(left: str, server: Server) -> None:
    databases = Databases(server.admin_url)
    one, other = (Database(server, databases.take()) for _ in range(2))
    known = one.value(OID)
    for database in (one, other):
        database.execute(left)
        databases.give_back(database.name)
    again = Database(server, databases.take())
    assert again.value(OID) == known
    databases.drop(again.name)


def test_connections_end_with_the_test(server: Server) -> None:
    databases = Databases(server.admin_url)
    first = Database(server, databases.take())
    with first.connect() as late, first.connect() as open_transaction:
        open_transaction.execute("BEGIN; CREATE TABLE a (id int)")
        databases.give_back(first.name)
        for connection in (late, open_transaction):
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
