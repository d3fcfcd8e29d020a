"""A dry run proves that tenants stay apart, before each statement, and what it measures does not show that it did."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from tests.support.projects import Project, Result
from tests.support.servers import Database

SETTINGS = """
tenancy: {column: tenant_id}
migrations: migrations
schemas: schemas
"""
TABLES = """
CREATE TABLE w_customers (tenant_id int, id int, name text, PRIMARY KEY (tenant_id, id));
CREATE TABLE w_orders (tenant_id int, id int, customer_id int, amount int, PRIMARY KEY (tenant_id, id));
INSERT INTO w_customers SELECT t, c, 'customer ' || c FROM generate_series(1, 4) t, generate_series(1, 5) c;
INSERT INTO w_orders SELECT t, o, 1 + o % 5, o * t FROM generate_series(1, 4) t, generate_series(1, 8) o;
ANALYZE
"""
FILL = """
    ddl:
      - {name: make, sql: "CREATE TABLE r_spent (tenant_id int, customer_id int, spent bigint)"}
    after_ddl:
      - name: fill
        sql: |
          INSERT INTO r_spent
          SELECT c.tenant_id, c.id, sum(o.amount)
          FROM w_customers c JOIN w_orders o ON o.customer_id = c.idEQUALITY
          GROUP BY c.tenant_id, c.id
"""
CLEAN, MIXED = FILL.replace("EQUALITY", " AND o.tenant_id = c.tenant_id"), FILL.replace("EQUALITY", "")


@pytest.fixture
def tenants(shop: Project, database: Database) -> Project:
    database.execute(TABLES)
    shop.write("confiture.yaml", SETTINGS)
    return shop


@pytest.fixture
def tenants_18(shop_18: Project, database_18: Database) -> Project:
    database_18.execute(TABLES)
    shop_18.write("confiture.yaml", SETTINGS)
    return shop_18


def rehearse(project: Project, *arguments: str, expect: int | None = 0) -> Result:
    return project.run("migrate", "--dry-run", *arguments, expect=expect)


def proofs(project: Project, *arguments: str, expect: int = 0) -> list[dict[str, Any]]:
    return rehearse(project, "--format", "json", *arguments, expect=expect).json["isolation"]


def test_a_table_that_the_migration_makes_is_proved_too(tenants: Project) -> None:
    tenants.migration("001_read", CLEAN)
    tenants.migration("002_copy", "after_ddl:\n  - sql: CREATE TABLE r_copy AS SELECT tenant_id, spent FROM r_spent\n")
    found = proofs(tenants)
    assert [(one["name"], one["target"], one["standing"]) for one in found] == [
        ("fill", "r_spent", "isolated"),
        ("CREATE TABLE r_copy AS SELECT tenant_id, spent FROM r_spent", "r_copy", "isolated"),
    ]
    assert [(one["rows"], one["sample"]["total"]) for one in found] == [(20, 4), (20, 4)]
    assert found[0]["file"].endswith("001_read.yaml") and found[0]["line"] == 6


def test_temporary_tables_are_seen(tenants: Project) -> None:
    tenants.migration(
        "001_gather",
        """
        ddl:
          - {name: make, sql: "CREATE TABLE r_spent (tenant_id int, spent bigint)"}
        after_ddl:
          - name: gather
            sql: |
              CREATE TEMP TABLE gathered AS SELECT tenant_id, amount FROM w_orders;
              INSERT INTO r_spent SELECT tenant_id, sum(amount) FROM gathered GROUP BY 1;
              INSERT INTO r_spent SELECT tenant_id, (SELECT sum(amount) FROM gathered) FROM gathered
        """,
    )
    found = proofs(tenants, expect=1)
    assert [(one["target"], one["standing"]) for one in found] == [
        ("gathered", "isolated"),
        ("r_spent", "isolated"),
        ("r_spent", "mixed"),
    ]


def test_what_is_measured_does_not_show_the_proof(tenants: Project) -> None:
    tenants.migration("001_read", CLEAN)
    runs = [rehearse(tenants, "--format", "json", *options).json for options in ((), ("--no-prove",))]
    seen = [[{**one} for one in run["statements"]] for run in runs]
    for statements in seen:
        for one in statements:
            for key in ("started_ms", "execution_time_ms", "wal_bytes", "temp_bytes", "waited_ms"):
                del one[key]
            one["locks"] = [(lock["relation"], lock["mode"]) for lock in one["locks"]]
    assert seen[0] == seen[1]
    assert seen[0][1]["scans"], "what the statement itself reads is counted"
    assert runs[0]["isolation"] and runs[1]["isolation"] is None
    first, last = runs[0]["statements"][0], runs[0]["statements"][-1]
    ended_ms = last["started_ms"] + last["execution_time_ms"]
    assert runs[0]["isolation_time_ms"] > 0
    assert ended_ms - first["started_ms"] < runs[0]["execution_time_ms"] - runs[0]["isolation_time_ms"]


def test_a_mix_fails_the_dry_run_once_it_is_through(tenants: Project, database: Database) -> None:
    tenants.migration("001_mix", MIXED)
    tenants.migration("002_after", "ddl:\n  - sql: CREATE TABLE later (id int)\n")
    result = rehearse(tenants, "--format", "json", expect=1)
    (warning,) = [one for one in result.json["warnings"] if one["code"] == "tenants-mixed"]
    sentence = "tenant 1: 5 rows that it gets only because of other tenants' rows"
    assert sentence in warning["message"] and warning["table"] == "r_spent"
    assert (warning["line"], result.json["outcome"]) == (6, "rolled back")
    assert [one["outcome"] for one in result.json["migrations"]] == ["done", "done"]
    assert result.json["estimated_production_time_ms"] > 0
    assert [one["code"] for one in result.json["diagnostics"]] == ["tenants-mixed"]
    assert database.value("SELECT to_regclass('r_spent') IS NULL")
    assert proofs(tenants, "--no-prove") is None


def test_every_format_names_the_tenants(tenants_18: Project) -> None:
    tenants_18.migration("001_mix", MIXED)
    text = rehearse(tenants_18, "--report", "page.html", "--events", "run.jsonl", expect=1)
    sentence = "tenant 1: 5 rows that it gets only because of other tenants' rows"
    assert sentence in text.out and "tenant_id = 1, customer_id = 1, spent = " in text.out
    assert "2 migrations" not in text.out and "but 1 statement would mix tenants. Rolled back" in text.out
    assert "The proofs took " in text.out and "All tenants were checked" in text.out
    assert "error[tenants-mixed]" in text.err
    assert sentence.replace("'", "&#39;") in (tenants_18.root / "page.html").read_text()
    assert '"standing": "mixed"' in (tenants_18.root / "run.jsonl").read_text()
    markdown = rehearse(tenants_18, "--format", "markdown", expect=1).out
    assert "#### Tenant isolation" in markdown and sentence in markdown
    assert "tenants-mixed" in rehearse(tenants_18, "--format", "github", expect=1).out


def test_a_backfill_is_proved_as_a_whole_and_once(tenants_18: Project) -> None:
    tenants_18.migration(
        "001_fill",
        """
        ddl:
          - sql: CREATE TABLE r_spent (tenant_id int, customer_id int, spent bigint, UNIQUE (tenant_id, customer_id))
        after_ddl:
          - name: fill
            backfill:
              into: r_spent
              from: w_customers
              alias: c
              batch_rows: 5
              on_writes: ignore
              sql: |
                INSERT INTO r_spent
                SELECT c.tenant_id, c.id, sum(o.amount)
                FROM w_customers c JOIN w_orders o ON o.customer_id = c.id AND o.tenant_id = c.tenant_id
                WHERE {{ batch }}
                GROUP BY c.tenant_id, c.id
        """,
    )
    (found,) = proofs(tenants_18, "--repeat", "2", "--tenants", "2")
    assert (found["standing"], found["rows"], len(found["sample"]["tenants"])) == ("isolated", 10, 2)


def test_without_tenancy_in_the_settings_nothing_is_proved(shop_18: Project, database_18: Database) -> None:
    database_18.execute(TABLES)
    shop_18.migration("001_mix", MIXED)
    assert proofs(shop_18) is None


def test_the_time_for_proofs_is_bounded(tenants_18: Project) -> None:
    tenants_18.migration("001_read", CLEAN)
    (found,) = proofs(tenants_18, "--prove-time", "0")
    assert found["standing"] == "not provable"
    assert found["reason"] == "the 0 s for all proofs in the dry run are used up"
    rehearse(tenants_18, "--prove-time", "soon", expect=2)
    rehearse(tenants_18, "--no-prove", "--tenants", "3", expect=2)
    tenants_18.run("migrate", "up", "--tenants", "3", expect=2)


def test_who_waits_comes_before_proofs(tenants_18: Project, database_18: Database) -> None:
    """The proof of the join takes many times as long as the join: somebody waits for the table before it ends."""
    database_18.execute("INSERT INTO w_orders SELECT 1, o, 1, 1 FROM generate_series(100, 900) o; ANALYZE")
    tenants_18.migration(
        "001_slow",
        """
        ddl:
          - sql: ALTER TABLE w_orders ADD COLUMN note text
        after_ddl:
          - name: slow
            sql: |
              CREATE TABLE r_sums AS SELECT a.tenant_id, sum(a.id % 7 * b.id % 11 * c.id % 3) AS s
              FROM w_orders a, w_orders b, w_orders c WHERE a.tenant_id = b.tenant_id AND b.tenant_id = c.tenant_id
              AND c.id < 40 GROUP BY 1
        """,
    )
    tenants_18.write("confiture.yaml", f"{SETTINGS}database: {{max_blocking: 60s}}\n")
    with psycopg.connect(database_18.url, autocommit=True) as other:
        waiting = threading.Thread(target=_read_once_it_is_locked, args=(other,))
        waiting.start()
        (found,) = proofs(tenants_18)
        waiting.join()
    assert found["reason"] == "another session waited for a lock held by the dry run, which continued without proofs"


def _read_once_it_is_locked(connection: psycopg.Connection) -> None:
    held = "SELECT FROM pg_locks WHERE relation = 'w_orders'::regclass AND mode = 'AccessExclusiveLock' AND granted"
    while not connection.execute(held).rowcount:
        time.sleep(0.01)
    connection.execute("SELECT count(*) FROM w_orders")
