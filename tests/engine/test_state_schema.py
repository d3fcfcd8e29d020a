"""The schema of the history: no code of other roles runs there, and no table of users lands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from confiture.core.db.history_schema import TABLES
from confiture.core.db.queries import history_schema_sql
from confiture.core.db.search_path import schemas_on_path
from tests.support.projects import Project
from tests.support.servers import Database, Roles

pytestmark = pytest.mark.versions_alike

OPENED = {
    "open schema": "GRANT CREATE ON SCHEMA confiture TO PUBLIC",
    "writes of everyone": "GRANT INSERT ON confiture.journal TO PUBLIC",
    "one column for everyone": "GRANT UPDATE (state) ON confiture.migrations TO PUBLIC",
    "sequence of a role": "GRANT ALL ON SEQUENCE confiture.migrations_position_seq TO pg_monitor",
}
COMMANDS = (
    "migrate status",
    "migrate up",
    "migrate up --dry-run",
    "migrate down",
    "verify",
    "backfill status",
    "lint --live",
)


@pytest.fixture
def applied(shop: Project) -> Project:
    """A project whose first migration is applied."""
    shop.migration("001_a", "ddl: [{sql: CREATE TABLE public.a (id int)}]\ndown: [{sql: DROP TABLE public.a}]\n")
    shop.run("migrate", "up")
    shop.migration("002_b", "ddl: [{sql: CREATE TABLE public.b (id int)}]\ndown: [{sql: DROP TABLE public.b}]\n")
    return shop


def test_every_command_refuses_what_runs_code(applied: Project, database: Database) -> None:
    database.execute(
        "CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER x BEFORE INSERT ON confiture.migrations FOR EACH ROW EXECUTE FUNCTION public.fire()"
    )
    for command in COMMANDS:
        err = applied.run(*command.split(), expect=3).err
        assert "confiture" in err
        assert "next:" in err
    assert database.value("SELECT to_regclass('public.b')") is None


@pytest.mark.parametrize("opened", OPENED)
def test_the_next_step_helps(applied: Project, database: Database, opened: str) -> None:
    database.execute(OPENED[opened])
    err = " ".join(applied.run("migrate", "up", expect=3).err.split())
    revoke = re.search("REVOKE .* FROM (PUBLIC|pg_monitor) CASCADE", err)
    assert revoke
    database.execute(revoke[0])
    applied.run("migrate", "up")


def test_a_role_that_may_only_read_monitors(applied: Project, roles: Roles) -> None:
    database = roles.database
    database.execute(
        f"ALTER SCHEMA confiture OWNER TO {roles.migrator};"
        + "".join(f"ALTER TABLE confiture.{name} OWNER TO {roles.migrator};" for name in TABLES)
        + f"GRANT USAGE ON SCHEMA confiture TO {roles.reader};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA confiture TO {roles.reader}"
    )
    applied.environ["DATABASE_URL"] = roles.url(roles.reader)
    for command in ("migrate status", "verify", "backfill status", "lint --live"):
        assert "foreign" not in applied.run(*command.split(), expect=None).err
    assert f"GRANT {roles.migrator} TO {roles.reader}" in " ".join(applied.run("migrate", "up", expect=3).err.split())


def test_default_privileges_do_not_open_the_history(shop: Project, database: Database) -> None:
    database.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")
    shop.migration("001_a", "ddl: [{sql: CREATE TABLE public.a (id int)}]\n")
    shop.run("migrate", "up")
    assert "pending" in shop.run("migrate", "status").out
    database.execute("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC")


@pytest.mark.parametrize("what", ["schema", "one table", "empty schema"])
@pytest.mark.parametrize("who", ["superuser", "ordinary role"])
def test_what_a_foreign_role_owns_is_refused(shop: Project, roles: Roles, what: str, who: str) -> None:
    database = roles.database
    owner = roles.reader if what != "one table" else roles.migrator
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {roles.migrator}, {roles.reader}")
    database.execute(f"GRANT ALL ON SCHEMA public TO {roles.migrator}")
    with database.connect() as connection:
        connection.execute(f"SET SESSION AUTHORIZATION {owner}")
        connection.execute("CREATE SCHEMA confiture")
        if what != "empty schema":
            connection.execute(history_schema_sql(0))
        connection.execute(f"GRANT ALL ON SCHEMA confiture TO {roles.migrator}")
    if what == "one table":
        database.execute(f"ALTER TABLE confiture.journal OWNER TO {roles.reader}")
    if who == "ordinary role":
        shop.environ["DATABASE_URL"] = roles.url(roles.migrator)
    shop.migration("001_a", "ddl: [{sql: CREATE TABLE public.a (id int)}]\n")
    # an ordinary role may look at what others may write
    for command in ("migrate status" if who == "superuser" else "migrate up --dry-run", "migrate up"):
        err = " ".join(shop.run(*command.split(), expect=3).err.split())
        assert f"belongs to the role {roles.reader if what != 'one table' or who != 'superuser' else owner}" in err
    assert database.value("SELECT to_regclass('public.a')") is None


@pytest.mark.parametrize("owner", ["itself", "a role it is a member of", "a superuser", "the database's owner"])
def test_owners_that_are_trusted(shop: Project, roles: Roles, owner: str) -> None:
    database = roles.database
    database.execute(
        f"GRANT CREATE ON DATABASE {database.name} TO {roles.migrator}; GRANT ALL ON SCHEMA public TO PUBLIC"
    )
    if owner == "a role it is a member of":
        database.execute(
            f"GRANT {roles.reader} TO {roles.migrator}; CREATE SCHEMA confiture AUTHORIZATION {roles.reader}"
        )
    elif owner == "a superuser":
        database.execute(f"CREATE SCHEMA confiture; GRANT USAGE, CREATE ON SCHEMA confiture TO {roles.migrator}")
    elif owner == "the database's owner":
        database.execute(
            f"ALTER DATABASE {database.name} OWNER TO {roles.reader};"
            f"CREATE SCHEMA confiture AUTHORIZATION {roles.reader};"
            f"GRANT USAGE, CREATE ON SCHEMA confiture TO {roles.migrator}"
        )
    shop.environ["DATABASE_URL"] = roles.url(roles.migrator)
    shop.migration("001_a", "ddl: [{sql: CREATE TABLE public.a (id int)}]\ndown: [{sql: DROP TABLE public.a}]\n")
    shop.run("migrate", "up")
    shop.run("migrate", "status")
    shop.run("migrate", "down")
    database.execute(
        f"REASSIGN OWNED BY {roles.migrator} TO postgres; ALTER DATABASE {database.name} OWNER TO postgres"
    )


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE confiture.jams (id int)",
        "CREATE TABLE confiture.migrations (id int)",
        "CREATE TABLE confiture.format (color text)",
        "CREATE VIEW confiture.format AS SELECT 1 AS version_of",
    ],
    ids=["a table", "a table of our name", "another format", "a view"],
)
def test_a_schema_of_the_same_name_is_a_clash(shop: Project, database: Database, made: str) -> None:
    database.execute(f"CREATE SCHEMA confiture; {made}")
    shop.migration("001_a", "ddl: [{sql: CREATE TABLE public.a (id int)}]\n")
    for command in ("migrate status", "migrate up", "migrate up --dry-run", "migrate baseline 001"):
        err = shop.run(*command.split(), expect=3).err
        assert "error[schema-clash]" in err
        assert "ALTER SCHEMA confiture RENAME TO" in " ".join(err.split())


@dataclass(frozen=True)
class Jam:
    """A role whose name is that of our schema, or nearly so, with a database of its own."""

    name: str
    project: Project
    database: Database


@pytest.fixture
def jam(request: pytest.FixtureRequest, shop: Project, database: Database) -> Iterator[Jam]:
    name = getattr(request, "param", "confiture")
    database.execute(
        f'DROP ROLE IF EXISTS "{name}"; CREATE ROLE "{name}" LOGIN; ALTER DATABASE {database.name} OWNER TO "{name}"'
    )
    shop.environ["DATABASE_URL"] = database.url.replace("://postgres@", f"://{name}@")
    for number in (1, 2):
        shop.migration(
            f"00{number}_t", f"ddl: [{{sql: CREATE TABLE t{number} (id int)}}]\ndown: [{{sql: DROP TABLE t{number}}}]\n"
        )
    yield Jam(name, shop, database)
    database.execute(
        f'ALTER DATABASE {database.name} OWNER TO postgres; DROP OWNED BY "{name}" CASCADE; DROP ROLE "{name}"'
    )


def _places(database: Database) -> set[str]:
    return {row[0] for row in database.rows("SELECT schemaname FROM pg_tables WHERE tablename IN ('t1', 't2')")}


@pytest.mark.parametrize("command", ["up", "up --dry-run", "down", "baseline 001"])
def test_a_role_of_the_schema_s_name_is_refused(jam: Jam, command: str) -> None:
    err = " ".join(jam.project.run("migrate", *command.split(), expect=3).err.split())
    assert "error[search-path]" in err
    assert f"ALTER ROLE confiture IN DATABASE {jam.database.name} SET search_path = public" in err
    assert jam.database.value("SELECT to_regnamespace('confiture')") is None


def test_a_role_of_the_schema_s_name_works_with_a_path_of_its_own(jam: Jam) -> None:
    jam.database.execute(f"ALTER ROLE confiture IN DATABASE {jam.database.name} SET search_path = public")
    jam.project.run("migrate", "up", "--dry-run")
    jam.project.run("migrate", "up", "--to", "001")
    jam.project.run("migrate", "up")
    assert _places(jam.database) == {"public"}
    jam.project.run("migrate", "down", "--to", "0")


@pytest.mark.parametrize("jam", ["Confiture", "confiture_x"], indirect=True)
def test_roles_of_similar_names_work(jam: Jam) -> None:
    jam.project.run("migrate", "up", "--to", "001")
    jam.project.run("migrate", "up")
    assert _places(jam.database) == {"public"}


@pytest.mark.parametrize(
    "place",
    [
        "ALTER DATABASE {0} SET search_path = confiture, public",
        "ALTER ROLE postgres IN DATABASE {0} SET search_path = public, CONFITURE",
    ],
)
def test_search_paths_of_settings_are_refused(shop: Project, database: Database, place: str) -> None:
    database.execute(place.format(database.name))
    shop.migration("001_t", "ddl: [{sql: CREATE TABLE t1 (id int)}]\n")
    assert "error[search-path]" in shop.run("migrate", "up", expect=3).err


@pytest.mark.parametrize("where", ["url", "PGOPTIONS"])
def test_search_paths_of_connections_are_refused(shop: Project, database: Database, where: str) -> None:
    shop.migration("001_t", "ddl: [{sql: CREATE TABLE t1 (id int)}]\n")
    if where == "url":
        shop.environ["DATABASE_URL"] = f"{database.url}&options=-csearch_path%3Dconfiture%2Cpublic"
    else:
        shop.environ["PGOPTIONS"] = "-csearch_path=confiture,public"
    assert "error[search-path]" in shop.run("migrate", "up", expect=3).err


INTO_OURS = {
    "SET": "SET search_path TO confiture, public; CREATE TABLE t1 (id int)",
    "SET LOCAL": "SET LOCAL search_path TO confiture; CREATE TABLE t1 (id int)",
    "set_config": "SELECT set_config('search_path', 'confiture', false); CREATE TABLE t1 (id int)",
    "by name": "CREATE TABLE confiture.t1 (id int)",
    "view": "CREATE VIEW confiture.t1 AS SELECT 1 AS id",
    "AS": "CREATE TABLE confiture.t1 AS SELECT 1 AS id",
    "moved": "CREATE TABLE t1 (id int); ALTER TABLE t1 SET SCHEMA confiture",
    "DO": "DO $$ BEGIN CREATE TABLE confiture.t1 (id int); END $$",
    "dropped": "DROP TABLE confiture.journal",
    "renamed": "ALTER TABLE confiture.journal RENAME TO diary",
    "dropped and made": "DROP TABLE confiture.predictions; CREATE TABLE confiture.predictions (id int)",
    "given away": "ALTER TABLE confiture.journal OWNER TO pg_monitor",
    "sequence": "CREATE SEQUENCE confiture.t1",
    "function": "CREATE FUNCTION confiture.t1() RETURNS int RETURN 1",
    "type": "CREATE TYPE confiture.t1 AS ENUM ('a')",
    "operator": "CREATE OPERATOR confiture.=== (leftarg = int, rightarg = int, function = int4eq)",
    "trigger disabled": "ALTER TABLE confiture.history_events DISABLE TRIGGER append_only",
    "all triggers disabled": "ALTER TABLE confiture.history_events DISABLE TRIGGER ALL",
    "trigger in replicas only": "ALTER TABLE confiture.history_events ENABLE REPLICA TRIGGER append_only",
    "trigger dropped": "DROP TRIGGER append_only ON confiture.history_events",
    "trigger renamed": "ALTER TRIGGER append_only ON confiture.history_events RENAME TO later",
    "events deleted": "ALTER TABLE confiture.history_events DISABLE TRIGGER USER; DELETE FROM confiture.history_events;"
    " ALTER TABLE confiture.history_events ENABLE ALWAYS TRIGGER append_only",
    "events deleted by a DO": "DO $$ BEGIN ALTER TABLE confiture.history_events DISABLE TRIGGER USER;"
    " DELETE FROM confiture.history_events;"
    " ALTER TABLE confiture.history_events ENABLE ALWAYS TRIGGER append_only; END $$",
    "trigger function replaced": "CREATE OR REPLACE FUNCTION confiture.refuse_change() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NULL; END'",
    "schema dropped": "DROP SCHEMA confiture",
    "schema dropped with all": "DROP SCHEMA IF EXISTS confiture CASCADE",
    "schema made": "CREATE SCHEMA confiture",
    "schema made again": "DROP SCHEMA IF EXISTS confiture CASCADE; CREATE SCHEMA confiture",
    "schema renamed": "ALTER SCHEMA confiture RENAME TO jams",
    "schema given away": "ALTER SCHEMA confiture OWNER TO pg_monitor",
}


@pytest.mark.parametrize("sql", INTO_OURS)
def test_a_migration_leaves_the_schema_alone(shop_18: Project, database_18: Database, sql: str) -> None:
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE public.a (id int)}]\n")
    shop_18.migration("002_b", "ddl:\n  - sql: |\n      " + INTO_OURS[sql] + "\n")
    # as the real run, the dry run has made our tables before the second migration
    assert "error[" in shop_18.run("migrate", "up", "--dry-run", expect=4).err
    assert database_18.value("SELECT to_regnamespace('confiture')") is None
    assert "error[" in shop_18.run("migrate", "up", expect=4).err
    tables = database_18.rows("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'confiture'")
    assert set(tables) == {(name, "postgres") for name in TABLES}
    assert _places(database_18) == set()
    assert database_18.value("SELECT count(*) FROM confiture.migrations") == 1


def test_vacuum_full_of_the_catalogs_is_no_change(shop_18: Project) -> None:
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE public.a (id int)}]\n")
    moved = "VACUUM FULL pg_trigger; VACUUM FULL pg_proc"
    shop_18.migration("002_b", f"ddl: [sql: CREATE TABLE b (), sql: {moved}, sql: CREATE TABLE c ()]\n")
    shop_18.run("migrate", "up")
    shop_18.run("migrate", "up")


def test_a_schema_that_is_there_already_is_no_change(shop_18: Project) -> None:
    shop_18.migration("001_a", "ddl: [{sql: CREATE TABLE public.a (id int)}]\n")
    shop_18.migration("002_b", "ddl: [{sql: CREATE SCHEMA IF NOT EXISTS confiture}]\n")
    shop_18.run("migrate", "up", "--dry-run")
    shop_18.run("migrate", "up")


def test_a_publication_of_all_tables_does_not_stop_migrations(shop: Project, database: Database) -> None:
    database.execute(
        f"CREATE PUBLICATION everything FOR ALL TABLES; ALTER DATABASE {database.name} SET datestyle = 'German'"
    )
    shop.migration("001_a", "ddl: [{sql: CREATE TABLE public.a (id int)}]\n")
    shop.run("migrate", "up")
    for command in ("migrate status", "verify", "backfill status"):
        shop.run(*command.split())


def test_what_others_left_in_the_schema_does_not_stop_migrations(applied: Project, database: Database) -> None:
    database.execute("CREATE TABLE confiture.jams (id int); CREATE SEQUENCE confiture.spoons")
    for command in ("up --dry-run", "up"):
        err = " ".join(applied.run("migrate", *command.split()).err.split())
        assert "also contains other objects (sequence confiture.spoons, table confiture.jams): move them" in err
    applied.migration("003_c", "ddl: [{sql: DROP SEQUENCE confiture.spoons; DROP TABLE confiture.jams}]\n")
    applied.run("migrate", "up")
    applied.migration("004_d", "ddl: [{sql: CREATE TABLE public.d (id int)}]\n")
    assert "also contains" not in applied.run("migrate", "up").err


def test_the_first_migration_cannot_take_the_schema(shop: Project, database: Database) -> None:
    shop.migration("001_b", "ddl: [{sql: CREATE SCHEMA confiture CREATE TABLE t1 (id int)}]\n")
    for command in ("up --dry-run", "up"):
        assert "error[schema-clash]" in shop.run("migrate", *command.split(), expect=4).err
    # the run is recorded, in a schema of its own
    assert database.value("SELECT to_regclass('confiture.t1')") is None
    assert database.rows("SELECT event FROM confiture.history_events") == [("planned",), ("failed",)]


def test_a_hook_leaves_the_schema_alone(shop: Project, database: Database) -> None:
    shop.write(
        "migrations/001_a.py",
        """
        from confiture import Hook, HookPhase, Migration, register_hook

        class Make(Hook):
            phase = HookPhase.DDL
            def execute(self, conn, context):
                conn.execute("CREATE SCHEMA IF NOT EXISTS confiture")
                conn.execute("CREATE TABLE confiture.t1 (id int)")

        register_hook("make", Make)

        class A(Migration):
            pass
        """,
    )
    for command in ("up --dry-run", "up"):
        assert "error[schema-clash]" in shop.run("migrate", *command.split(), expect=4).err
    # the run is recorded, in a schema of its own
    assert database.value("SELECT to_regclass('confiture.t1')") is None
    assert database.rows("SELECT event FROM confiture.history_events") == [("planned",), ("failed",)]


@pytest.mark.parametrize(
    ("setting", "role", "names"),
    [
        ('"$user", public', "bob", ["bob", "public"]),
        ("$user,public", "confiture", ["confiture", "public"]),
        ('"$user", public', 'we"ird, one', ['we"ird, one', "public"]),
        ('Confiture, "Confiture", "a""b", "x, y"', "bob", ["confiture", "Confiture", 'a"b', "x, y"]),
        ("", "confiture", []),
        ('""', "confiture", [""]),
        ("pg_catalog , pg_temp", "bob", ["pg_catalog", "pg_temp"]),
    ],
)
def test_reading_a_search_path(setting: str, role: str, names: list[str]) -> None:
    assert schemas_on_path(setting, role) == names
