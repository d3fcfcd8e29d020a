"""A database knows which environment it is: settings that point at another one are refused, and protection stays."""

from __future__ import annotations

import shlex

import psycopg
import pytest

from confiture import DownOptions, InputError, Migration, Migrator, UpOptions
from confiture.project import Project as Library
from tests.support.projects import Project
from tests.support.servers import Database

SETTINGS = "environments: {production: {protected: true}, staging: {}, development: {}}\n"
TABLE = "ddl: [{sql: CREATE TABLE a (id int)}]\ndown: [{sql: DROP TABLE a}]\n"
READS = (
    "migrate status",
    "migrate history",
    "migrate assess",
    "migrate plan",
    "migrate pin",
    "verify",
    "backfill status",
    "lint --live",
    "tenancy map --live",
    "tenancy prove",
    "reconcile a --sql 'SELECT id FROM a' --key id",
    "migrate up --dry-run --yes",
)
WRITES = ("migrate up", "migrate down", "migrate baseline 001", "backfill clean", "backfill pause")
IDENTITY = "SELECT project, environment, is_declared, is_protected, schema_name, set_by FROM confiture.identity"


@pytest.fixture
def staging(shop_18: Project) -> Project:
    """A project with three environments, applied to a database as staging."""
    shop_18.write("confiture.yaml", SETTINGS)
    shop_18.migration("001_a", TABLE)
    shop_18.run("migrate", "up", "--env", "staging")
    return shop_18


@pytest.mark.parametrize("environment", [None, "production"])
def test_settings_of_another_environment_are_refused(staging: Project, environment: str | None) -> None:
    if environment is not None:
        staging.environ["CONFITURE_ENV"] = environment
    for command in (*READS, *WRITES):
        confirm = ["--confirm", environment] if environment and command in WRITES else []
        result = staging.run(*shlex.split(command), *confirm, expect=2)
        said = " ".join((result.err + result.out).split())
        assert "'staging'" in said and f"'{environment or 'development'}'" in said, command
        assert f"identity set {environment or 'development'} --confirm staging" in said, command


def test_the_first_run_records_the_identity(staging: Project, database_18: Database) -> None:
    assert database_18.rows(IDENTITY) == [("default", "staging", True, False, "public", "postgres")]
    shown = staging.run("identity", "show", "--format", "json").json
    assert [(one["environment"], one["protected"], one["schema"]) for one in shown["identities"]] == [
        ("staging", False, "public")
    ]
    assert "staging" in staging.run("identity", "show").out


def test_the_default_environment_gives_way_to_a_named_one(shop_18: Project, database_18: Database) -> None:
    """One that neither an option nor the settings name, as in a project without environments."""
    shop_18.migration("001_a", TABLE)
    shop_18.run("migrate", "up")
    shop_18.run("migrate", "status")
    assert database_18.rows(IDENTITY)[0][1:4] == ("development", False, False)
    shop_18.write("confiture.yaml", "environments: {production: {protected: true}}\n")
    shop_18.run("migrate", "up", "--env", "production", "--confirm", "production")
    assert database_18.rows(IDENTITY)[0][1:4] == ("production", True, True)
    assert "'development' by default" in shop_18.run("migrate", "status", expect=2).err


def test_protection_cannot_be_bypassed(shop_18: Project, database_18: Database) -> None:
    """Not by DATABASE_URL, by other settings, by a program, or by another project."""
    shop_18.write("confiture.yaml", SETTINGS)
    shop_18.migration("001_a", TABLE)
    shop_18.run("migrate", "up", "--env", "production", "--confirm", "production")
    for settings in (SETTINGS.replace("true", "false"), "environments: {production: {}}\n"):
        shop_18.write("confiture.yaml", settings)
        err = shop_18.run("migrate", "down", "--env", "production", expect=2).err
        assert "protected by the database" in err
        assert "--yes" in shop_18.run("migrate", "down", "--dry-run", "--env", "production", expect=2).err
    shop_18.write("confiture.yaml", "project: other\n")
    shop_18.migration("001_a", TABLE.replace(" a ", " b ").replace("TABLE a", "TABLE b"))
    assert "--confirm production" in " ".join(shop_18.run("migrate", "up", expect=2).err.split())
    assert "is 'production'" in shop_18.run("migrate", "up", "--confirm", "development", expect=2).err
    shop_18.run("migrate", "up", "--confirm", "production")
    assert database_18.value("SELECT count(*) FROM confiture.identity") == 2


def test_a_first_run_that_fails_records_the_identity(shop_18: Project, database_18: Database) -> None:
    shop_18.write("confiture.yaml", "environments: {production: {protected: true}}\n")
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE a (id int)}]\n")
    database_18.execute("CREATE TABLE a (id int)")
    shop_18.run("migrate", "up", "--env", "production", "--confirm", "production", expect=4)
    database_18.execute("DROP TABLE a")
    assert "'production'" in shop_18.run("migrate", "up", expect=2).err
    assert database_18.value("SELECT to_regclass('public.a')") is None


def test_a_history_of_a_former_format_gets_an_identity_at_the_next_up(shop_18: Project, database_18: Database) -> None:
    shop_18.write("confiture.yaml", SETTINGS)
    shop_18.migration("001_a", TABLE)
    shop_18.run("migrate", "up", "--env", "staging")
    database_18.execute(
        "DROP TABLE confiture.identity, confiture.history_events, confiture.texts;"
        "DROP FUNCTION confiture.refuse_change;"
        "ALTER TABLE confiture.migrations DROP COLUMN texts, DROP COLUMN inputs;"
        "UPDATE confiture.format SET version = 3"
    )
    assert "no identity" in shop_18.run("identity", "show").out
    assert shop_18.run("migrate", "history", "--format", "json").json["events"] == []
    shop_18.run("migrate", "status", "--env", "staging")
    # nothing is pending
    shop_18.run("migrate", "up", "--env", "production", "--confirm", "production")
    assert database_18.rows(IDENTITY)[0][1:4] == ("production", True, True)
    assert shop_18.run("migrate", "down", "--env", "staging", expect=2)


def test_a_restored_dump_becomes_another_environment(staging: Project, database_18: Database) -> None:
    staging.run("identity", "set", "production", expect=2)
    staging.run("identity", "set", "production", "--confirm", "production", expect=2)
    staging.run("identity", "set", "production", "--confirm", "staging", "--env", "staging", expect=2)
    out = staging.run("identity", "set", "production", "--confirm", "staging", "--reason", "go live").out
    assert "production" in out and "it was staging" in out
    assert database_18.rows(IDENTITY)[0][1:4] == ("production", True, True)
    assert "'staging'" in staging.run("migrate", "status", "--env", "staging", expect=2).err
    # the only command that lifts protection
    staging.run("identity", "set", "development", "--confirm", "production")
    assert database_18.rows(IDENTITY)[0][1:4] == ("development", True, False)
    staging.run("migrate", "down")
    events = staging.run("migrate", "history", "--event", "identified", "--format", "json").json["events"]
    assert [(one["environment"], one["reason"], one["details"]["former_environment"]) for one in events] == [
        ("development", None, "production"),
        ("production", "go live", "staging"),
    ]


def test_an_empty_database_can_be_marked_before_the_first_run(shop_18: Project, database_18: Database) -> None:
    shop_18.write("confiture.yaml", SETTINGS)
    shop_18.migration("001_a", TABLE)
    shop_18.run("identity", "set", "production", expect=2)
    shop_18.run("identity", "set", "production", "--confirm", "production")
    assert shop_18.run("migrate", "up", expect=2).err
    assert database_18.value("SELECT to_regclass('a')") is None


# --- the search path


def _with_path(database: Database, path: str) -> str:
    return f"{database.url}{'&' if '?' in database.url else '?'}options=-csearch_path%3D{path}"


def test_a_run_in_another_schema_is_refused(shop: Project, database: Database) -> None:
    database.execute("CREATE SCHEMA t1; CREATE SCHEMA t2")
    shop.migration("001_a", TABLE)
    shop.environ["DATABASE_URL"] = _with_path(database, "t1")
    shop.run("migrate", "up")
    shop.environ["DATABASE_URL"] = _with_path(database, "t2")
    for command in ("up", "up --dry-run", "down", "status", "baseline 001"):
        err = " ".join(shop.run("migrate", *command.split(), expect=2).err.split())
        assert "the schema t2" in err and "the schema t1" in err
    shop.environ["DATABASE_URL"] = _with_path(database, "t1,t2")
    shop.run("migrate", "down")
    shop.environ["DATABASE_URL"] = _with_path(database, "t2")
    shop.run("identity", "set", "development", "--confirm", "development")
    shop.run("migrate", "up")
    assert database.value("SELECT to_regclass('t2.a')") == "t2.a"


def test_another_project_may_use_another_schema(shop_18: Project, database_18: Database) -> None:
    database_18.execute("CREATE SCHEMA t1; CREATE SCHEMA t2")
    for name in ("t1", "t2"):
        shop_18.write("confiture.yaml", f"project: {name}\n")
        shop_18.migration("001_a", TABLE.replace("id int", f"{name} int"))
        shop_18.environ["DATABASE_URL"] = _with_path(database_18, name)
        shop_18.run("migrate", "up")
        shop_18.run("migrate", "status")
    assert database_18.rows("SELECT project, schema_name FROM confiture.identity ORDER BY 1") == [
        ("t1", "t1"),
        ("t2", "t2"),
    ]


@pytest.mark.parametrize("path", ["app", "app,public"])
@pytest.mark.parametrize("stops", [False, True])
def test_migrations_may_create_the_schema_that_they_use(
    shop_18: Project, database_18: Database, path: str, stops: bool
) -> None:
    shop_18.environ["DATABASE_URL"] = _with_path(database_18, path)
    rest = ", {sql: CREATE TABLE v ()}, {sql: VACUUM v}, {sql: SELECT 1 / n FROM public.n}" if stops else ""
    database_18.execute("CREATE TABLE public.n AS SELECT 0 AS n")
    shop_18.migration("001_app", f"ddl: [{{sql: CREATE SCHEMA app}}{rest}]\ndown: [{{sql: DROP SCHEMA app CASCADE}}]\n")
    shop_18.run("migrate", "up", expect=5 if stops else 0)
    assert database_18.value("SELECT schema_name FROM confiture.identity") == "app"
    database_18.execute("UPDATE public.n SET n = 1")
    shop_18.migration("002_a", TABLE)
    shop_18.run("migrate", "up")
    assert database_18.value("SELECT to_regclass('app.a') IS NOT NULL")
    shop_18.run("migrate", "down", "--to", "0")
    shop_18.run("migrate", "up")


def test_a_schema_that_others_put_first_on_the_path_is_refused(shop_18: Project, database_18: Database) -> None:
    shop_18.migration("001_a", TABLE)
    shop_18.run("migrate", "up")
    database_18.execute("CREATE SCHEMA postgres")
    assert "the schema postgres" in shop_18.run("migrate", "up", expect=2).err


# --- programs


class AddA(Migration):
    version = "001"
    name = "a"

    def up(self) -> None:
        self.execute("CREATE TABLE a (id int)")

    def down(self) -> None:
        self.execute("DROP TABLE a")


def test_programs_confirm_with_options(shop_18: Project, database_18: Database) -> None:
    shop_18.write("confiture.yaml", SETTINGS)
    shop_18.migration("001_a", TABLE)
    project = Library.load(shop_18.root, environment="production", database=database_18.url)
    with pytest.raises(InputError, match="'production' is protected"):
        project.run()
    with pytest.raises(InputError, match="names 'staging'"):
        project.run(UpOptions(confirm="staging"))
    project.run(UpOptions(confirm="production", reason="from a program"))
    with pytest.raises(InputError, match="protected"):
        project.run(DownOptions())
    project.run(DownOptions(confirm="production", reason="from a program"))
    events = "SELECT DISTINCT reason FROM confiture.history_events"
    assert database_18.rows(events) == [("from a program",)]


def test_a_migrator_without_a_project_confirms_the_name_of_the_database(
    shop_18: Project, database_18: Database, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    with psycopg.connect(database_18.url) as connection:
        migrator = Migrator(connection)
        migrator.up(AddA(connection), confirm="production")
        database_18.execute("UPDATE confiture.identity SET environment = 'production', is_protected = true")
        with pytest.raises(InputError, match="'production' is protected by the database"):
            migrator.down(AddA(connection))
        with pytest.raises(InputError, match="protected"):
            migrator.dry_run(AddA(connection))
        migrator.down(AddA(connection), confirm="production", reason="why not")
    assert database_18.value("SELECT to_regclass('a')") is None
