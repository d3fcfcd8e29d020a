"""A dry run of a batched backfill: a sample stands for the rest, and nothing is claimed of what did not run."""

from __future__ import annotations

import pytest

from tests.fix_projects import Project
from tests.fix_servers import Database

ROWS = 6_000
FILL = """
after_ddl:
  - name: fill
    backfill:
      into: r_sums
      from: w_orders
      alias: o
      batch_rows: 100
      sql: INSERT INTO r_sums (id, double) SELECT o.id, 2 * o.amount FROM w_orders o WHERE {{ batch }}
after_validation:
  - name: all are there
    check: SELECT count(*) FROM r_sums
    expect: 6000
"""


@pytest.fixture
def filled(shop: Project, database: Database) -> Project:
    database.execute(
        f"""
        CREATE TABLE w_orders (id int PRIMARY KEY, amount int);
        CREATE TABLE r_sums (id int PRIMARY KEY, double int);
        INSERT INTO w_orders SELECT g, g FROM generate_series(1, {ROWS}) g;
        ANALYZE;
        """
    )
    shop.write("migrations/001_fill.yaml", FILL)
    return shop


def test_ten_batches_stand_for_all(filled, database):
    report = filled.run("migrate", "up", "--dry-run", "--format", "json").json
    fill = next(step for step in report["migrations"][0]["steps"] if step["name"] == "fill")
    assert 0 < fill["rows_affected"] <= 1_000
    assert fill["note"].startswith("sampled: 10 batches")
    spent = sum(statement["execution_time_ms"] for statement in report["statements"])
    assert report["estimated_production_time_ms"] > 3 * spent
    assert database.value("SELECT count(*) FROM r_sums") == 0
    assert database.rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []


def test_checks_behind_a_sample_are_not_judged(filled):
    report = filled.run("migrate", "up", "--dry-run", "--format", "json").json
    check = next(step for step in report["migrations"][0]["steps"] if step["name"] == "all are there")
    assert check["outcome"] == "done"
    assert "not judged" in check["note"]


def test_full_runs_and_judges_everything(filled):
    report = filled.run("migrate", "up", "--dry-run", "--full", "--format", "json").json
    fill, check = report["migrations"][0]["steps"]
    assert (fill["rows_affected"], fill["note"]) == (ROWS, None)
    assert check["note"] is None


def test_a_check_that_fails_behind_a_full_fill_fails(filled):
    filled.write("migrations/001_fill.yaml", FILL.replace("expect: 6000", "expect: 5999"))
    result = filled.run("migrate", "up", "--dry-run", "--full", expect=1)
    assert "error[check-failed]" in result.err


def test_reconciles_behind_a_sample_are_left_out(filled):
    reconcile = "  - reconcile: {table: r_sums, sql: 'SELECT id, 2 * amount AS double FROM w_orders'}\n"
    filled.write("migrations/001_fill.yaml", FILL + reconcile)
    report = filled.run("migrate", "up", "--dry-run", "--format", "json").json
    assert report["migrations"][0]["steps"][-1]["outcome"] == "skipped"
    assert filled.run("migrate", "up", "--dry-run", "--full", "--format", "json").json["outcome"] == "done"


def test_what_is_wrong_with_the_statement_is_told_in_its_place(filled):
    filled.write("migrations/001_fill.yaml", FILL.replace("o.amount FROM", "o.nothing FROM"))
    result = filled.run("migrate", "up", "--dry-run", expect=4)
    assert "error[42703]" in result.err
    assert "migrations/001_fill.yaml:8" in result.err


def test_full_belongs_to_a_dry_run(filled):
    assert "--full without --dry-run" in filled.run("migrate", "up", "--full", expect=2).err
