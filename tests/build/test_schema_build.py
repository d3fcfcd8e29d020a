"""Schema files built in a throwaway database: order, places of errors, and nothing outside the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from confiture.core.build.schema_build import built_database
from confiture.core.throwaway.server import open_throwaway_server
from confiture.errors import BuildFailed, ConfitureError, Diagnostic, InputError
from confiture.plan.schema_script import load_schema_script
from tests.build.test_throwaway import left_over, settings_of, target_of
from tests.support.projects import Project
from tests.support.servers import Database


@contextmanager
def built(shop: Project) -> Iterator[psycopg.Connection]:
    script = load_schema_script(settings_of(shop), {})
    with (
        open_throwaway_server(settings_of(shop), target_of(shop.environ["DATABASE_URL"])) as server,
        built_database(server, script, purpose="test") as database,
        psycopg.connect(database.target.conninfo) as connection,
    ):
        yield connection


def failure(shop: Project, kind: type[ConfitureError] = BuildFailed) -> Diagnostic:
    with pytest.raises(kind) as failed, built(shop):
        raise AssertionError("it was built")
    return failed.value.diagnostics[0]


def test_files_are_built_in_path_order_each_in_a_fresh_session(shop, database):
    shop.ddl("02_read/010_totals.sql", "CREATE VIEW r_totals AS SELECT count(*) FROM w_orders")
    shop.ddl("01_write/010_orders.sql", "SET search_path = app; SET ROLE NONE; CREATE TABLE w_orders (id int);")
    shop.ddl("00_app.sql", "CREATE SCHEMA app;\nCREATE TABLE public.w_orders (id bigint);;")
    shop.ddl("03_index.sql", "CREATE INDEX CONCURRENTLY i ON w_orders (id)")
    shop.ddl("empty.sql", "-- nothing\n")
    shop.ddl("04_rows.sql.j2", "INSERT INTO w_orders SELECT {{ vars.first }}")
    shop.write("confiture.yaml", "vars: {first: 7}")
    with built(shop) as connection:
        assert connection.execute("SELECT * FROM r_totals").fetchone() == (1,)
        assert connection.execute("SELECT * FROM w_orders").fetchone() == (7,)
        (view,) = connection.execute("SELECT pg_get_viewdef('r_totals')").fetchall()
        assert view[0].endswith("FROM w_orders;")
        valid = connection.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass").fetchall()
        assert valid == [(True,)]
    assert left_over(database.server) == []
    assert database.value("SELECT count(*) FROM pg_class WHERE relname = 'w_orders'") == 0


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("CREATE TABLE t (é text);\nCREATE TABLE u (a int REFERENCES t (b));", "2:1", "42703"),
        ("CREATE TABLE é ();\n\nSELECT 1;\n  SELECT é,\n nothing FROM é;", "5:2", "42703"),
        ("SELECT 1; SELECT 2;; CREATE TABLE t ();\n/* ü */ CREATE TABLE t ();\nSELECT 1", "2:9", "42P07"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\n  SELECT nothing\n$$", "2:10", "42703"),
        ("DO $$ BEGIN\n RAISE 'no'; END $$;", "1:1", "P0001"),
    ],
    ids=["no-position", "position", "after-empty-statements", "in-a-body", "do"],
)
def test_the_failed_statement_is_located(shop, database, text, place, code):
    shop.ddl("010_first.sql", "CREATE TABLE first ();")
    shop.ddl("020_bad.sql", text)
    diagnostic = failure(shop)
    assert (str(diagnostic.span), diagnostic.code) == (f"schemas/020_bad.sql:{place}", code)
    assert left_over(database.server) == []


@pytest.mark.versions_alike
@pytest.mark.parametrize(
    ("early", "late", "name"),
    [
        ("CREATE VIEW v AS SELECT * FROM late", "CREATE TABLE late ()", "relation late"),
        ("CREATE TABLE t (a int DEFAULT late(1))", "CREATE FUNCTION late(int) RETURNS int RETURN 1", "function late"),
        ('CREATE TABLE t (a "Late")', 'CREATE TYPE "Late" AS ENUM ()', "type Late"),
        ("CREATE TABLE late.t ()", "CREATE SCHEMA late", "schema late"),
        ("SELECT 1 @@@@ 2", "CREATE OPERATOR @@@@ (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int)", "operator @@@@"),
        ("COMMENT ON TABLE late IS 'x'", "CREATE TABLE x AS SELECT 1;\nCREATE SEQUENCE late", "relation late"),
    ],
    ids=["table", "function", "type", "schema", "operator", "sequence"],
)
def test_the_file_that_creates_a_missing_object_is_named(shop, early, late, name):
    shop.ddl("010_early.sql", early)
    shop.ddl("020_late.sql", late)
    diagnostic = failure(shop)
    line = late.count("\n") + 1
    assert diagnostic.detail[-1] == f"schemas/020_late.sql:{line}:1 creates the {name}, but runs later"
    assert "rename the files so that schemas/020_late.sql comes before schemas/010_early.sql" in str(diagnostic.hint)


_REFUSED = {
    "role": "CREATE ROLE app",
    "role-set": "ALTER ROLE postgres SET work_mem = '1MB'",
    "membership": "GRANT pg_monitor TO postgres",
    "database": "COMMENT ON DATABASE postgres IS 'x'",
    "privilege": "GRANT CONNECT ON DATABASE postgres TO PUBLIC",
    "owner": "ALTER TABLESPACE pg_default OWNER TO postgres",
    "rename": "ALTER DATABASE postgres RENAME TO other",
    "database-privilege": "REVOKE ALL ON DATABASE postgres FROM PUBLIC",
    "tablespace-privilege": "GRANT CREATE ON TABLESPACE pg_default TO PUBLIC",
    "reassign": "REASSIGN OWNED BY bob TO alice",
    "drop-owned": "DROP OWNED BY bob",
    "parameter": "GRANT SET ON PARAMETER log_statement TO PUBLIC",
    "program": "COPY (SELECT 1) TO PROGRAM 'cat'",
    "file": "COPY (SELECT 1) TO '/tmp/x'",
    "dblink": "SELECT dblink_exec('', 'DROP TABLE x')",
    "slot": "SELECT pg_create_physical_replication_slot('x')",
    "subscription": "ALTER SUBSCRIPTION s DISABLE",
}


@pytest.mark.parametrize("statement", _REFUSED.values(), ids=_REFUSED.keys())
def test_statements_that_reach_beyond_the_database_are_refused_before_anything_runs(project, statement):
    project.ddl("010_role.sql", f"CREATE TABLE t ();\n  {statement};")
    script = load_schema_script(settings_of(project), {})
    (effect,) = script.outside_effects
    assert (effect.code, str(effect.span)) == ("beyond-database", "schemas/010_role.sql:2:3")


def test_no_role_is_created_on_the_targets_server(shop, database):
    shop.ddl("010_roles.sql", "CREATE ROLE app;")
    assert failure(shop, InputError).code == "beyond-database"
    block = "DO $$ BEGIN IF true THEN CREATE ROLE {}; END IF; END $$;"
    shop.ddl("010_roles.sql", block.format(f"{database.name}_app"))
    diagnostic = failure(shop)
    assert diagnostic.code == "beyond-database"
    assert "pg_authid" in diagnostic.message
    assert str(diagnostic.span) == "schemas/010_roles.sql:1:1"
    assert database.value(f"SELECT count(*) FROM pg_roles WHERE rolname = '{database.name}_app'") == 0


_HIDDEN = {
    "database-setting": "ALTER DATABASE {name} SET work_mem = '1MB'",
    "database-comment": "COMMENT ON DATABASE {name} IS 'x'",
    "database-grant": "GRANT CREATE ON DATABASE {name} TO {role}",
    "database-revoke": "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
    "database-owner": "ALTER DATABASE {name} OWNER TO {role}",
    "tablespace-grant": "GRANT CREATE ON TABLESPACE pg_default TO {role}",
    "parameter-grant": "GRANT SET ON PARAMETER log_statement TO {role}",
    "role-setting": "ALTER ROLE {role} SET work_mem = '1MB'",
    "role-rename": "ALTER ROLE {role} RENAME TO {role}_2",
    "role-dropped": "DROP ROLE {role}_idle",
    "membership": "GRANT pg_monitor TO {role}",
    "reassign": "REASSIGN OWNED BY {role}_owner TO {role}",
    "drop-owned": "DROP OWNED BY {role}_granted",
    "catalog-update": "UPDATE pg_database SET datconnlimit = 7 WHERE datname = '{name}'",
    "catalog-delete": "DELETE FROM pg_shdepend WHERE refobjid = '{role}_granted'::regrole",
}
_SHARED = """
SELECT (SELECT jsonb_agg(to_jsonb(d) - 'datfrozenxid' - 'datminmxid' ORDER BY d.oid) FROM pg_database d
        WHERE datname NOT LIKE 'confiture%'),
       (SELECT jsonb_agg(to_jsonb(t) ORDER BY oid) FROM pg_tablespace t),
       (SELECT jsonb_agg(to_jsonb(r) ORDER BY oid) FROM pg_authid r),
       (SELECT jsonb_agg(to_jsonb(m) ORDER BY roleid, member) FROM pg_auth_members m),
       (SELECT jsonb_agg(to_jsonb(s) ORDER BY setdatabase, setrole) FROM pg_db_role_setting s),
       (SELECT jsonb_agg(to_jsonb(a) ORDER BY oid) FROM pg_parameter_acl a),
       (SELECT jsonb_agg(to_jsonb(c) ORDER BY objoid) FROM pg_shdescription c)
"""
_CALLERS = {
    "block": "DO $$ BEGIN {}; END $$;",
    "subtransaction": "DO $$ BEGIN BEGIN BEGIN {}; END; EXCEPTION WHEN OTHERS THEN RAISE; END; END $$;",
    "view": "CREATE MATERIALIZED VIEW m AS SELECT change();",
    "trigger": "INSERT INTO fired VALUES (1);",
    "deferred": "INSERT INTO deferred VALUES (1);",
}
_FUNCTIONS = """
CREATE FUNCTION change() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {0}; RETURN 1; END $f$;
CREATE FUNCTION react() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {0}; RETURN NULL; END $f$;
CREATE TABLE fired (a int);
CREATE TRIGGER r AFTER INSERT ON fired FOR EACH ROW EXECUTE FUNCTION react();
CREATE TABLE deferred (a int);
CREATE CONSTRAINT TRIGGER r AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION react();
"""


@pytest.fixture
def shared_roles(database: Database) -> Iterator[str]:
    """Roles that own the database, have privileges on it, or nothing. Yields the prefix of their names."""
    role = f"{database.name}_r"
    for name in (role, f"{role}_idle", f"{role}_owner", f"{role}_granted"):
        database.execute(f"CREATE ROLE {name}")
    database.execute(f"ALTER DATABASE {database.name} OWNER TO {role}_owner")
    database.execute(f"GRANT CONNECT ON DATABASE {database.name} TO {role}_granted")
    yield role
    database.execute(f"ALTER DATABASE {database.name} OWNER TO CURRENT_USER")
    database.execute(f"REVOKE ALL ON DATABASE {database.name} FROM {role}_granted")
    for name in (role, f"{role}_idle", f"{role}_owner", f"{role}_granted"):
        database.execute(f"DROP ROLE {name}")


def refused_at(shop: Project, database: Database, statement: str, caller: str) -> str:
    """Build a statement that a function or block hides, and return the place of the refusal."""
    dynamic = f"EXECUTE {psycopg.sql.quote(statement)}"
    shop.ddl("010_functions.sql", _FUNCTIONS.format(dynamic))
    shop.ddl("020_change.sql", f"CREATE TABLE t (a int);\n {_CALLERS[caller].format(dynamic)}\nCREATE TABLE u ();")
    shop.ddl("030_more.sql", "CREATE TABLE v ();")
    before = database.rows(_SHARED)
    diagnostic = failure(shop)
    assert diagnostic.code == "beyond-database"
    assert database.rows(_SHARED) == before
    return str(diagnostic.span)


@pytest.mark.versions_alike
@pytest.mark.parametrize("statement", _HIDDEN.values(), ids=_HIDDEN.keys())
def test_blocks_that_change_shared_objects_are_rolled_back(shop, database, shared_roles, statement):
    hidden = statement.format(name=database.name, role=shared_roles)
    assert refused_at(shop, database, hidden, "block") == "schemas/020_change.sql:2:2"


@pytest.mark.parametrize("caller", _CALLERS.keys())
def test_the_statement_that_reaches_a_shared_object_is_located(shop, database, shared_roles, caller):
    hidden = f"GRANT CREATE ON DATABASE {database.name} TO {shared_roles}"
    assert refused_at(shop, database, hidden, caller) == "schemas/020_change.sql:2:2"


def test_changes_of_other_sessions_and_in_the_own_database_are_allowed(shop, database, shared_roles):
    shop.ddl(
        "010.sql", f"CREATE TABLE t (); GRANT SELECT ON t TO {shared_roles}; ALTER TABLE t OWNER TO {shared_roles};"
    )
    shop.ddl(
        "020.sql",
        "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        f"CREATE EVENT TRIGGER e ON {'login' if database.server.version >= 17 else 'sql_drop'} EXECUTE FUNCTION e();",
    )
    script = load_schema_script(settings_of(shop), {})

    def change(number: int, _: object) -> None:
        database.execute(f"ALTER ROLE {shared_roles} SET work_mem = '{number + 1}MB'")
        database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {shared_roles}")

    with (
        open_throwaway_server(settings_of(shop), target_of(shop.environ["DATABASE_URL"])) as server,
        built_database(server, script, purpose="test", on_file=change),
    ):
        pass
    database.execute(f"REVOKE ALL ON DATABASE {database.name} FROM {shared_roles}")


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("CREATE TABLE t (a int);\nCOPY t (a) FROM stdin;\n1\n2\n\\.\n", "2:1", "copy-from-client"),
        ("SELECT 1;\n\\i other.sql\n", "2:1", "sql-syntax"),
        ("SELECT 1; BEGIN;", "1:11", "transaction-control"),
        ("CREATE TABLE t ();\nVACUUM t;", "2:1", "not-in-transaction"),
        ("CREATE DATABASE other", "1:1", "not-in-transaction"),
        ("SELECT {{ nothing }}", "1:8", "sql-syntax"),
    ],
    ids=["copy", "psql", "transaction", "vacuum", "database", "template"],
)
def test_mistakes_are_found_before_anything_connects(project, text, place, code):
    project.ddl("010_a.sql", text)
    project.ddl("020_b.sql", "SELEC 1")
    project.ddl("030_c.sql.j2", "SELECT {{ vars.unknown }}")
    with pytest.raises(InputError) as failed:
        load_schema_script(settings_of(project), {})
    first, second, third = failed.value.diagnostics
    assert (str(first.span), first.code) == (f"schemas/010_a.sql:{place}", code)
    assert str(second.span) == "schemas/020_b.sql:1:1"
    assert str(third.span) == "schemas/030_c.sql.j2:1:1"


def test_lines_that_only_pg_dump_and_psql_need_are_skipped(shop):
    shop.ddl("010_dump.sql", "\\restrict abcXYZ09\nSET check_function_bodies = false;\nSELEC;\n\\unrestrict abcXYZ09\n")
    assert str(failure(shop, InputError).span) == "schemas/010_dump.sql:3:1"
    shop.ddl("010_dump.sql", "\\restrict abcXYZ09\nCREATE TABLE t ();\n\\unrestrict abcXYZ09\n")
    with built(shop) as connection:
        assert connection.execute("SELECT to_regclass('t')::text").fetchone() == ("t",)
