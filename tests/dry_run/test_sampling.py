"""A dry run of a batched backfill: a sample stands for the rest, and nothing is claimed of what did not run."""

from __future__ import annotations

import re

import pytest

from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike

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


def test_what_came_since_the_last_analyze_is_reckoned_with(filled, database):
    database.execute(f"INSERT INTO w_orders SELECT g, g FROM generate_series({ROWS + 1}, {10 * ROWS}) g")
    report = filled.run("migrate", "up", "--dry-run", "--format", "json").json
    fill = next(step for step in report["migrations"][0]["steps"] if step["name"] == "fill")
    about = re.search(r"of about ([\d,]+) rows", fill["note"])
    assert about and abs(int(about[1].replace(",", "")) / (10 * ROWS) - 1) < 0.05


def test_checks_behind_a_sample_are_not_judged(filled):
    report = filled.run("migrate", "up", "--dry-run", "--format", "json").json
    check = next(step for step in report["migrations"][0]["steps"] if step["name"] == "all are there")
    assert check["outcome"] == "done"
    assert "not evaluated" in check["note"]


def test_full_runs_and_judges_everything(filled):
    report = filled.run("migrate", "up", "--dry-run", "--full", "--format", "json").json
    fill, check = report["migrations"][0]["steps"]
    assert fill["rows_affected"] == ROWS
    assert "sampled" not in fill["note"]
    assert "SHARE ROW EXCLUSIVE on w_orders" in fill["note"]
    assert check["note"] is None


def test_a_check_that_fails_behind_a_full_fill_fails(filled):
    filled.write("migrations/001_fill.yaml", FILL.replace("expect: 6000", "expect: 5999"))
    result = filled.run("migrate", "up", "--dry-run", "--full", expect=5)
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
    assert "--full is only valid with --dry-run" in filled.run("migrate", "up", "--full", expect=2).err


def test_rows_of_a_sample_are_marked_as_such(filled, tmp_path):
    page = tmp_path / "page.html"
    report = filled.run("migrate", "up", "--dry-run", "--format", "json", "--report", str(page)).json
    (migration,) = report["migrations"]
    marks = {step["name"]: step["rows_affected_sampled"] for step in migration["steps"]}
    assert marks == {"fill": True, "all are there": False}
    assert (report["rows_affected_sampled"], migration["rows_affected_sampled"]) == (True, True)
    assert "Rows written (backfills: a sample)" in page.read_text()
    report = filled.run("migrate", "up", "--dry-run", "--full", "--repeat", "2", "--format", "json").json
    assert (report["estimated_range_low_ms"], report["confidence_percent"]) == (None, None), "commits are not in it"
    assert not report["rows_affected_sampled"]
    assert not any(step["rows_affected_sampled"] for step in report["migrations"][0]["steps"])


@pytest.mark.parametrize(("full", "name"), [((), "10 batches, a sample"), (("--full",), "60 batches")])
def test_batches_are_one_line_with_their_sums(filled, tmp_path, full, name):
    page = tmp_path / "page.html"
    report = filled.run("migrate", "up", "--dry-run", *full, "--format", "json", "--report", str(page)).json
    batches = [statement for statement in report["statements"] if statement["step"] == "fill"]
    assert len(batches) > 9
    written = sum(table["inserted"] for batch in batches for table in batch["rows"])
    shown = page.read_text()
    assert shown.count(f"fill ({name})") == 1
    assert shown.count("<details>") == 2
    assert f"r_sums: {written:,} inserted" in shown
    markdown = filled.run("migrate", "up", "--dry-run", *full, "--format", "markdown").out
    assert markdown.count("- 001 fill") <= 1
    assert filled.run("migrate", "up", "--dry-run", *full).out.count("001 fill (") <= 1


@pytest.mark.parametrize("full", [(), ("--full",)])
def test_the_lock_that_only_the_real_run_takes_is_told(filled, full):
    captured = FILL.replace("batch_rows: 100", "batch_rows: 100\n      on_writes: capture")
    filled.write("migrations/001_fill.yaml", captured)
    report = filled.run("migrate", "up", "--dry-run", *full, "--format", "json").json
    note = report["migrations"][0]["steps"][0]["note"]
    assert "acquires SHARE ROW EXCLUSIVE on w_orders at its start and end" in note
    filled.write("migrations/001_fill.yaml", captured.replace("capture", "ignore"))
    report = filled.run("migrate", "up", "--dry-run", *full, "--format", "json").json
    assert "SHARE ROW EXCLUSIVE" not in (report["migrations"][0]["steps"][0]["note"] or "")
