"""`confiture diff`: what differs, what is only written differently, and what settings leave out."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.support.servers import new_database

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE w_orders (
    id bigint PRIMARY KEY,
    status varchar(10) NOT NULL CONSTRAINT known CHECK (status IN ('open', 'done')),
    amount numeric(10, 2) DEFAULT 0
);
CREATE INDEX w_orders_open ON w_orders (id) WHERE status IN ('open', 'done');
CREATE VIEW open_orders AS SELECT id FROM w_orders WHERE status IN ('open', 'done');
CREATE POLICY mine ON w_orders USING (status IN ('open', 'done'));
"""


@pytest.fixture
def orders(shop):
    """A project whose schema files create what the database contains."""
    shop.ddl("010_orders.sql", SCHEMA)
    _execute(shop, SCHEMA)
    return shop


@pytest.fixture
def database_15(server_15):
    yield from new_database(server_15)


def _execute(shop, statement):
    with psycopg.connect(shop.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(statement)


def test_equal_schemas_exit_with_0_and_changes_by_hand_with_7(orders):
    assert "no differences" in orders.run("diff").out
    _execute(
        orders,
        """
        ALTER TABLE w_orders ALTER amount SET DEFAULT 1, ADD by_hand int;
        DROP VIEW open_orders; CREATE TABLE scratch (id int PRIMARY KEY, note text)
    """,
    )
    result = orders.run("diff", expect=7)
    lines = result.out.splitlines()
    assert "4 differences" in lines[0]
    assert [line for line in lines if line[:1] in "+-~ " and line.strip()][1:] == [
        "- table public.scratch",
        "~ table column public.w_orders.amount  schemas/010_orders.sql:5:5",
        "    default: 1 → 0",
        "- table column public.w_orders.by_hand",
        "+ view public.open_orders  schemas/010_orders.sql:8:1",
    ]


def test_the_json_document_has_changes_as_data(orders):
    _execute(orders, "ALTER TABLE w_orders ALTER amount SET DEFAULT 1")
    document = orders.run("diff", "--format", "json", expect=7).json
    assert document["equal"] is False
    assert document["after"] == "the schema files"
    assert document["changes"] == [
        {
            "action": "alter",
            "kind": "table column",
            "identity": "public.w_orders.amount",
            "parent": "table public.w_orders",
            "file": "schemas/010_orders.sql",
            "line": 5,
            "facts": [{"fact": "default", "before": "1", "after": "0", "shown": True}],
        }
    ]
    markdown = orders.run("diff", "--format", "markdown", expect=7).out
    assert "- `~ table column public.w_orders.amount` `schemas/010_orders.sql:5:5`\n  - default: `1 → 0`\n" in markdown


def test_other_words_with_the_same_meaning_are_no_difference(orders):
    """The texts that PostgreSQL prints for the definitions, loaded again as a restored dump does."""
    spelled = "((status)::text = ANY ((ARRAY['open'::character varying, 'done'::character varying])::text[]))"
    _execute(
        orders,
        f"""
        ALTER TABLE w_orders DROP CONSTRAINT known, ADD CONSTRAINT known CHECK ({spelled});
        DROP INDEX w_orders_open; CREATE INDEX w_orders_open ON w_orders (id) WHERE {spelled};
        CREATE OR REPLACE VIEW open_orders AS SELECT id FROM w_orders WHERE {spelled};
        ALTER POLICY mine ON w_orders USING ({spelled})
    """,
    )
    document = orders.run("diff", "--format", "json").json
    assert document["changes"] == []
    assert {change["identity"] for change in document["written_differently"]} == {
        "known on public.w_orders",
        "public.w_orders_open",
        "public.open_orders",
        "mine on public.w_orders",
    }
    assert "4 objects written differently, but equal" in orders.run("diff").out
    _execute(
        orders,
        f"""
        ALTER TABLE w_orders DROP CONSTRAINT known, ADD CONSTRAINT known CHECK ({spelled.replace("done", "gone")})
    """,
    )
    (change,) = orders.run("diff", "--format", "json", expect=7).json["changes"]
    assert change["identity"] == "known on public.w_orders"


def test_settings_leave_out_differences_and_the_output_counts_them(orders):
    _execute(
        orders,
        """
        CREATE TABLE events_202401 (id int PRIMARY KEY); CREATE SCHEMA platform; CREATE TABLE platform.t (id int);
        GRANT SELECT ON w_orders TO pg_monitor
    """,
    )
    assert "4 differences" in orders.run("diff", expect=7).out
    orders.write(
        "confiture.yaml",
        """
        diff:
          ignore:
            - {kind: table, name: public.events_2*}
            - {name: platform*}
            - {fact: privileges of pg_monitor}
        """,
    )
    result = orders.run("diff")
    assert "no differences" in result.out
    assert "4 differences ignored by settings" in result.out


def test_a_second_run_uses_the_cache_unless_others_can_write_it(orders):
    orders.run("diff")
    folder = orders.root / ".confiture" / "cache"
    assert folder.stat().st_mode & 0o777 == 0o700
    (stored,) = folder.glob("*.json")
    document = json.loads(stored.read_text())
    for item in document["objects"]:
        if item[1] == "public.w_orders.amount":
            item[3]["default"] = "7"
    stored.write_text(json.dumps(document))
    assert "default: 0 → 7" in orders.run("diff", expect=7).out
    folder.chmod(0o770)
    assert "no differences" in orders.run("diff").out
    folder.chmod(0o700)
    stored.write_text("{")
    assert "no differences" in orders.run("diff").out


def test_schema_files_are_compared_with_the_end_of_all_migrations(orders):
    orders.migration("001_orders", "ddl: [{sql: CREATE TABLE w_orders (id bigint PRIMARY KEY)}]")
    out = orders.run("diff", "--migrations", expect=7).out
    assert "the end of all migrations compared with the schema files" in out
    assert "+ view public.open_orders" in out
    orders.migration("001_orders", "ddl: [010_orders.sql]")
    for _ in range(2):
        assert "no differences" in orders.run("diff", "--migrations").out
    orders.migration("002_role", "ddl: [{sql: CREATE ROLE confiture_test_reader}]")
    assert "roles" in orders.run("diff", "--migrations", expect=2).err


def test_confitures_own_objects_do_not_count(shop):
    shop.ddl("010_a.sql", "CREATE TABLE w_a (id int);")
    shop.migration("001_a", "ddl: [010_a.sql]")
    shop.run("migrate", "up")
    assert "no differences" in shop.run("diff").out


def test_two_databases_of_different_versions_are_compared_on_one_server(project, database_15, database_18):
    schema = """
        CREATE TABLE t (id int PRIMARY KEY, json text, CONSTRAINT c CHECK (json > 'a'));
        CREATE VIEW v AS SELECT id FROM t ORDER BY json; GRANT ALL ON t TO pg_monitor
    """
    for database in (database_15, database_18):
        database.execute(schema)
    result = project.run("diff", "--database", database_15.url, "--against", database_18.url)
    assert "no differences" in result.out
    assert "was loaded into PostgreSQL 18" in result.out
    database_15.execute("ALTER TABLE t DROP CONSTRAINT c; CREATE ROLE diff_only_15; GRANT SELECT ON t TO diff_only_15")
    result = project.run("diff", "--database", database_15.url, "--against", database_18.url, expect=7)
    assert "+ table constraint c on public.t" in result.out
    assert "privileges of diff_only_15: select → none" in result.out
    database_15.execute("DROP OWNED BY diff_only_15; DROP ROLE diff_only_15")


def test_what_cannot_be_loaded_into_the_other_version_is_undecided(project, database_15, database_18):
    """An object that the copy lacks is never equal: it is undecided, or only in one of the schemas."""
    database_15.execute("""
        CREATE EXTENSION pgcrypto; CREATE EXTENSION citext;
        CREATE TABLE secrets (id int PRIMARY KEY, note text DEFAULT encode(gen_random_bytes(4), 'hex'));
        COMMENT ON TABLE secrets IS 'Kept'; CREATE INDEX on_note ON secrets (note);
        CREATE TABLE only_15 (a text DEFAULT encode(gen_random_bytes(4), 'hex'));
    """)
    database_18.execute("""
        CREATE FUNCTION gen_random_bytes(int) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea';
        CREATE TABLE secrets (id int PRIMARY KEY, note text DEFAULT encode(gen_random_bytes(4), 'hex'));
        CREATE INDEX on_note ON secrets (note);
    """)
    for flip in (False, True):
        one, other = (database_18, database_15) if flip else (database_15, database_18)
        result = project.run("diff", "--database", one.url, "--against", other.url, "--format", "json", expect=7)
        document = result.json
        listed = {(change["kind"], change["identity"]) for change in document["changes"]}
        assert {("extension", "pgcrypto"), ("extension", "citext"), ("table", "public.only_15")} <= listed
        assert not document["equal"]
        (undecided,) = document["undecided"]
        assert (undecided["kind"], undecided["identity"]) == ("table", "public.secrets")
        assert "could not be loaded into PostgreSQL 18: function public.gen_random_bytes" in undecided["reason"]
    out = project.run("diff", "--database", database_15.url, "--against", database_18.url, expect=7).out
    assert "1 object that cannot be compared" in out
    assert "? table public.secrets" in out


def test_options_that_exclude_each_other(project):
    err = project.run("diff", "--migrations", "--against", "postgresql://localhost/x", expect=2).err
    assert "--against and --migrations are mutually exclusive" in err
    assert "--to and --baseline" in project.run("pull", "--to", "x", "--baseline", expect=2).err
