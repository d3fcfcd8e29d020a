"""Reading the facts about a schema: dependencies, concurrent changes, and what never leaves the server."""

from __future__ import annotations

import threading

from confiture.core.schema_facts.comparison import compare_schemas
from confiture.core.schema_facts.reader import read_schema_facts
from confiture.errors import DatabaseUnavailable
from confiture.models.schema_changes import ChangeAction
from tests.support.servers import new_database


def test_dependencies_name_parts(database_18):
    database_18.execute("""
        CREATE FUNCTION next_number() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE TYPE mood AS ENUM ('ok');
        CREATE TABLE w_orders (id int PRIMARY KEY DEFAULT next_number(), mood mood);
        CREATE VIEW open_orders AS SELECT id FROM w_orders;
        CREATE VIEW few AS SELECT id FROM open_orders;
        CREATE TABLE w_lines (order_id int REFERENCES w_orders);
    """)
    with database_18.connect() as connection:
        edges = read_schema_facts(connection, with_dependencies=True).dependencies
    assert "function public.next_number()" in edges["table column public.w_orders.id"]
    assert "type public.mood" in edges["table column public.w_orders.mood"]
    assert edges["view public.few"] == {"view public.open_orders", "schema public"}
    assert "table column public.w_orders.id" in edges["view public.open_orders"]
    assert (
        "table constraint w_orders_pkey on public.w_orders"
        in edges["table constraint w_lines_order_id_fkey on public.w_lines"]
    )


def test_settings_of_the_session_do_not_change_facts(database):
    database.execute("""
        CREATE TABLE t (at timestamptz DEFAULT '2024-01-01 12:00:00+00', i interval DEFAULT '90 minutes',
            b bytea DEFAULT '\\x00ff');
        CREATE TABLE p (at timestamptz) PARTITION BY RANGE (at);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00');
    """)
    with database.connect() as connection:
        before = read_schema_facts(connection)
        connection.execute("""
            SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET intervalstyle = 'iso_8601';
            SET bytea_output = 'escape'; SET quote_all_identifiers = on; SET search_path = public
        """)
        assert read_schema_facts(connection).objects == before.objects
        assert connection.execute("SHOW timezone").fetchone() == ("Asia/Tokyo",)


def test_versions_quote_different_keywords(server_15, server_18):
    facts = []
    for server in (server_15, server_18):
        for database in new_database(server):
            database.execute('CREATE TABLE t (json text, "user" text, "Mixed" text)')
            with database.connect() as connection:
                facts.append(read_schema_facts(connection))
    older, newer = facts
    assert compare_schemas(older, newer).changes == ()


def test_inherited_copies_of_a_change_are_not_listed(database):
    database.execute("""
        CREATE TABLE p (k int, v text) PARTITION BY RANGE (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);
        CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent);
    """)
    with database.connect() as connection:
        before = read_schema_facts(connection)
        connection.execute("ALTER TABLE p ADD x int; ALTER TABLE p ALTER v TYPE varchar; CREATE INDEX ON p (x)")
        connection.execute("ALTER TABLE p ADD PRIMARY KEY (k); ALTER TABLE parent ADD CONSTRAINT c CHECK (a > 0)")
        changes = compare_schemas(before, read_schema_facts(connection)).changes
    listed = [(change.action, change.name) for change in changes]
    assert (ChangeAction.CREATE, "table column public.p.x") in listed
    assert (ChangeAction.CREATE, "index public.p_x_idx") in listed
    assert not [name for _, name in listed if "p1" in name or "child" in name]


def test_secrets_of_foreign_objects_stay_on_the_server(database):
    setup = """
        CREATE EXTENSION IF NOT EXISTS postgres_fdw;
        CREATE SERVER remote FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'hidden-host');
        CREATE USER MAPPING FOR public SERVER remote OPTIONS (user 'u', password 'hidden-password');
        CREATE FOREIGN TABLE far (a int OPTIONS (column_name 'hidden-column')) SERVER remote
            OPTIONS (table_name 'hidden-table');
        CREATE SUBSCRIPTION sub CONNECTION 'host=hidden-host password=hidden-password' PUBLICATION other
            WITH (connect = false, slot_name = NONE);
    """
    with database.connect() as connection:
        for statement in setup.split(";"):
            connection.execute(statement.encode())
        try:
            before = read_schema_facts(connection)
            assert "hidden" not in repr(before)
            assert before.objects["user mapping public on server remote"].facts["option names"] == "password, user"
            assert before.objects["subscription sub"].facts["not read"] == "its connection string"
            connection.execute("ALTER USER MAPPING FOR public SERVER remote OPTIONS (SET password 'hidden-other')")
            comparison = compare_schemas(before, read_schema_facts(connection))
        finally:
            connection.execute("DROP SUBSCRIPTION sub")
    (change,) = comparison.changes
    assert [(fact.fact, fact.is_shown) for fact in change.facts] == [("option values", False)]
    assert comparison.notes == ("subscription sub: not compared: its connection string",)


def test_concurrent_ddl_never_makes_objects_disappear(database_18):
    """A view that is replaced all the time exists in every result."""
    database_18.execute("CREATE TABLE t (id int); CREATE VIEW v AS SELECT id FROM t")
    stop = threading.Event()

    def replace():
        with database_18.connect() as connection:
            while not stop.is_set():
                connection.execute("BEGIN; DROP VIEW v; CREATE VIEW v AS SELECT id FROM t; COMMIT")

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        with database_18.connect() as connection:
            for _ in range(5):
                try:
                    facts = read_schema_facts(connection)
                except DatabaseUnavailable as error:
                    assert error.diagnostics[0].code == "concurrent-ddl"
                else:
                    assert facts.objects["view public.v"].facts["query"]
    finally:
        stop.set()
        thread.join()
