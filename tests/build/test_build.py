"""`confiture build`: into an empty database, as a check, as one file, and as a template database."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.build.test_throwaway import left_over
from tests.support.projects import Project
from tests.support.servers import Database, Roles, Server

ORDERS = "CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric);\n"
TOTALS = "CREATE VIEW r_totals AS SELECT sum(amount) AS total FROM w_orders;\n"


@pytest.fixture
def schema(shop: Project) -> Project:
    """A project with two schema files."""
    shop.ddl("01_write/010_orders.sql", ORDERS)
    shop.ddl("02_read/010_totals.sql", TOTALS)
    return shop


def test_an_empty_database_is_built(schema, database):
    database.execute("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext")
    result = schema.run("build")
    assert "from 2 files, 2 statements in" in result.out
    assert database.rows("TABLE r_totals") == [(None,)]
    again = schema.run("build", expect=2)
    assert "is not empty: it contains 1 table, 1 view" in again.err
    assert "table public.w_orders" in again.err
    assert "view public.r_totals" in again.err


@pytest.mark.versions_alike
@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE SCHEMA app", "schema app"),
        ("CREATE FUNCTION f() RETURNS int RETURN 1", "function public.f()"),
        ("CREATE TYPE mood AS ENUM ('sad')", "type public.mood"),
        ("CREATE SEQUENCE q", "sequence public.q"),
        ("SELECT lo_create(77777)", "large object 77777"),
        ("CREATE PUBLICATION p", "publication p"),
        ("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION suppress_redundant_updates_trigger()", ""),
    ],
    ids=["schema", "function", "type", "sequence", "large-object", "publication", "event-trigger"],
)
def test_a_database_with_any_object_is_refused(schema, database, statement, named):
    if not named:
        statement = (
            "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
            "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e()"
        )
        named = "event trigger e"
    database.execute(statement)
    assert named in schema.run("build", expect=2).err
    assert database.value("SELECT to_regclass('w_orders') IS NULL")


def test_a_failed_build_leaves_nothing(schema, database):
    schema.ddl("03_bad.sql", "CREATE TABLE r_more ();\nCREATE TABLE w_orders ();")
    result = schema.run("build", expect=4)
    assert "schemas/03_bad.sql:2:1" in result.err
    assert database.value("SELECT count(*) FROM pg_class WHERE relname ~ '^(w|r)_'") == 0
    failed = schema.run("build", "--format", "json", expect=4).json
    assert failed["format"] == "confiture.diagnostics"
    assert failed["diagnostics"][0]["code"] == "42P07"


def test_roles_are_created_only_outside_throwaway_databases(schema, database):
    role = f"{database.name}_app"
    schema.ddl("00_roles.sql", f"CREATE ROLE {role};")
    assert "00_roles.sql:1:1" in schema.run("build", "--check", expect=2).err
    schema.run("build")
    assert database.value(f"SELECT count(*) FROM pg_roles WHERE rolname = '{role}'") == 1
    database.execute(f"DROP ROLE {role}")


def test_a_protected_environment_needs_confirmation(schema, database):
    schema.write("confiture.yaml", "environments: {production: {protected: true}}")
    schema.environ["CONFITURE_ENV"] = "production"
    for option in ([], ["--as-template", "shop"]):
        assert "the environment 'production' is protected" in schema.run("build", *option, expect=2).err
    schema.run("build", "--check")
    schema.run("build", "--confirm", "production")
    assert database.value("SELECT count(*) FROM w_orders") == 0


def test_check_builds_elsewhere(schema, database):
    database.execute("CREATE TABLE something ()")
    report = schema.run("build", "--check", "--format", "json").json
    assert {key: report[key] for key in ("format", "action", "files", "statements", "notes", "unchanged")} == {
        "format": "confiture.build",
        "action": "check",
        "files": 2,
        "statements": 2,
        "notes": [],
        "unchanged": False,
    }
    assert database.value("SELECT to_regclass('w_orders') IS NULL")
    schema.ddl("02_read/010_totals.sql", TOTALS.replace("amount", "amounts"))
    failed = schema.run("build", "--check", expect=1)
    assert "02_read/010_totals.sql:1:" in failed.err
    assert left_over(database.server) == []


def test_check_works_for_a_role_that_may_do_nothing(project, roles: Roles, server_18):
    project.write("confiture.yaml", f"database: {{throwaway_url: '{server_18.admin_url}'}}")
    project.environ["DATABASE_URL"] = roles.url(roles.reader)
    project.ddl("010.sql", f"CREATE TABLE t (); GRANT SELECT ON t TO {roles.migrator}")
    result = project.run("build", "--check")
    assert "cannot create databases" in result.err
    server_18.execute(f"DROP ROLE IF EXISTS {roles.migrator}") if roles.database.server is not server_18 else None


def test_a_missing_extension_is_named(project, database_18):
    project.environ["DATABASE_URL"] = database_18.url
    database_18.execute("CREATE SCHEMA app; CREATE EXTENSION citext SCHEMA app")
    project.ddl("010.sql", "CREATE SCHEMA app; CREATE TABLE app.t (a app.citext)")
    failed = project.run("build", "--check", expect=1)
    assert "citext is missing: the schema files create its schema app, but not the extension" in failed.err
    project.ddl("010.sql", "CREATE SCHEMA app; CREATE EXTENSION citext SCHEMA app; CREATE TABLE app.t (a app.citext)")
    project.run("build", "--check")


def test_the_output_builds_the_same_with_psql(schema, database, tmp_path):
    schema.ddl("03_more.sql", "SET search_path = app;\nCREATE SCHEMA app; CREATE TABLE t (a int) -- no end;")
    schema.ddl("04_last.sql.j2", "CREATE TABLE {{ vars.table }} ();")
    schema.write("confiture.yaml", "vars: {table: last}")
    schema.ddl("05_index.sql", "CREATE INDEX CONCURRENTLY i ON w_orders (amount); -- ü")
    schema.run("build", "--output", "all.sql")
    script = (schema.root / "all.sql").read_text()
    assert script.index("010_orders.sql") < script.index("010_totals.sql") < script.index("05_index.sql")
    command = [database.server.programs / "psql", "-1", "-X", "-v", "ON_ERROR_STOP=1", "-f", "all.sql", database.url]
    subprocess.run(list(map(str, command)), cwd=schema.root, check=True, capture_output=True)
    loaded = database.dump()
    database.execute("DROP VIEW r_totals; DROP TABLE w_orders, last; DROP SCHEMA app CASCADE")
    schema.run("build")
    assert database.dump() == loaded
    assert "CREATE TABLE public.last" in loaded
    refused = schema.run("build", "--output", "nowhere/all.sql", expect=2)
    assert "--output" in refused.err


def test_secrets_are_not_written_to_a_file(schema):
    schema.write("confiture.yaml", "vars: {api_token: geheim}")
    schema.ddl("03_secret.sql.j2", "COMMENT ON TABLE w_orders IS '{{ vars.api_token }}'")
    refused = schema.run("build", "--output", "all.sql", expect=2)
    assert "03_secret.sql.j2" in refused.err
    assert not (schema.root / "all.sql").exists()


@pytest.fixture
def template(database: Database) -> Iterator[str]:
    """The name of a template database, which is dropped afterwards."""
    name = f"template_{os.getpid()}"
    yield name
    with psycopg.connect(database.server.admin_url, autocommit=True) as connection:
        if connection.execute(f"SELECT FROM pg_database WHERE datname = '{name}'").fetchone():
            connection.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")
            connection.execute(f"DROP DATABASE {name}")


def columns_in_copy(server: Server, template: str) -> list[str]:
    """The columns of w_orders in a copy of the template."""
    copy = f"{template}_copy"
    server.execute(f"CREATE DATABASE {copy} TEMPLATE {template}")
    try:
        with psycopg.connect(server.url(copy)) as connection:
            query = "SELECT attname FROM pg_attribute WHERE attrelid = 'w_orders'::regclass AND attnum > 0"
            return [name for (name,) in connection.execute(query).fetchall()]
    finally:
        server.execute(f"DROP DATABASE {copy}")


def test_a_template_is_rebuilt_only_if_its_content_changes(schema, database, template):
    assert schema.run("build", "--as-template", template, "--format", "json").json["unchanged"] is False
    assert columns_in_copy(database.server, template) == ["id", "amount"]
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(database.server.url(template))
    assert "is up to date" in schema.run("build", "--as-template", template).out
    schema.ddl("01_write/010_orders.sql", ORDERS.replace("amount", "amount numeric, note"))
    schema.run("build", "--as-template", template)
    assert columns_in_copy(database.server, template) == ["id", "amount", "note"]
    schema.ddl("03_bad.sql", "SELEC")
    schema.run("build", "--as-template", template, expect=2)
    schema.ddl("03_bad.sql", "SELECT nothing")
    schema.run("build", "--as-template", template, expect=4)
    assert columns_in_copy(database.server, template) == ["id", "amount", "note"]
    assert left_over(database.server) == []


def test_a_database_of_somebody_else_is_not_replaced(schema, database):
    refused = schema.run("build", "--as-template", database.name, expect=2)
    assert "is not a template of `confiture build`" in refused.err
    assert "name of 1 to 63 bytes" in schema.run("build", "--as-template", "x" * 64, expect=2).err


def test_a_template_needs_the_right_to_create_databases(schema, roles: Roles):
    schema.environ["DATABASE_URL"] = roles.url(roles.migrator)
    schema.write("confiture.yaml", f"database: {{throwaway_url: '{roles.database.server.admin_url}'}}")
    assert "cannot create a template database" in schema.run("build", "--as-template", "shop", expect=2).err


def test_dependencies_decide_the_order(schema, database):
    schema.write("confiture.yaml", "build: {order: dependencies}")
    schema.ddl(
        "00_first.sql",
        "SET search_path = app, public;"
        "CREATE TABLE items (o bigint REFERENCES w_orders, m mood, n int DEFAULT next());"
        "CREATE TRIGGER t BEFORE INSERT ON items EXECUTE FUNCTION app.stamp(); COMMENT ON COLUMN items.o IS 'x';"
        "GRANT SELECT ON public.r_totals TO PUBLIC; CREATE TABLE c (s int DEFAULT nextval('app.numbers'))",
    )
    schema.ddl(
        "01_a.sql", "CREATE FUNCTION app.next() RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM r_totals'"
    )
    schema.ddl("99_z.sql", "CREATE SCHEMA app; CREATE TYPE mood AS ENUM ('sad'); CREATE SEQUENCE app.numbers;")
    schema.ddl("98_y.sql", "CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    schema.run("build")
    assert database.value("SELECT count(*) FROM app.items") == 0
    schema.run("build", "--output", "all.sql")
    lines = (schema.root / "all.sql").read_text().splitlines()
    order = [line.removeprefix("-- schemas/") for line in lines if line.startswith("-- schemas/")]
    tables, rest = ["01_write/010_orders.sql", "02_read/010_totals.sql"], ["01_a.sql", "98_y.sql", "00_first.sql"]
    assert order == [*tables, "99_z.sql", *rest]


def test_files_that_need_each_other_are_named(schema):
    schema.write("confiture.yaml", "build: {order: dependencies}")
    schema.ddl("01_write/020_a.sql", "CREATE TABLE a (id int PRIMARY KEY,\n  b int REFERENCES b)")
    schema.ddl("01_write/030_b.sql", "CREATE TABLE b (id int PRIMARY KEY, c int REFERENCES c)")
    schema.ddl("01_write/040_c.sql", "CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a)")
    result = schema.run("build", expect=2)
    assert "schemas/01_write/020_a.sql:2:20" in result.err
    assert (
        "020_a.sql -> schemas/01_write/030_b.sql -> schemas/01_write/040_c.sql -> schemas/01_write/020_a" in result.err
    )
    assert "schemas/01_write/030_b.sql:1:54 needs c from schemas/01_write/040_c.sql" in result.err


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("option", ["--check", "--as-template=unfinished"], ids=["check", "template"])
@pytest.mark.versions_alike
def test_an_interrupted_build_drops_its_database(shop, database, option, signal_number):
    shop.ddl("010_slow.sql", f"SELECT pg_sleep(60), '{database.name}';")
    process = shop.start("build", option)
    deadline = time.monotonic() + 60
    while not _is_sleeping(database):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal_number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert left_over(database.server) == []


def _is_sleeping(database: Database) -> bool:
    query = (
        f"SELECT FROM pg_stat_activity WHERE query LIKE '%sleep(60), ''{database.name}%' AND pid <> pg_backend_pid()"
    )
    return bool(database.rows(query))


def test_options_exclude_each_other(project):
    assert (
        "--check and --as-template are mutually exclusive"
        in project.run("build", "--check", "--as-template", "x", expect=2).err
    )
    assert "there are no schema files" in project.run("build", "--output", "x", expect=2).err
