"""What a hostile role leaves in the schema of the history, or is given there: the next command refuses it, and makes
nothing that such a role could use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from confiture.core.db.history_schema import read_format
from confiture.core.db.queries import FORMAT, history_schema_sql, query
from confiture.errors import DatabaseUnavailable
from tests.support.projects import Project
from tests.support.servers import Database, Roles, Server, new_database

Connection = psycopg.Connection[dict[str, Any]]
_CODE = """
    CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE FUNCTION public.truth(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
    CREATE FUNCTION public.twice(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE DOMAIN public.word AS text;
"""
_TRIGGER = "CREATE TRIGGER x BEFORE INSERT ON confiture.journal FOR EACH ROW"
_APPEND_ONLY = "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON confiture.history_events"
REFUSED = {
    "trigger": "CREATE TRIGGER x BEFORE INSERT ON confiture.migrations FOR EACH ROW EXECUTE FUNCTION public.fire()",
    "trigger of the journal": f"{_TRIGGER} EXECUTE FUNCTION public.fire()",
    "disabled trigger": f"{_TRIGGER} EXECUTE FUNCTION public.fire();ALTER TABLE confiture.journal DISABLE TRIGGER x",
    "rule": "CREATE RULE x AS ON INSERT TO confiture.journal DO ALSO SELECT public.truth('a')",
    "row security": "ALTER TABLE confiture.migrations ENABLE ROW LEVEL SECURITY",
    "forced row security": "ALTER TABLE confiture.migrations FORCE ROW LEVEL SECURITY",
    "policy": "CREATE POLICY x ON confiture.migrations USING (public.truth(version))",
    "default": "ALTER TABLE confiture.migrations ADD COLUMN x text DEFAULT public.twice('a')",
    "generated column of a function": "ALTER TABLE confiture.migrations"
    " ADD COLUMN x text GENERATED ALWAYS AS (public.twice(name)) STORED",
    "check": "ALTER TABLE confiture.backfills ADD CHECK (public.truth(step))",
    "expression index of a function": "CREATE INDEX x ON confiture.journal (public.twice(version))",
    "partial index of a function": "CREATE INDEX x ON confiture.journal (version) WHERE public.truth(version)",
    "type": "ALTER TABLE confiture.predictions ADD COLUMN x public.word",
    "child": "CREATE TABLE public.child () INHERITS (confiture.journal)",
    "view": "ALTER TABLE confiture.predictions RENAME TO hidden;"
    "CREATE VIEW confiture.predictions AS SELECT * FROM confiture.hidden",
    "writes of everyone": "GRANT INSERT ON confiture.journal TO PUBLIC",
    "one column for everyone": "GRANT UPDATE (state) ON confiture.migrations TO PUBLIC",
    "all for everyone": "GRANT ALL ON ALL TABLES IN SCHEMA confiture TO PUBLIC",
    "open schema": "GRANT CREATE ON SCHEMA confiture TO PUBLIC",
    "missing table": "DROP TABLE confiture.journal",
    "default that runs a query": "ALTER TABLE confiture.journal"
    " ALTER recorded_by SET DEFAULT query_to_xml('SELECT 1', true, true, '')::text",
    "default that reads a file": "ALTER TABLE confiture.journal ALTER recorded_by SET DEFAULT pg_read_file('x')",
    "default of a sequence": "CREATE SEQUENCE public.s;"
    "ALTER TABLE confiture.backfill_ranges ALTER batches SET DEFAULT nextval('public.s')",
    "default by a type's input": "ALTER TABLE confiture.journal"
    " ALTER recorded_by SET DEFAULT (current_user::text)::xml::text",
    "default by an operator": "ALTER TABLE confiture.journal ALTER recorded_by SET DEFAULT 'a' || session_user",
    "check that runs a query": "ALTER TABLE confiture.migrations"
    " ADD CHECK (query_to_xml('SELECT 1', true, true, '') IS NOT NULL)",
    "check by an operator": "ALTER TABLE confiture.migrations ADD CHECK (name <> 'x')",
    "generated column": "ALTER TABLE confiture.migrations ADD x text GENERATED ALWAYS AS (lower(name)) STORED",
    "expression index": "CREATE INDEX x ON confiture.journal (lower(version))",
    "partial index": "CREATE INDEX x ON confiture.journal (version) WHERE segment > 1",
    "exclusion": "ALTER TABLE confiture.migrations ADD EXCLUDE USING btree (name WITH =)",
    "statistics": "CREATE STATISTICS confiture.x ON lower(version), name FROM confiture.migrations",
    "domain of an array": "CREATE DOMAIN public.words AS text[];ALTER TABLE confiture.journal ADD x public.words",
    "foreign key to others": "CREATE TABLE public.p (id uuid PRIMARY KEY);"
    "ALTER TABLE confiture.journal ADD FOREIGN KEY (attempt) REFERENCES public.p",
    "foreign key of others": "CREATE TABLE public.c"
    " (a uuid REFERENCES confiture.predictions ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)",
    "type of a table": "CREATE TYPE public.t AS (version int);DROP TABLE confiture.format;"
    "CREATE TABLE confiture.format OF public.t",
    "TRIGGER of a role": "GRANT TRIGGER ON confiture.journal TO {role}",
    "REFERENCES of a role": "GRANT REFERENCES (attempt) ON confiture.predictions TO {role}",
    "INSERT of a role": "GRANT INSERT ON confiture.format TO {role}",
    "sequence of everyone": "GRANT USAGE ON SEQUENCE confiture.migrations_position_seq TO PUBLIC",
    "sequence of a role": "GRANT UPDATE ON SEQUENCE confiture.backfills_number_seq TO {role}",
    "CREATE of a role": "GRANT CREATE ON SCHEMA confiture TO {role}",
    "notes of a role": "CREATE TABLE confiture.backfill_1_keys (entry int);"
    "ALTER TABLE confiture.backfill_1_keys OWNER TO {role}",
    "notes as a view": "CREATE VIEW confiture.backfill_1_keys AS SELECT 1 AS entry",
    "noting function of a role": "CREATE FUNCTION confiture.backfill_1_note_0() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN END'; ALTER FUNCTION confiture.backfill_1_note_0() OWNER TO {role}",
    "noting function that a role may call": "CREATE FUNCTION confiture.backfill_1_note_0() RETURNS trigger"
    " LANGUAGE plpgsql AS 'BEGIN END'; GRANT EXECUTE ON FUNCTION confiture.backfill_1_note_0() TO {role}",
    "append-only by another function": "DROP TRIGGER append_only ON confiture.history_events;"
    f"{_APPEND_ONLY} EXECUTE FUNCTION public.fire()",
    "append-only by a changed function": "CREATE OR REPLACE FUNCTION confiture.refuse_change() RETURNS trigger"
    " LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "append-only with the owner's rights": "ALTER FUNCTION confiture.refuse_change() SECURITY DEFINER",
    "append-only with settings": "ALTER FUNCTION confiture.refuse_change() SET search_path = public",
    "append-only under a condition": "DROP TRIGGER append_only ON confiture.history_events;"
    f"{_APPEND_ONLY} WHEN (current_user <> 'x') EXECUTE FUNCTION confiture.refuse_change()",
    "append-only for some columns": "DROP TRIGGER append_only ON confiture.history_events; CREATE TRIGGER append_only"
    " BEFORE UPDATE OF reason OR DELETE OR TRUNCATE ON confiture.history_events"
    " EXECUTE FUNCTION confiture.refuse_change()",
    "append-only not for replicas": "ALTER TABLE confiture.history_events ENABLE TRIGGER append_only",
    "append-only disabled": "ALTER TABLE confiture.history_events DISABLE TRIGGER append_only",
    "append-only dropped": "DROP TRIGGER append_only ON confiture.history_events",
    "append-only dropped with its function": "DROP FUNCTION confiture.refuse_change() CASCADE",
    "append-only on another table": "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE"
    " ON confiture.journal EXECUTE FUNCTION confiture.refuse_change()",
    "append-only function of a role": "ALTER FUNCTION confiture.refuse_change() OWNER TO {role}",
    "append-only function that a role may call": "GRANT EXECUTE ON FUNCTION confiture.refuse_change() TO {role}",
    "format without a row": "DELETE FROM confiture.format",
    "format of two rows": "INSERT INTO confiture.format VALUES (1)",
    "format of no number": "ALTER TABLE confiture.format DROP CONSTRAINT format_pkey, ALTER version DROP NOT NULL;"
    "UPDATE confiture.format SET version = NULL",
    "format below 1": "UPDATE confiture.format SET version = 0",
    "table of a later format": "UPDATE confiture.format SET version = 1",
    "format as text": "ALTER TABLE confiture.format ALTER version TYPE text",
    "format with another column": "ALTER TABLE confiture.format ADD x int",
}
ACCEPTED = {
    "SELECT of a role": "GRANT SELECT ON ALL TABLES IN SCHEMA confiture TO {role}",
    "SELECT of everyone": "GRANT USAGE ON SCHEMA confiture TO PUBLIC; GRANT SELECT ON confiture.migrations TO PUBLIC",
    "index": "CREATE INDEX x ON confiture.journal (recorded_at)",
    "publication": "CREATE PUBLICATION {role} FOR TABLE confiture.journal",
    "former checks": "ALTER TABLE confiture.migrations DROP CONSTRAINT migrations_state_check,"
    " ADD CHECK (state IN ('applied', 'running', 'reverting'))",
    "what is not ours": "CREATE TABLE confiture.jams (id int); CREATE FUNCTION confiture.f() RETURNS int RETURN 1",
    "default privileges": "ALTER DEFAULT PRIVILEGES IN SCHEMA confiture GRANT SELECT ON TABLES TO {role}",
}


@pytest.fixture(scope="module")
def history_18(server_18: Server) -> Iterator[Database]:
    yield from _with_history(server_18)


@pytest.fixture(scope="module")
def history_15(server_15: Server) -> Iterator[Database]:
    yield from _with_history(server_15)


def _with_history(server: Server) -> Iterator[Database]:
    for database in new_database(server):
        database.execute(f"CREATE ROLE {database.name}_other")
        with database.connect() as connection:
            connection.execute(query("create_schema"))
            connection.execute(history_schema_sql(0))
        yield database
        database.execute(f"DROP ROLE {database.name}_other")


@pytest.fixture(params=["history_18", "history_15"])
def history(request: pytest.FixtureRequest, uses_server: None) -> Iterator[Connection]:
    """A connection to a database of each version that has our tables; what a test does there is rolled back."""
    database = request.getfixturevalue(request.param)
    with database.connect(row_factory=dict_row) as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.mark.parametrize("changed", REFUSED)
def test_what_others_may_use_is_refused(history: Connection, changed: str) -> None:
    history.execute(_CODE.encode())
    history.execute(REFUSED[changed].format(role=f"{history.info.dbname}_other").encode())
    with pytest.raises(DatabaseUnavailable) as refused:
        read_format(history)
    assert all(one.hint and "confiture" in one.message for one in refused.value.diagnostics)


EVENT = "INSERT INTO confiture.history_events (project, target, event, environment, run, tool_version)"
CHANGES = (
    "UPDATE {} SET reason = 'x'",
    "DELETE FROM {}",
    "DELETE FROM {} WHERE false",
    "TRUNCATE {}",
    "TRUNCATE {} CASCADE",
)


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize("change", CHANGES)
def test_events_are_never_changed(history: Connection, change: str, role: str) -> None:
    """Not even by their owner, a superuser."""
    history.execute(f"{EVENT} VALUES ('p', '', 'applied', 'e', gen_random_uuid(), '1')".encode())
    history.execute(f"SET session_replication_role = {role}".encode())
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"), history.transaction():
        history.execute(change.format("confiture.history_events").encode())
    assert len(history.execute("TABLE confiture.history_events").fetchall()) == 1


@pytest.mark.parametrize(
    "dropped", ["TRIGGER append_only ON confiture.history_events", "FUNCTION confiture.refuse_change() CASCADE"]
)
def test_the_next_step_makes_events_append_only_again(history: Connection, dropped: str) -> None:
    history.execute(f"DROP {dropped}".encode())
    with pytest.raises(DatabaseUnavailable) as refused:
        read_format(history)
    (problem,) = refused.value.diagnostics
    history.execute(str(problem.hint).partition("then run: ")[2].encode())
    assert read_format(history) == FORMAT


@pytest.mark.parametrize("changed", ACCEPTED)
def test_what_is_harmless_is_accepted(history: Connection, changed: str) -> None:
    history.execute(ACCEPTED[changed].format(role=f"{history.info.dbname}_other").encode())
    assert read_format(history) == FORMAT


@pytest.mark.parametrize(
    "made",
    [
        "FUNCTION confiture.f() RETURNS int RETURN 1",
        "SEQUENCE confiture.s",
        "TYPE confiture.mood AS ENUM ('x')",
        "DOMAIN confiture.word AS text",
        "VIEW confiture.v AS SELECT 1 AS a",
        "SEQUENCE confiture.migrations",
    ],
    ids=lambda made: made.partition(" AS")[0],
)
def test_a_schema_of_another_program_is_a_clash(history: Connection, made: str) -> None:
    history.execute(f"DROP SCHEMA confiture CASCADE; CREATE SCHEMA confiture; CREATE {made}".encode())
    with pytest.raises(DatabaseUnavailable, match="does not belong to the migration history: it contains"):
        read_format(history)


@contextmanager
def _login(database: Database, role: str, options: str = "") -> Iterator[Connection]:
    with psycopg.connect(database.url, user=role, options=options, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def _is_trusted(connection: Connection) -> bool:
    try:
        return read_format(connection) == 0
    except DatabaseUnavailable as error:
        assert error.diagnostics[0].code == "foreign-schema"
        return False


@pytest.mark.parametrize("options", ["-c role={0}", "-c session_authorization={0}"])
def test_a_superuser_stays_one_under_another_role(roles: Roles, options: str) -> None:
    roles.database.execute(f"CREATE SCHEMA confiture AUTHORIZATION {roles.reader}")
    with _login(roles.database, "postgres", options.format(roles.reader)) as connection:
        assert not _is_trusted(connection)
    with _login(roles.database, roles.reader) as connection:
        assert _is_trusted(connection)


def test_a_superuser_trusts_superusers_alone(roles: Roles) -> None:
    database = roles.database
    database.execute(
        f"CREATE SCHEMA confiture AUTHORIZATION {roles.reader}; GRANT {roles.reader} TO postgres;"
        f"ALTER DATABASE {database.name} OWNER TO {roles.reader}"
    )
    try:
        with _login(database, "postgres") as connection:
            assert not _is_trusted(connection)
    finally:
        database.execute(f"ALTER DATABASE {database.name} OWNER TO postgres")


MEMBERSHIPS = {
    "a superuser": ("CREATE ROLE {a}; GRANT {a} TO {me}", True),
    "a superuser, in two steps": ("CREATE ROLE {a}; CREATE ROLE {b}; GRANT {a} TO {b}; GRANT {b} TO {me}", True),
    "itself": ("CREATE ROLE {a}; GRANT {a} TO {me} WITH ADMIN OPTION; {as_me}; GRANT {a} TO {me}", True),
    "one who may grant it": (
        "CREATE ROLE {a}; CREATE ROLE {b}; GRANT {a}, {me} TO {b} WITH ADMIN OPTION;"
        "SET SESSION AUTHORIZATION {b}; GRANT {a} TO {me}",
        True,
    ),
    "who made the role": ("{as_evil}; CREATE ROLE {a}; GRANT {a} TO {me}", False),
    "who made the role, to administer": ("{as_evil}; CREATE ROLE {a}; GRANT {a} TO {me} WITH ADMIN OPTION", False),
    "who made the role, with its members": ("{as_evil}; CREATE ROLE {a} ROLE {me}", False),
    "who may grant the role": (
        "CREATE ROLE {a}; GRANT {a} TO {evil} WITH ADMIN OPTION; {as_evil}; GRANT {a} TO {me}",
        False,
    ),
    "a member of the database's owner": (
        "CREATE ROLE {a}; CREATE ROLE {b}; GRANT {owner}, {a} TO {b} WITH ADMIN OPTION;"
        "SET SESSION AUTHORIZATION {b}; GRANT {a} TO {me}",
        True,
    ),
    "half a superuser": (
        "CREATE ROLE {b}; GRANT {b} TO {evil} WITH ADMIN OPTION; GRANT {b} TO {me};"
        "{as_evil}; CREATE ROLE {a}; GRANT {a} TO {b}",
        False,
    ),
}


@pytest.mark.parametrize("granted_by", MEMBERSHIPS)
def test_who_grants_a_membership_counts(roles: Roles, granted_by: str) -> None:
    granted, is_trusted = MEMBERSHIPS[granted_by]
    evil, me = roles.reader, roles.migrator
    names = {"evil": evil, "me": me, "a": f"{evil}_a", "b": f"{evil}_b"}
    names |= {"owner": f"{evil}_owner"}
    names |= {"as_evil": f"SET SESSION AUTHORIZATION {evil}", "as_me": f"SET SESSION AUTHORIZATION {me}"}
    roles.database.execute(
        f"ALTER ROLE {evil} CREATEROLE; CREATE ROLE {names['owner']};"
        f"ALTER DATABASE {roles.database.name} OWNER TO {names['owner']}"
    )
    with roles.database.connect() as connection:
        try:
            for statement in granted.format(**names).split(";"):
                connection.execute(statement.encode())
            connection.execute(f"RESET SESSION AUTHORIZATION; CREATE SCHEMA confiture AUTHORIZATION {evil}_a")
            with _login(roles.database, me) as mine:
                assert _is_trusted(mine) == is_trusted
        finally:
            connection.execute("RESET SESSION AUTHORIZATION; DROP SCHEMA IF EXISTS confiture")
            connection.execute(f"ALTER DATABASE {roles.database.name} OWNER TO postgres")
            for role in (f"{evil}_a", f"{evil}_b", names["owner"]):
                if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


OPENED = (
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC, {role};"
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, {role};"
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC, {role};"
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC, {role}"
)
FILL = """
after_ddl:
  - name: fill
    backfill:
      into: public.r
      from: public.w
      alias: w
      sql: INSERT INTO public.r (id) SELECT w.id FROM public.w w WHERE {{ batch }} ON CONFLICT (id) DO NOTHING
"""
TABLES = "CREATE TABLE public.w (id bigint PRIMARY KEY); CREATE TABLE public.r (id bigint PRIMARY KEY);"
ROWS = "INSERT INTO public.w SELECT generate_series(1, 100); ANALYZE public.w;"
_GRANTED = """
    SELECT c.relname, a.privilege_type FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
    WHERE c.relnamespace = 'confiture'::regnamespace AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT'
"""


def test_default_privileges_open_nothing(shop: Project, roles: Roles) -> None:
    database = roles.database
    # what the function of a trigger sees: the notes of the backfill are there
    database.execute(
        OPENED.format(role=roles.reader) + f";{TABLES}{ROWS} CREATE TABLE public.seen (relation text, privilege text);"
        "CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen "
        + _GRANTED
        + "; RETURN NULL; END $$;"
        "CREATE TRIGGER look AFTER INSERT ON public.r FOR EACH STATEMENT EXECUTE FUNCTION public.look()"
    )
    shop.migration("001_fill", FILL)
    shop.run("migrate", "up")
    shop.run("migrate", "status")
    assert database.rows("SELECT * FROM public.seen") == []
    assert database.value("SELECT count(*) FROM public.r") == 100


@pytest.mark.parametrize("made", ["notes of a role", "noting function of a role"])
def test_what_a_backfill_would_use_is_not_of_others(shop: Project, roles: Roles, made: str) -> None:
    """It is made when the run has looked at the schema, and before the backfill makes its own."""
    database = roles.database
    database.execute(TABLES + ROWS)
    shop.migration("001_fill", f"ddl:\n  - sql: |\n      {REFUSED[made].format(role=roles.reader)}{FILL}")
    database.execute(query("create_schema").decode() + history_schema_sql(0).decode())
    err = " ".join(shop.run("migrate", "up", expect=5).err.split())
    assert f"belongs to the role {roles.reader}" in err
    assert database.value("SELECT count(*) FROM public.r") == 0


def test_a_table_whose_key_changed_its_type_calls_no_cast(shop: Project, database: Database) -> None:
    """Its owner can put a cast there, which would run with the rights of the role that migrates."""
    database.execute(
        TABLES + ROWS + "ALTER TABLE public.r ADD CHECK (id <> 55); CREATE SEQUENCE public.calls;"
        "CREATE TABLE public.other (id int);"
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER confiture_backfill_1 AFTER INSERT ON public.other EXECUTE FUNCTION public.f()"
    )
    shop.migration("001_fill", FILL)
    shop.run("migrate", "up", expect=5)
    database.execute(
        "CREATE TYPE public.t AS (x bigint);"
        "CREATE FUNCTION public.evil(public.t) RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('public.calls') $$;"
        "CREATE CAST (public.t AS bigint) WITH FUNCTION public.evil(public.t) AS ASSIGNMENT;"
        "ALTER TABLE public.w DROP CONSTRAINT w_pkey;"
        "ALTER TABLE public.w ALTER id TYPE public.t USING ROW(id)::public.t;"
        "INSERT INTO public.w VALUES (ROW(500)::public.t);"
        "CREATE TRIGGER x AFTER INSERT ON public.other FOR EACH ROW EXECUTE FUNCTION confiture.backfill_1_note_0();"
        "INSERT INTO public.other VALUES (1)"
    )
    assert not database.value("SELECT is_called FROM public.calls")
    assert database.value("SELECT count(*) FROM confiture.backfill_1_keys WHERE k1 IS NULL") == 2
    database.execute("DROP TRIGGER x ON public.other")
    shop.run("backfill", "cancel")
    names = database.rows("SELECT tgname FROM pg_trigger WHERE tgrelid = 'public.other'::regclass ORDER BY 1")
    assert ("confiture_backfill_1",) in names
