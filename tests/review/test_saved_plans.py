"""Saved plans: what was reviewed is what runs, and any other change is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from confiture import project as library
from confiture.core.commands import UpOptions
from confiture.core.review.saved_plans import PlanGuard
from confiture.errors import Drift
from confiture.files.saved_plans import read_saved_plan
from confiture.models.events import MigrationFinished
from tests.support.projects import Project, Result
from tests.support.servers import Database, Server, new_database

SETTINGS = """
project: shop
database: {lock_timeout: 2s, max_blocking: 1s, retries: 3}
vars: {size: 10, owner: "{{ env.TABLE_OWNER }}"}
tenancy: {column: tenant_id, tables: [w_*], except: [w_static_*]}
linting:
  block_migrations: error
  baseline: known.json
  rules: [{type: no_lock_timeout, severity: "off"}, {type: cascade_or_truncate, severity: info}]
environments:
  production: {window: 1h, free_space: 1GB}
  staging: {}
"""
FILES = {
    "confiture.yaml": SETTINGS,
    "known.json": '{"format": "confiture.baseline", "version": 2, "findings": []}',
    "shop_hooks.py": """
        from shop_names import NAME
        from confiture.core import Hook, HookPhase, register_hook
        class Announce(Hook):
            phase = HookPhase.CLEANUP
            def execute(self, conn, context):
                conn.execute("SELECT 1")
        register_hook(NAME, Announce)
    """,
    "shop_names.py": 'NAME = "announce"\n',
    "schemas/orders.sql.j2": "ALTER TABLE w_orders ADD COLUMN size_{{ size }} int;\n",
    "migrations/001_base.yaml": "ddl: [{sql: SELECT 1}]\n",
    "migrations/002_orders.yaml": """
        description: sizes
        ddl: [{file: orders.sql.j2}]
        after_ddl: [{sql: "UPDATE w_orders SET size_10 = weigh(id)"}]
        down: [{sql: ALTER TABLE w_orders DROP COLUMN size_10}]
        on_error: [{sql: SELECT 2}]
    """,
    "migrations/003_new.py": """
        from shop_names import NAME
        from confiture.models import Migration
        class Migration_003(Migration):
            version, name = "003", "new"
            def up(self):
                self.execute(f"CREATE TABLE w_{NAME} (id int PRIMARY KEY, tenant_id int NOT NULL)")
            def down(self):
                self.execute(f"DROP TABLE w_{NAME}")
    """,
    "migrations/004_clear.yaml": """
        ddl: [{sql: TRUNCATE w_old}, {sql: 'ALTER TABLE w_old OWNER TO {{ owner|ident }}'}]
    """,
}
SCHEMA = """
CREATE TYPE state AS ENUM ('new', 'paid');
CREATE FUNCTION weigh(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE w_customers (id int PRIMARY KEY, tenant_id int NOT NULL);
CREATE TABLE w_orders (
    id serial PRIMARY KEY, tenant_id int NOT NULL, customer int REFERENCES w_customers, state state, note text,
    price numeric CONSTRAINT dear CHECK (price > 0)
);
CREATE INDEX w_orders_note ON w_orders (note);
CREATE TRIGGER noted BEFORE INSERT ON w_orders FOR EACH ROW EXECUTE FUNCTION noted();
CREATE VIEW r_orders AS SELECT id, tenant_id FROM w_orders;
CREATE TABLE w_old (id int, tenant_id int);
CREATE TABLE w_elsewhere (id int);
"""


@dataclass(frozen=True)
class Sql:
    """A change of the database, and how to undo it."""

    change: str
    undo: str


@dataclass(frozen=True)
class Text:
    """A change of a file: a text in it is replaced; an empty text appends; None removes the file."""

    path: str
    old: str
    new: str | None


DATABASE = {
    "column added": Sql("ALTER TABLE w_orders ADD x int", "ALTER TABLE w_orders DROP x"),
    "column renamed": Sql("ALTER TABLE w_orders RENAME note TO n", "ALTER TABLE w_orders RENAME n TO note"),
    "column type": Sql("ALTER TABLE w_orders ALTER note TYPE varchar", "ALTER TABLE w_orders ALTER note TYPE text"),
    "default": Sql("ALTER TABLE w_orders ALTER note SET DEFAULT 'x'", "ALTER TABLE w_orders ALTER note DROP DEFAULT"),
    "not null": Sql("ALTER TABLE w_orders ALTER note SET NOT NULL", "ALTER TABLE w_orders ALTER note DROP NOT NULL"),
    "constraint added": Sql(
        "ALTER TABLE w_orders ADD CONSTRAINT c CHECK (id > 0)", "ALTER TABLE w_orders DROP CONSTRAINT c"
    ),
    "constraint changed": Sql(
        "ALTER TABLE w_orders DROP CONSTRAINT dear, ADD CONSTRAINT dear CHECK (price > 1)",
        "ALTER TABLE w_orders DROP CONSTRAINT dear, ADD CONSTRAINT dear CHECK (price > 0)",
    ),
    "foreign key to it": Sql(
        "ALTER TABLE w_elsewhere ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES w_orders",
        "ALTER TABLE w_elsewhere DROP CONSTRAINT f",
    ),
    "table that it refers to": Sql(
        "ALTER TABLE w_customers ALTER id TYPE bigint", "ALTER TABLE w_customers ALTER id TYPE int"
    ),
    "index added": Sql("CREATE INDEX i ON w_orders (price)", "DROP INDEX i"),
    "index changed": Sql(
        "DROP INDEX w_orders_note; CREATE INDEX w_orders_note ON w_orders (note DESC)",
        "DROP INDEX w_orders_note; CREATE INDEX w_orders_note ON w_orders (note)",
    ),
    "trigger added": Sql(
        "CREATE TRIGGER t AFTER INSERT ON w_orders FOR EACH ROW EXECUTE FUNCTION noted()", "DROP TRIGGER t ON w_orders"
    ),
    "trigger disabled": Sql("ALTER TABLE w_orders DISABLE TRIGGER noted", "ALTER TABLE w_orders ENABLE TRIGGER noted"),
    "trigger function": Sql(
        "CREATE OR REPLACE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE OR REPLACE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    ),
    "function called": Sql(
        "CREATE OR REPLACE FUNCTION weigh(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2'",
        "CREATE OR REPLACE FUNCTION weigh(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
    ),
    "function overloaded": Sql(
        "CREATE FUNCTION weigh(bigint) RETURNS int LANGUAGE sql AS 'SELECT 2'", "DROP FUNCTION weigh(bigint)"
    ),
    "policy": Sql("CREATE POLICY p ON w_orders", "DROP POLICY p ON w_orders"),
    "row security": Sql(
        "ALTER TABLE w_orders ENABLE ROW LEVEL SECURITY", "ALTER TABLE w_orders DISABLE ROW LEVEL SECURITY"
    ),
    "rule": Sql("CREATE RULE r AS ON DELETE TO w_orders DO INSTEAD NOTHING", "DROP RULE r ON w_orders"),
    "owner": Sql("ALTER TABLE w_orders OWNER TO pg_monitor", "ALTER TABLE w_orders OWNER TO postgres"),
    "privilege": Sql("GRANT SELECT ON w_orders TO pg_monitor", "REVOKE SELECT ON w_orders FROM pg_monitor"),
    "view of it changed": Sql(
        "CREATE OR REPLACE VIEW r_orders AS SELECT id, tenant_id FROM w_orders WHERE id > 0",
        "CREATE OR REPLACE VIEW r_orders AS SELECT id, tenant_id FROM w_orders",
    ),
    "view of a view": Sql("CREATE VIEW r_more AS SELECT id FROM r_orders", "DROP VIEW r_more"),
    "storage option": Sql("ALTER TABLE w_orders SET (fillfactor = 50)", "ALTER TABLE w_orders RESET (fillfactor)"),
    "replica identity": Sql(
        "ALTER TABLE w_orders REPLICA IDENTITY FULL", "ALTER TABLE w_orders REPLICA IDENTITY DEFAULT"
    ),
    "sequence": Sql("ALTER SEQUENCE w_orders_id_seq INCREMENT 2", "ALTER SEQUENCE w_orders_id_seq INCREMENT 1"),
    "statistics object": Sql("CREATE STATISTICS s ON id, note FROM w_orders", "DROP STATISTICS s"),
    "table renamed": Sql("ALTER TABLE w_orders RENAME TO w_o", "ALTER TABLE w_o RENAME TO w_orders"),
    "child table": Sql("CREATE TABLE w_child () INHERITS (w_orders)", "DROP TABLE w_child"),
    "name of a new table taken": Sql("CREATE TABLE w_announce (id int)", "DROP TABLE w_announce"),
    "empty table filled": Sql("INSERT INTO w_old VALUES (1, 1)", "TRUNCATE w_old"),
    "default privileges": Sql(
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor",
        "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM pg_monitor",
    ),
    "event trigger": Sql(
        "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e()",
        "DROP EVENT TRIGGER e; DROP FUNCTION e",
    ),
    "setting of the database": Sql(
        "ALTER DATABASE {name} SET work_mem = '1MB'", "ALTER DATABASE {name} RESET work_mem"
    ),
    "setting of the role": Sql(
        "ALTER ROLE postgres IN DATABASE {name} SET search_path = public",
        "ALTER ROLE postgres IN DATABASE {name} RESET search_path",
    ),
    "history row edited": Sql(
        "UPDATE confiture.migrations SET attempt = gen_random_uuid()",
        "UPDATE confiture.migrations SET attempt = (SELECT attempt FROM confiture.journal LIMIT 1)",
    ),
    "migration reverted": Sql(
        "CREATE TABLE kept AS TABLE confiture.migrations; DELETE FROM confiture.migrations",
        "INSERT INTO confiture.migrations OVERRIDING SYSTEM VALUE TABLE kept; DROP TABLE kept",
    ),
}  # fmt: skip
TEXTS = {
    "statement of a migration": Text("migrations/002_orders.yaml", "weigh(id)", "weigh(id + 1)"),
    "comment in a migration": Text("migrations/002_orders.yaml", "", "# reviewed\n"),
    "description": Text("migrations/002_orders.yaml", "sizes", "size"),
    "down": Text("migrations/002_orders.yaml", "DROP COLUMN size_10", "DROP COLUMN note"),
    "on_error": Text("migrations/002_orders.yaml", "SELECT 2", "SELECT 3"),
    "requirement": Text("migrations/004_clear.yaml", "", "requires: ['003']\n"),
    "SQL file": Text("schemas/orders.sql.j2", "int", "bigint"),
    "comment in an SQL file": Text("schemas/orders.sql.j2", "", "-- reviewed\n"),
    "SQL file that hides it": Text("migrations/002_orders/orders.sql.j2", "", "SELECT 1;\n"),
    "Python migration": Text("migrations/003_new.py", "id int", "id bigint"),
    "module of a Python migration": Text("shop_names.py", "", "# reviewed\n"),
    "migration before": Text("migrations/0015_more.yaml", "", "ddl: [{sql: SELECT 1}]\n"),
    "migration after": Text("migrations/005_more.yaml", "", "ddl: [{sql: SELECT 1}]\n"),
    "migration removed": Text("migrations/004_clear.yaml", "", None),
    "applied migration": Text("migrations/001_base.yaml", "SELECT 1", "SELECT 2"),
    "invalid file": Text("migrations/002_orders.yaml", "ddl:", "ddl"),
    "lint baseline": Text("known.json", "[]}", "[]} "),
    "lock_timeout": Text("confiture.yaml", "lock_timeout: 2s", "lock_timeout: 3s"),
    "max_blocking": Text("confiture.yaml", "max_blocking: 1s", "max_blocking: 2s"),
    "retries": Text("confiture.yaml", "retries: 3", "retries: 4"),
    "variable": Text("confiture.yaml", "size: 10", "size: 11"),
    "unused variable": Text("confiture.yaml", "size: 10", "size: 10, more: 1"),
    "tenant column": Text("confiture.yaml", "column: tenant_id", "column: id"),
    "tenant tables": Text("confiture.yaml", "[w_*]", "[w_*, r_*]"),
    "tables without tenants": Text("confiture.yaml", "[w_static_*]", "[]"),
    "hooks": Text("confiture.yaml", "", "hooks: [shop_hooks]\n"),
    "block_migrations": Text("confiture.yaml", "block_migrations: error", "block_migrations: warning"),
    "lint rule": Text("confiture.yaml", 'severity: "off"', "severity: info"),
    "window": Text("confiture.yaml", "window: 1h", "window: 2h"),
    "free_space": Text("confiture.yaml", "free_space: 1GB", "free_space: 2GB"),
    "protected": Text("confiture.yaml", "{window", "{protected: true, window"),
    "folder of the SQL files": Text("confiture.yaml", "project: shop\n", "project: shop\nschemas: other\n"),
    "plan: statement": Text("plan.json", "size_10", "size_12"),
    "plan: hash": Text("plan.json", '"hash": "', '"hash": "0'),
    "plan: expiry": Text("plan.json", '"expires_at": "2', '"expires_at": "3'),
}  # fmt: skip


@dataclass
class Saved:
    """A project with a saved plan that is never applied, because each test changes something first."""

    project: Project
    database: Database

    def up(self, *arguments: str, expect: int | None = None) -> Result:
        return self.project.run("migrate", "up", "--plan", "plan.json", *arguments, expect=expect)


def write_project(project: Project, database: Database) -> Project:
    project.environ |= {"DATABASE_URL": database.url, "TABLE_OWNER": "pg_monitor"}
    for path, text in FILES.items():
        project.write(path, dedent(text))
    (project.root / "other").mkdir()
    database.execute(SCHEMA)
    project.run("migrate", "up", "--to", "001", "--env", "production")
    project.run("migrate", "plan", "--env", "production", "--out", "plan.json")
    return project


@pytest.fixture(scope="module")
def module_database(server_18: Server) -> Iterator[Database]:
    yield from new_database(server_18)


@pytest.fixture(scope="module")
def saved(module_database: Database, tmp_path_factory: pytest.TempPathFactory, uses_server: None) -> Saved:
    root = tmp_path_factory.mktemp("saved")
    return Saved(write_project(Project(root), module_database), module_database)


@contextmanager
def changed(root: Path, text: Text) -> Iterator[None]:
    path = root / text.path
    former = path.read_text() if path.exists() else None
    if text.new is None:
        path.unlink()
    else:
        path.parent.mkdir(exist_ok=True)
        content = former or ""
        assert text.old in content
        path.write_text(content.replace(text.old, text.new) if text.old else content + text.new)
    try:
        yield
    finally:
        if former is None:
            path.unlink()
            if path.parent.name == "002_orders":
                path.parent.rmdir()
        else:
            path.write_text(former)


@pytest.mark.parametrize("kind", DATABASE)
def test_a_change_of_the_database_is_refused(saved: Saved, kind: str) -> None:
    statements = DATABASE[kind]
    saved.database.execute(statements.change.format(name=saved.database.name))
    try:
        refused = saved.up()
    finally:
        saved.database.execute(statements.undo.format(name=saved.database.name))
    assert refused.code == 7, refused
    assert "error[plan-differs]" in refused.err


@pytest.mark.parametrize("kind", TEXTS)
def test_a_change_of_a_file_or_a_setting_is_refused(saved: Saved, kind: str) -> None:
    with changed(saved.project.root, TEXTS[kind]):
        refused = saved.up()
    assert refused.code == 7, refused


def other_environment(saved: Saved) -> Result:
    return saved.up("--env", "staging")


def environment_variable(saved: Saved) -> Result:
    saved.project.environ["TABLE_OWNER"] = "postgres"
    try:
        return saved.up()
    finally:
        saved.project.environ["TABLE_OWNER"] = "pg_monitor"


def other_database(saved: Saved) -> Result:
    saved.database.server.execute(f"CREATE DATABASE {saved.database.name}_copy TEMPLATE {saved.database.name}")
    try:
        return saved.up("--database", saved.database.url.replace(saved.database.name, f"{saved.database.name}_copy"))
    finally:
        saved.database.server.execute(f"DROP DATABASE {saved.database.name}_copy")


def other_role(saved: Saved) -> Result:
    saved.database.execute("CREATE ROLE other_migrator SUPERUSER LOGIN")
    try:
        return saved.up("--database", saved.database.url.replace("postgres@", "other_migrator@"))
    finally:
        saved.database.execute("DROP ROLE other_migrator")


def option_of_the_url(saved: Saved) -> Result:
    return saved.up("--database", f"{saved.database.url}&options=-cstatement_timeout%3D9s")


@pytest.mark.parametrize(
    "change",
    [other_environment, environment_variable, other_database, other_role, option_of_the_url],
    ids=lambda change: change.__name__,
)
def test_another_target_is_refused(saved: Saved, change: Callable[[Saved], Result]) -> None:
    assert change(saved).code == 7


def test_there_are_fifty_kinds() -> None:
    assert len(DATABASE) + len(TEXTS) + 5 >= 50


@pytest.mark.parametrize(
    "option", [("--to", "003"), ("--out-of-order",), ("--var", "size=3"), ("--dry-run",)], ids=" ".join
)
def test_options_that_change_what_runs_are_refused(saved: Saved, option: tuple[str, ...]) -> None:
    assert f"{option[0]} cannot be combined with --plan" in saved.up(*option, expect=2).err


def test_changes_elsewhere_are_accepted_and_the_plan_runs(project: Project, database_18: Database) -> None:
    saved = Saved(write_project(project, database_18), database_18)
    saved.database.execute(
        "ALTER TABLE w_elsewhere ADD x int; CREATE TABLE w_unrelated (id int); INSERT INTO w_customers VALUES (1, 1)"
    )
    saved.project.write(".confiture/note.txt", "x")
    before = json.loads((saved.project.root / "plan.json").read_text())
    result = saved.up("--format", "json", expect=0)
    assert [one["version"] for one in result.json["migrations"]] == ["002", "003", "004"]
    assert before["migrations"][0]["segments"][0]["steps"][0]["statements"] == [
        "ALTER TABLE w_orders ADD COLUMN size_10 int"
    ]
    again = saved.up(expect=7)
    assert "history" in again.err


def test_a_change_between_two_migrations_stops_the_run(
    project: Project, database_18: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(project, database_18)
    saved_plan = read_saved_plan(project.root / "plan.json")
    monkeypatch.setenv("TABLE_OWNER", "pg_monitor")
    loaded = library.Project.load(project.root, environment="production", database=database_18.url)
    options = UpOptions(guard=PlanGuard(loaded, saved_plan))

    def change(event: object) -> None:
        if isinstance(event, MigrationFinished) and event.version == "002":
            database_18.execute("ALTER TABLE w_old ADD x int; ALTER TABLE w_elsewhere ADD x int")

    with pytest.raises(Drift) as refused:
        loaded.run(options, on_event=change)
    del sys.modules["shop_names"]
    assert refused.value.diagnostics[0].detail == ("table column public.w_old.x is new",)
    assert database_18.rows("SELECT version FROM confiture.migrations ORDER BY 1") == [("001",), ("002",), ("003",)]


def test_a_plan_with_a_hook_depends_on_its_module_and_on_all_objects(shop_18: Project, database_18: Database) -> None:
    shop_18.write("confiture.yaml", "hooks: [shop_hooks]\n")
    shop_18.write("shop_names.py", FILES["shop_names.py"])
    shop_18.write("shop_hooks.py", dedent(FILES["shop_hooks.py"]))
    shop_18.migration("001_a", "ddl: [{sql: SELECT 1}]\n")
    database_18.execute("CREATE TABLE w_elsewhere (id int)")
    shop_18.run("migrate", "plan", "--out", "plan.json")
    for text in (Text("shop_hooks.py", "SELECT 1", "SELECT 2"), Text("shop_names.py", "", "# reviewed\n")):
        with changed(shop_18.root, text):
            assert f"{text.path} has changed" in shop_18.run("migrate", "up", "--plan", "plan.json", expect=7).err
    database_18.execute("ALTER TABLE w_elsewhere ADD x int")
    assert "w_elsewhere.x is new" in shop_18.run("migrate", "up", "--plan", "plan.json", expect=7).err
    database_18.execute("ALTER TABLE w_elsewhere DROP x")
    shop_18.run("migrate", "up", "--plan", "plan.json")


def test_the_plan_is_a_file_that_can_be_reviewed(saved: Saved, tmp_path: Path) -> None:
    text = (saved.project.root / "plan.json").read_text()
    content = json.loads(text)
    assert text == json.dumps(content, indent=1, sort_keys=True) + "\n"
    assert content["settings"]["variables"] == {"size": 10, "owner": "{{ env.TABLE_OWNER }}"}, "a reference"
    assert "DATABASE_URL" not in text
    shown = saved.project.run("migrate", "plan", "show", "plan.json").out
    assert "ALTER TABLE w_orders ADD COLUMN size_10 int;" in shown
    assert "unknown duration: no dry run on this database" in " ".join(shown.split())
    assert saved.project.run("migrate", "plan", "show", "plan.json", "--format", "json").out == text
    assert "#### 002 orders" in saved.project.run("migrate", "plan", "show", "plan.json", "--format", "markdown").out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "confiture.saved_plan", "version": 9}', "{" * 9_999])
def test_what_is_not_a_plan_is_refused(project: Project, text: str) -> None:
    (project.root / "plan.json").write_text(text)
    assert "error[bad-plan]" in project.run("migrate", "up", "--plan", "plan.json", expect=2).err
    assert project.run("migrate", "plan", "show", "missing.json", expect=2).err


def test_a_plan_that_would_show_a_secret_is_not_saved(shop_18: Project) -> None:
    shop_18.environ["API_TOKEN"] = "s3cr3t-t0k3n-value"
    shop_18.write("confiture.yaml", 'vars: {token: "{{ env.API_TOKEN }}"}\n')
    shop_18.migration("001_a", 'ddl: [{sql: "SELECT {{ token|literal }}"}]\n')
    refused = shop_18.run("migrate", "plan", "--out", "plan.json", expect=2)
    assert "error[secret-in-plan]" in refused.err
    assert "s3cr3t" not in refused.err
    assert not (shop_18.root / "plan.json").exists()
    shop_18.migration("001_a", "ddl: [{sql: SELECT 1}]\n")
    assert "error[secret-in-plan]" in shop_18.run("migrate", "plan", "--var", "password=abcdefgh", expect=2).err


def test_an_expired_plan_is_refused(shop_18: Project) -> None:
    shop_18.migration("001_a", "ddl: [{sql: SELECT 1}]\n")
    shop_18.run("migrate", "plan", "--out", "plan.json", "--expires", "1ms")
    assert "error[plan-expired]" in shop_18.run("migrate", "up", "--plan", "plan.json", expect=7).err
