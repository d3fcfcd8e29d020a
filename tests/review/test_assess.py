"""`migrate assess`: the facts of a plan and a database, and the grades that follow from them."""

from __future__ import annotations

import json

import pytest

from tests.support.projects import Project
from tests.support.servers import Database

Grades = dict[str, dict[str, tuple[str, str, str]]]
DOWN = "down: [{sql: SELECT 1}]\n"

# by statement: the grades for locks and data loss, and the effect
CASES = {
    "CREATE TABLE w_new (id int PRIMARY KEY, tenant_id int NOT NULL)": ("none", "none", "creates 1 table"),
    "ALTER TABLE w_new ADD COLUMN note text": ("none", "none", "adds 1 column"),
    "ALTER TABLE w_orders ADD COLUMN size int": ("unknown", "none", "adds 1 column"),
    "ALTER TABLE w_idle ADD COLUMN size int": ("medium", "none", "adds 1 column"),
    "CREATE INDEX CONCURRENTLY w_orders_price ON w_orders (price)": ("low", "none", "builds 1 index concurrently"),
    "CREATE INDEX w_orders_note ON w_orders (note)": ("unknown", "none", "builds 1 index"),
    "UPDATE w_orders SET note = 'y' WHERE id = 1": ("low", "medium", "updates 1 table"),
    "UPDATE w_orders SET size = 1 WHERE id = 1": ("low", "none", "updates 1 table"),
    "DELETE FROM w_orders WHERE id = 1": ("low", "medium", "deletes from 1 table"),
    "DELETE FROM w_orders": ("low", "high", "deletes from 1 table"),
    "WITH gone AS (DELETE FROM w_orders RETURNING id) SELECT count(*) FROM gone": (
        "low",
        "high",
        "runs 1 other statement",
    ),
    "TRUNCATE w_empty": ("medium", "low", "truncates 1 table"),
    "ALTER TABLE w_orders ALTER COLUMN price TYPE numeric(10, 1)": ("unknown", "high", "alters 1 table"),
    "ALTER TABLE w_orders DROP COLUMN note": ("unknown", "high", "drops 1 column"),
    "DROP TABLE w_orders": ("unknown", "high", "drops 1 table"),
    "DROP TABLE w_empty": ("medium", "low", "drops 1 table"),
    "DROP TABLE w_uncounted": ("medium", "unknown", "drops 1 table"),
    "DROP SCHEMA old CASCADE": ("unknown", "high", "drops 1 object"),
    "DO $$ BEGIN DROP TABLE IF EXISTS w_idle; END $$": ("unknown", "unknown", "runs 1 other statement"),
    "SELECT forget()": ("unknown", "unknown", "runs 1 other statement"),
}


@pytest.fixture
def stock(shop_18: Project, database_18: Database) -> Project:
    """A shop with tables that are in use, unused, empty and not counted."""
    shop_18.write(
        "confiture.yaml",
        """
        tenancy: {column: tenant_id, tables: [w_*, r_*]}
        environments:
          development: {}
          small: {window: 0.001ms, free_space: 1kB}
        """,
    )
    database_18.execute(
        "CREATE SCHEMA old; CREATE TABLE old.a AS SELECT 1 AS x; CREATE TABLE w_idle (id int);"
        "CREATE TABLE w_orders (id int PRIMARY KEY, tenant_id int NOT NULL, note text, price numeric(10, 4));"
        "CREATE TABLE w_empty (id int, tenant_id int NOT NULL);"
        "INSERT INTO w_orders SELECT n, n % 3, 'x', n FROM generate_series(1, 300) AS n;"
        "CREATE TABLE w_uncounted AS SELECT 1 AS id, 1 AS tenant_id;"
        "CREATE FUNCTION forget() RETURNS void LANGUAGE plpgsql AS $$BEGIN DELETE FROM w_orders; END$$;"
        "ANALYZE w_orders; ANALYZE old.a; SELECT pg_stat_force_next_flush()"
    )
    # the counters of the table that is not counted are gone, as after a crash
    database_18.execute("SELECT pg_stat_reset_single_table_counters('w_uncounted'::regclass)")
    return shop_18


def grades(project: Project, *arguments: str) -> Grades:
    """The grade, source and reason by version and category."""
    document = project.run("migrate", "assess", *arguments, "--format", "json").json
    return {
        one["version"]: {
            grade["category"]: (grade["grade"], grade["source"], grade["reason"]) for grade in one["grades"]
        }
        for one in document["migrations"]
    }


def test_statements_have_their_locks_losses_and_effects(stock: Project) -> None:
    for number, statement in enumerate(CASES, start=1):
        stock.migration(f"{number:03}_case", f"ddl: [{{sql: {json.dumps(statement)}}}]\n{DOWN}")
    document = stock.run("migrate", "assess", "--format", "json").json
    found = {}
    for statement, one in zip(CASES, document["migrations"], strict=True):
        by_category = {grade["category"]: grade["grade"] for grade in one["grades"]}
        found[statement] = (by_category["locks"], by_category["data loss"], one["effect"])
        assert by_category["duration"] == "unknown", "nothing is measured"
    assert [(k, found[k], v) for k, v in CASES.items() if found[k] != v] == []
    assert document["worst"] == "high"


def test_what_a_dry_run_measured_replaces_what_is_unknown(stock: Project) -> None:
    stock.migration("001_add", f"ddl: [{{sql: ALTER TABLE w_orders ADD COLUMN size int}}]\n{DOWN}")
    stock.migration(
        "002_fill",
        f"after_ddl: [{{sql: UPDATE w_orders SET size = 1}}, {{sql: DELETE FROM w_orders WHERE id < 9}}]\n{DOWN}",
    )
    before = grades(stock)
    assert before["001"]["locks"][0] == before["001"]["duration"][0] == before["002"]["memory"][0] == "unknown"
    assert before["001"]["duration"][2] == "no dry run on this database"
    measured = stock.run("migrate", "assess", "--dry-run", "--format", "json").json
    after = grades(stock)
    assert after == {
        one["version"]: {g["category"]: (g["grade"], g["source"], g["reason"]) for g in one["grades"]}
        for one in measured["migrations"]
    }, "the dry run is stored"
    assert after["001"]["locks"][:2] == after["001"]["duration"][:2] == ("low", "measured")
    assert after["002"]["data loss"] == ("medium", "parsed", "deletes rows of w_orders (8 rows)")
    assert after["002"]["tenancy"][:2] == ("low", "measured")
    assert after["002"]["memory"][:2] == ("low", "measured")
    prediction = measured["migrations"][0]["prediction"]
    assert prediction["dry_runs"] == 1
    assert prediction["measured_at"].startswith("20")
    small = grades(stock, "--env", "small")
    assert (small["002"]["duration"][0], small["002"]["disk space"][0]) == ("high", "high")


def test_a_dry_run_elsewhere_is_named_and_does_not_count(stock: Project) -> None:
    stock.migration("001_add", f"ddl: [{{sql: ALTER TABLE w_orders ADD COLUMN size int}}]\n{DOWN}")
    stock.run("migrate", "--dry-run")
    store = stock.root / ".confiture/predictions.json"
    store.write_text(store.read_text().replace('"database": "postgres@', '"database": "me@staging:5432'))
    grade, _, reason = grades(stock)["001"]["duration"]
    assert grade == "unknown"
    assert "a dry run on me@staging:5432" in reason


def test_other_sessions_are_seen(stock: Project, database_18: Database) -> None:
    stock.write("confiture.yaml", "database: {lock_timeout: 1ms}\n")
    stock.migration("001_alter", f"ddl: [{{sql: ALTER TABLE w_orders ADD COLUMN size int}}]\n{DOWN}")
    stock.migration(
        "002_other",
        f"ddl: [{{sql: CREATE TABLE w_new (id int)}}]\n{DOWN}".replace("(id int)}", "(id int)'}").replace(
            "{sql: C", "{sql: 'C"
        ),
    )
    with database_18.connect() as other:
        other.execute("SET application_name = report; BEGIN; SELECT count(*) FROM w_orders")
        found = grades(stock)
        assert found["001"]["concurrent activity"][:2] == ("high", "measured")
        assert found["001"]["concurrent activity"][2].startswith("report (postgres, process ")
        assert found["002"]["concurrent activity"][0] == "medium"
    assert grades(stock)["001"]["concurrent activity"][0] == "low"


def test_a_role_that_sees_no_other_sessions_gets_no_low_grade(stock: Project, database_18: Database) -> None:
    stock.migration("001_alter", f"ddl: [{{sql: ALTER TABLE w_orders ADD COLUMN size int}}]\n{DOWN}")
    role = f"reader_{database_18.name}"
    database_18.execute(f"CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {database_18.name} TO {role}")
    try:
        stock.environ["PGUSER"] = role
        stock.environ["DATABASE_URL"] = database_18.url.replace("postgres@", "")
        assert grades(stock)["001"]["concurrent activity"][:2] == ("unknown", "unknown")
    finally:
        database_18.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_versions_and_mistakes(stock: Project) -> None:
    for number in (1, 2, 3):
        stock.migration(f"00{number}_a", f"ddl: [{{sql: SELECT {number}}}]\n")
    stock.run("migrate", "up", "--to", "001")
    assert list(grades(stock)) == ["002", "003"]
    assert list(grades(stock, "003")) == ["003"]
    assert list(grades(stock, "--to", "002")) == ["002"]
    assert "001 is already applied" in stock.run("migrate", "assess", "001", "003", expect=2).err
    assert "there is no migration 9" in stock.run("migrate", "assess", "9", expect=2).err
    assert "--repeat is only valid with --dry-run" in stock.run("migrate", "assess", "--repeat", "2", expect=2).err
    stock.migration("001_a", "ddl: [{sql: SELECT 7}]\n")
    assert "has changed since it was applied" in stock.run("migrate", "assess", expect=7).err


@pytest.mark.parametrize("columns", ["60", "200"])
def test_as_text_and_markdown(stock: Project, columns: str) -> None:
    stock.environ["COLUMNS"] = columns
    assert stock.run("migrate", "assess").out.startswith("Nothing to assess")
    stock.migration("001_drop", "ddl: [{sql: DROP TABLE w_orders}]\n")
    text = stock.run("migrate", "assess").out
    lines = text.splitlines()
    assert max(len(line) for line in lines if "postgres@" not in line) <= int(columns)
    assert "high data loss: drops the table w_orders (about 300 rows)" in " ".join(text.split())
    assert "unknown duration: no dry run on this database" in " ".join(text.split())
    assert "the worst grade is high" in " ".join(text.split())
    markdown = stock.run("migrate", "assess", "--format", "markdown").out
    assert "| 001 drop | **unknown** | **high** | **unknown** |" in markdown
