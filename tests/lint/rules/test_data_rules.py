"""Rules about data and compatibility, where it is subtle whether they find something."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.rule_cases import BEFORE, Asked, relations, sqlstate
from tests.support.servers import Database, Roles

ENUM_USES = {
    "INSERT": ("INSERT INTO w_jobs (id, stage) VALUES (1, 'shipped')", True),
    "INSERT without columns": ("INSERT INTO w_jobs VALUES (1, 'shipped', 'x')", True),
    "INSERT ... SELECT": ("INSERT INTO w_jobs (id, stage) SELECT 1, 'shipped'", True),
    "INSERT of text": ("INSERT INTO w_jobs (id, label) VALUES (1, 'shipped')", False),
    "INSERT of another label": ("INSERT INTO w_jobs (id, stage) VALUES (1, 'printed')", False),
    "UPDATE": ("UPDATE w_jobs SET stage = 'shipped'", True),
    "UPDATE of text": ("UPDATE w_jobs SET label = 'shipped'", False),
    "UPDATE by CASE": ("UPDATE w_jobs SET stage = CASE WHEN id > 5 THEN 'shipped' ELSE stage END", True),
    "compared within CASE": ("UPDATE w_jobs SET stage = CASE WHEN label = 'shipped' THEN stage END", False),
    "WHERE": ("SELECT count(*) FROM w_jobs WHERE stage = 'shipped'", True),
    "WHERE of another column": ("SELECT count(*) FROM w_jobs WHERE label = 'shipped'", False),
    "WHERE with a name": ("DELETE FROM w_jobs j WHERE j.stage IN ('printed', 'shipped')", True),
    "a cast": ("SELECT 'shipped'::order_stage", True),
    "text alone": ("SELECT 'shipped'", False),
    "a new default": ("ALTER TABLE w_jobs ALTER COLUMN stage SET DEFAULT 'shipped'", True),
    "a new column": ("ALTER TABLE w_jobs ADD COLUMN next order_stage DEFAULT 'shipped'", True),
    "a new column of text": ("ALTER TABLE w_jobs ADD COLUMN next text DEFAULT 'shipped'", False),
    "a check": ("ALTER TABLE w_jobs ADD CONSTRAINT c CHECK (stage <> 'shipped')", True),
    "a new table": ("CREATE TABLE n (s order_stage DEFAULT 'shipped')", True),
    "a row of a new table": ("CREATE TABLE n (s order_stage); INSERT INTO n VALUES ('shipped')", True),
    "a view": ("CREATE VIEW v AS SELECT * FROM w_jobs WHERE stage = 'shipped'", True),
    "an index": ("CREATE INDEX i ON w_jobs (id) WHERE stage = 'shipped'", True),
    "a policy": ("CREATE POLICY p ON w_jobs USING (stage = 'shipped')", True),
    "an array": ("INSERT INTO w_jobs (id, stages) VALUES (1, ARRAY['shipped'::order_stage])", True),
    "a function of SQL": ("CREATE FUNCTION f() RETURNS order_stage LANGUAGE sql RETURN 'shipped'::order_stage", True),
}


@pytest.mark.parametrize(("text", "fails"), ENUM_USES.values(), ids=ENUM_USES)
def test_enum_in_same_transaction(text: str, fails: bool, database: Database) -> None:
    migration = f"ALTER TYPE order_stage ADD VALUE 'shipped'; {text}"
    assert relations("enum_in_same_transaction", migration) == (["order_stage"] if fails else [])
    assert relations("enum_in_same_transaction", "ALTER TYPE order_stage ADD VALUE 'shipped'", text) == []
    database.execute(BEFORE)
    assert sqlstate(database, migration) == ("55P04" if fails else None)


@pytest.mark.parametrize(
    ("migration", "fails_on"),
    [
        ("CREATE TYPE s AS ENUM ('a'); ALTER TYPE s ADD VALUE 'b'; CREATE TABLE n (x s DEFAULT 'b')", {14, 15, 16}),
        ("CREATE TYPE s AS ENUM ('a'); CREATE TABLE n (x s DEFAULT 'a')", set()),
        ("ALTER TYPE order_stage ADD VALUE IF NOT EXISTS 'printed'; UPDATE w_jobs SET stage = 'printed'", set()),
        ("ALTER TYPE order_stage ADD VALUE IF NOT EXISTS 'x'; UPDATE w_jobs SET stage = 'x'", {14, 15, 16, 17, 18}),
        ("ALTER TYPE order_stage RENAME VALUE 'printed' TO 'x'; UPDATE w_jobs SET stage = 'x'", set()),
    ],
)
def test_enum_in_same_transaction_by_version(migration: str, fails_on: set[int], database: Database) -> None:
    found = {version for version in range(14, 19) if relations("enum_in_same_transaction", migration, version=version)}
    assert found == fails_on
    database.execute(BEFORE)
    assert (sqlstate(database, migration) == "55P04") is (database.server.version in fails_on)


def test_a_label_that_is_used_after_a_commit_is_no_hazard() -> None:
    between = "CREATE INDEX CONCURRENTLY i ON w_jobs (label)"
    migration = f"ALTER TYPE order_stage ADD VALUE 'x'; {between}; UPDATE w_jobs SET stage = 'x' WHERE id = 1"
    assert relations("enum_in_same_transaction", migration) == []


def test_the_place_is_that_of_the_label() -> None:
    text = "ALTER TYPE order_stage ADD VALUE 'ü';\nUPDATE w_jobs -- über\nSET stage = 'ü'\nWHERE id = 1"
    (hit,) = Asked((text,)).hits("enum_in_same_transaction")
    assert hit.location and (hit.location.span.line, hit.location.span.column) == (3, 13)


@pytest.mark.parametrize(
    ("rule", "text", "at"),
    [
        ("drop_object", "ALTER TABLE w_orders\n ADD COLUMN x int,\n DROP COLUMN status", "DROP COLUMN"),
        ("rename_object", "ALTER TABLE w_orders RENAME COLUMN status TO state", "status TO"),
        ("rename_object", "ALTER TABLE w_orders RENAME status TO state", "status TO"),
        ("rename_object", 'ALTER TABLE "w_Odd Names" RENAME "select" TO b', '"select"'),
        ("rename_object", "ALTER TABLE IF EXISTS public.w_orders RENAME TO b", "public.w_orders"),
        ("cascade_or_truncate", "DROP TABLE w_orders -- ü\nCASCADE -- so", "CASCADE"),
        ("cascade_or_truncate", "ALTER TABLE w_orders ADD x int, DROP status CASCADE", "DROP status"),
        ("cascade_or_truncate", "TRUNCATE w_jobs", "w_jobs"),
        ("replica_identity", "ALTER TABLE w_orders REPLICA IDENTITY FULL", "REPLICA"),
        ("unbounded_dml", "WITH a AS (DELETE FROM w_orders RETURNING id) SELECT * FROM a", "w_orders"),
        ("dynamic_sql", "SELECT 1, public.run_all()", "public.run_all"),
    ],
)
def test_places(rule: str, text: str, at: str) -> None:
    (hit,) = Asked((text,)).hits(rule)
    assert hit.location and text[hit.location.offset :].startswith(at), text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ALTER TYPE order_stage RENAME VALUE 'printed' TO 'done'", ["order_stage"]),
        ("ALTER TYPE order_stage ADD VALUE 'x'", []),
        ("CREATE TYPE s AS ENUM ('a'); ALTER TYPE s RENAME VALUE 'a' TO 'b'", []),
        ("ALTER TYPE order_stage ADD VALUE 'x'; ALTER TYPE order_stage RENAME VALUE 'x' TO 'y'", []),
        ("ALTER TYPE shop.stage RENAME VALUE 'it''s' TO 'b\\c'", ["shop.stage"]),
    ],
)
def test_enum_rename(text: str, found: list[str]) -> None:
    assert relations("enum_rename", text) == found


DROPS = {
    "a table": ("DROP TABLE w_orders", [("w_orders", None)]),
    "two tables": ("DROP TABLE IF EXISTS w_jobs, stock.items", [("w_jobs", None), ("stock.items", None)]),
    "an unknown table": ("DROP TABLE w_legacy", [("w_legacy", None)]),
    "a table that is made again": ("DROP TABLE w_jobs; CREATE TABLE w_jobs (id bigint)", [("w_jobs", None)]),
    "a new table": ("CREATE TABLE n (id int); DROP TABLE n", []),
    "a temporary table": ("CREATE TEMP TABLE t (id int); DROP TABLE t", []),
    "a column": ("ALTER TABLE w_orders DROP COLUMN status", [("w_orders", None)]),
    "a column among commands": (
        "ALTER TABLE ONLY w_orders ADD COLUMN x int, DROP status, DROP COLUMN amount CASCADE",
        [("w_orders", None), ("w_orders", None)],
    ),
    "a column that is not there": ("ALTER TABLE w_orders DROP COLUMN IF EXISTS nothing", []),
    "a column of an unknown table": ("ALTER TABLE w_legacy DROP COLUMN IF EXISTS x", [("w_legacy", None)]),
    "a new column": ("ALTER TABLE w_orders ADD COLUMN x int; ALTER TABLE w_orders DROP COLUMN x", []),
    "a constraint": ("ALTER TABLE w_orders DROP CONSTRAINT w_orders_number_key", []),
    "an index": ("DROP INDEX w_orders_status_idx", []),
    "a view": ("DROP VIEW v_orders", [("v_orders", "warning")]),
    "a view that is made again": ("DROP VIEW v_orders; CREATE VIEW v_orders AS SELECT 1 AS id", []),
    "a view that another one replaces": (
        "DROP VIEW v_orders; CREATE VIEW stock.v_orders AS SELECT 1 AS id",
        [("v_orders", "warning")],
    ),
    "a materialized view": ("DROP MATERIALIZED VIEW r_totals", [("r_totals", "warning")]),
    "a materialized view that is made again": (
        "DROP MATERIALIZED VIEW r_totals; CREATE MATERIALIZED VIEW r_totals AS SELECT 1 AS x",
        [],
    ),
    "a schema": ("DROP SCHEMA stock", [("stock", "warning")]),
    "a schema with all in it": ("DROP SCHEMA stock CASCADE", [("stock", None)]),
    "a new schema": ("CREATE SCHEMA s; DROP SCHEMA s CASCADE", []),
    "a function": ("DROP FUNCTION total(bigint)", [("total", "warning")]),
    "a function that is made again": (
        "DROP FUNCTION total(bigint); CREATE FUNCTION total(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        [],
    ),
    "a function of triggers": ("DROP FUNCTION touch()", []),
    "a type": ("DROP TYPE order_stage", [("order_stage", "warning")]),
    "two views": ("DROP VIEW v_orders, v_others", [("v_orders", "warning")]),
    "a sequence": ("DROP SEQUENCE order_numbers", [("order_numbers", "warning")]),
    "a trigger": ("DROP TRIGGER t ON w_orders", []),
    "a policy": ("DROP POLICY p ON w_orders", []),
    "all of a role": ("DROP OWNED BY clerk", [(None, None)]),
}


@pytest.mark.parametrize(("text", "found"), DROPS.values(), ids=DROPS)
def test_drop_object(text: str, found: list[tuple[str | None, str | None]]) -> None:
    assert [(hit.relation, hit.severity) for hit in Asked((text,)).hits("drop_object")] == found


def test_a_table_made_by_an_earlier_migration_is_not_new() -> None:
    assert relations("drop_object", "CREATE TABLE n (id int)", "DROP TABLE n") == ["n"]


def test_a_column_that_must_be_written_is_made_optional_first() -> None:
    (hit,) = Asked(("ALTER TABLE w_orders DROP COLUMN tenant_id",)).hits("drop_object")
    assert hit.remedy and hit.remedy.endswith("ALTER TABLE w_orders ALTER COLUMN tenant_id DROP NOT NULL;")


def test_a_schema_that_holds_something_is_only_dropped_by_cascade(database_18: Database) -> None:
    database_18.execute(BEFORE)
    assert sqlstate(database_18, "DROP SCHEMA stock") == "2BP01"


CASCADES = {
    "TRUNCATE": ("TRUNCATE w_jobs", ["w_jobs"]),
    "TRUNCATE of several": ("TRUNCATE TABLE ONLY w_jobs, stock.items CASCADE", ["w_jobs", "stock.items"]),
    "TRUNCATE of a new table": ("CREATE TABLE n (id int); TRUNCATE n", []),
    "DROP TABLE": ("DROP TABLE w_orders", []),
    "DROP TABLE CASCADE": ("DROP TABLE w_customers CASCADE", ["w_customers"]),
    "DROP of a new table": ("CREATE TABLE n (id int); DROP TABLE n CASCADE", []),
    "DROP of a new and an old one": ("CREATE TABLE n (id int); DROP TABLE n, w_jobs CASCADE", ["w_jobs"]),
    "DROP FUNCTION": ("DROP FUNCTION total(bigint) CASCADE", ["total"]),
    "DROP TYPE": ("DROP TYPE order_stage CASCADE", ["order_stage"]),
    "DROP TRIGGER": ("DROP TRIGGER t ON w_orders CASCADE", []),
    "DROP COLUMN": ("ALTER TABLE w_orders DROP COLUMN status CASCADE", ["w_orders"]),
    "DROP CONSTRAINT": ("ALTER TABLE w_customers DROP CONSTRAINT w_customers_pkey CASCADE", ["w_customers"]),
    "without CASCADE": ("ALTER TABLE w_orders DROP CONSTRAINT w_orders_number_key", []),
    "DROP OWNED": ("DROP OWNED BY clerk CASCADE", [None]),
}


@pytest.mark.parametrize(("text", "found"), CASCADES.values(), ids=CASCADES)
def test_cascade_or_truncate(text: str, found: list[str | None]) -> None:
    assert relations("cascade_or_truncate", text) == found


def test_cascade_names_what_depends(database_18: Database) -> None:
    (hit,) = Asked(("DROP TABLE w_customers CASCADE",)).hits("cascade_or_truncate")
    assert "foreign key w_orders_customer_id_fkey of w_orders" in hit.message
    (other,) = Asked(("DROP TABLE w_orders CASCADE",)).hits("cascade_or_truncate")
    assert "view v_orders" in other.message and "materialized view r_totals" in other.message
    assert hit.remedy and other.remedy and "CASCADE" not in hit.remedy + other.remedy
    database_18.execute(BEFORE)
    assert sqlstate(database_18, hit.remedy) is None
    assert sqlstate(database_18, other.remedy) is None


def test_a_table_that_is_filled_again_loses_nothing() -> None:
    (hit,) = Asked(("TRUNCATE w_jobs; INSERT INTO w_jobs (id) SELECT id FROM w_orders",)).hits("cascade_or_truncate")
    assert hit.severity == "warning" and hit.remedy is None


RENAMES = {
    "a table": ("ALTER TABLE w_orders RENAME TO w_sales", ["w_orders"]),
    "an unknown table": ("ALTER TABLE IF EXISTS w_legacy RENAME TO w_old", ["w_legacy"]),
    "a table in a schema": ("ALTER TABLE stock.items RENAME TO goods", ["stock.items"]),
    "a quoted table": ('ALTER TABLE "w_Odd Names" RENAME TO w_odd', ["w_Odd Names"]),
    "a column": ("ALTER TABLE ONLY w_orders RENAME COLUMN status TO state", ["w_orders"]),
    "a column of a view": ("ALTER VIEW v_orders RENAME COLUMN status TO state", ["v_orders"]),
    "a constraint": ("ALTER TABLE w_orders RENAME CONSTRAINT w_orders_number_key TO w_orders_key", []),
    "an index": ("ALTER INDEX w_orders_status_idx RENAME TO w_orders_state_idx", []),
    "an index as a table": ("ALTER TABLE w_orders_status_idx RENAME TO w_orders_state_idx", []),
    "a trigger": ("ALTER TRIGGER t ON w_orders RENAME TO u", []),
    "a policy": ("ALTER POLICY p ON w_orders RENAME TO q", []),
    "a view": ("ALTER VIEW v_orders RENAME TO v_sales", ["v_orders"]),
    "a view as a table": ("ALTER TABLE v_orders RENAME TO v_sales", ["v_orders"]),
    "a sequence": ("ALTER SEQUENCE order_numbers RENAME TO numbers", ["order_numbers"]),
    "the sequence of a column": ("ALTER SEQUENCE w_numbers_id_seq RENAME TO numbers", []),
    "a type": ("ALTER TYPE order_stage RENAME TO stage", ["order_stage"]),
    "a function": ("ALTER FUNCTION total(bigint) RENAME TO sum_of", ["total"]),
    "a schema": ("ALTER SCHEMA stock RENAME TO goods", ["stock"]),
    "a role": ("ALTER ROLE clerk RENAME TO boss", []),
    "moved": ("ALTER TABLE w_orders SET SCHEMA stock", ["w_orders"]),
    "a moved function": ("ALTER FUNCTION total(bigint) SET SCHEMA stock", ["total"]),
    "a moved extension": ("ALTER EXTENSION hstore SET SCHEMA stock", []),
    "a new table": ("CREATE TABLE n (id int); ALTER TABLE n RENAME TO m; ALTER TABLE m RENAME COLUMN id TO x", []),
    "a temporary table": ("CREATE TEMP TABLE t (id int); ALTER TABLE t RENAME TO u", []),
    "a new column": ("ALTER TABLE w_orders ADD COLUMN x int; ALTER TABLE w_orders RENAME COLUMN x TO y", []),
    "a table of a new one's name": (
        "CREATE TABLE n (id int); DROP TABLE n; ALTER TABLE w_jobs RENAME TO n; ALTER TABLE n RENAME COLUMN id TO x",
        ["w_jobs", "n"],
    ),
    "a column that stays": (
        "ALTER TABLE w_orders RENAME COLUMN amount TO total;"
        " ALTER TABLE w_orders ADD COLUMN amount numeric GENERATED ALWAYS AS (total) STORED",
        [],
    ),
    "a view of the old name": ("ALTER TABLE w_orders RENAME TO w_sales; CREATE VIEW w_orders AS TABLE w_sales", []),
    "two tables that swap": (
        "CREATE TABLE n (id int); ALTER TABLE w_jobs RENAME TO w_jobs_old; ALTER TABLE n RENAME TO w_jobs",
        [],
    ),
}


@pytest.mark.parametrize(("text", "found"), RENAMES.values(), ids=RENAMES)
def test_rename_object(text: str, found: list[str]) -> None:
    assert relations("rename_object", text) == found


@pytest.mark.parametrize("name", RENAMES)
def test_what_is_to_be_written_instead_of_a_rename_breaks_nobody(name: str) -> None:
    text, _ = RENAMES[name]
    for hit in Asked((text,)).hits("rename_object"):
        if hit.remedy:
            assert relations("rename_object", hit.remedy) == []


def test_clients_of_a_renamed_table_go_on_by_the_view(roles: Roles) -> None:
    database, clerk = roles.database, roles.reader
    before = f"{BEFORE}; GRANT SELECT, INSERT, UPDATE, DELETE ON w_jobs TO {clerk};"
    asked = Asked(("ALTER TABLE w_jobs RENAME TO w_tasks",), before=before, version=database.server.version)
    (hit,) = asked.hits("rename_object")
    database.execute(before)
    assert hit.remedy and sqlstate(database, hit.remedy) is None
    with psycopg.connect(roles.url(clerk), autocommit=True) as client:
        client.execute("INSERT INTO w_jobs (id, label) VALUES (1, 'a') ON CONFLICT (id) DO NOTHING")
        client.execute("UPDATE w_jobs SET label = 'b' WHERE id = 1")
        assert client.execute("SELECT label FROM w_jobs FOR UPDATE").fetchall() == [("b",)]
        client.execute("DELETE FROM w_jobs WHERE id = 1")


@pytest.mark.parametrize("version", [14, 15])
def test_no_view_that_reads_around_policies_is_offered(version: int) -> None:
    before = f"{BEFORE}; ALTER TABLE w_jobs ENABLE ROW LEVEL SECURITY;"
    (hit,) = Asked(("ALTER TABLE w_jobs RENAME TO w_tasks",), before=before, version=version).hits("rename_object")
    assert (hit.remedy is not None) is (version >= 15)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ALTER TABLE w_orders REPLICA IDENTITY NOTHING", ["w_orders"]),
        ("ALTER TABLE w_orders REPLICA IDENTITY FULL", ["w_orders"]),
        ("ALTER TABLE w_orders REPLICA IDENTITY DEFAULT", []),
        ("ALTER TABLE w_orders REPLICA IDENTITY USING INDEX w_orders_number_key", []),
        ("ALTER TABLE w_log REPLICA IDENTITY FULL", []),
        ("ALTER TABLE w_legacy REPLICA IDENTITY FULL", ["w_legacy"]),
        ("CREATE TABLE n (id int); ALTER TABLE n REPLICA IDENTITY NOTHING", []),
        ("ALTER TABLE w_orders DROP CONSTRAINT w_orders_pkey", ["w_orders"]),
        ("ALTER TABLE w_orders DROP CONSTRAINT w_orders_number_key", []),
        ("ALTER TABLE w_orders DROP COLUMN id", ["w_orders"]),
        ("ALTER TABLE w_orders DROP CONSTRAINT w_orders_pkey, ADD PRIMARY KEY (tenant_id, number)", []),
        ("ALTER TABLE w_orders DROP CONSTRAINT w_orders_pkey; ALTER TABLE w_orders ADD PRIMARY KEY (number)", []),
        ("ALTER TABLE w_orders DROP COLUMN id, ADD COLUMN key uuid DEFAULT gen_random_uuid() PRIMARY KEY", []),
        ("DROP INDEX w_orders_status_idx", []),
        ("DROP INDEX w_parcels_code_idx", ["w_parcels"]),
        ("ALTER TABLE w_parcels DROP COLUMN code", ["w_parcels"]),
        ("ALTER TABLE w_parcels DROP CONSTRAINT w_parcels_pkey", []),
    ],
)
def test_replica_identity(text: str, found: list[str]) -> None:
    others = """
    CREATE TABLE w_log (line text);
    CREATE TABLE w_parcels (id bigint PRIMARY KEY, code text NOT NULL);
    CREATE UNIQUE INDEX w_parcels_code_idx ON w_parcels (code);
    ALTER TABLE w_parcels REPLICA IDENTITY USING INDEX w_parcels_code_idx;
    """
    assert relations("replica_identity", text, before=BEFORE + others) == found
