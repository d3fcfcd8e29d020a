"""What lint finds in migrations is shown before they run, and stops them where the settings say so."""

from __future__ import annotations

import pytest

from tests.support.engine import migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

ROWS = 5_000


@pytest.fixture
def index_on_a_table_in_use(shop_18: Project, database_18: Database) -> Project:
    database_18.execute(
        f"CREATE TABLE w_orders (id int PRIMARY KEY, note text);"
        f"INSERT INTO w_orders SELECT g, 'x' FROM generate_series(1, {ROWS}) g; ANALYZE w_orders"
    )
    shop_18.migration("001_index", "ddl: [sql: CREATE INDEX w_orders_note_idx ON w_orders (note)]")
    return shop_18


def test_findings_are_told_and_the_migration_runs(index_on_a_table_in_use):
    result = index_on_a_table_in_use.run("migrate", "up", "--format", "json")
    assert [finding["rule"] for finding in result.json["findings"]] == ["create_index_blocking"]
    assert "error[create_index_blocking]: w_orders" in result.err
    assert result.json["outcome"] == "done"


def test_findings_stop_it_where_the_settings_say_so(index_on_a_table_in_use, database_18):
    index_on_a_table_in_use.write("confiture.yaml", "linting: {block_migrations: error}\n")
    result = index_on_a_table_in_use.run("migrate", "up", expect=1)
    assert "error[create_index_blocking]" in result.err
    assert "CONCURRENTLY" in result.err
    assert "confiture: ignore create_index_blocking" in result.err
    assert database_18.value("SELECT to_regclass('w_orders_note_idx')") is None


def test_what_the_baseline_knows_neither_stops_it_nor_is_shown(index_on_a_table_in_use):
    linting = "linting: {block_migrations: error, baseline: known.json}\n"
    index_on_a_table_in_use.write("confiture.yaml", linting)
    refused = index_on_a_table_in_use.run("migrate", "up", "--format", "json", expect=2)
    assert "cannot read known.json" in refused.out
    index_on_a_table_in_use.run("lint", "--write-baseline")
    result = index_on_a_table_in_use.run("migrate", "up", "--format", "json")
    assert result.json["findings"] == []
    assert result.json["outcome"] == "done"


def test_an_ignore_comment_lets_it_run(index_on_a_table_in_use):
    index_on_a_table_in_use.write("confiture.yaml", "linting: {block_migrations: warning}\n")
    index_on_a_table_in_use.migration(
        "001_index",
        """
        ddl:
          - sql: |
              -- confiture: ignore create_index_blocking -- the shop is closed
              CREATE INDEX w_orders_note_idx ON w_orders (note)
        """,
    )
    migrate_up(index_on_a_table_in_use).expect(0)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE w_adopted ALTER COLUMN id SET NOT NULL",
        "ALTER TABLE w_adopted ALTER COLUMN note TYPE varchar(20)",
        "ALTER TABLE w_adopted ALTER COLUMN note TYPE text",
    ],
)
def test_what_the_database_knows_of_a_table_is_known_here(shop_18, database_18, statement):
    """Also of a table that no migration made."""
    database_18.execute(
        "CREATE TABLE w_adopted (id bigint PRIMARY KEY, note varchar(10));"
        "INSERT INTO w_adopted SELECT generate_series(1, 5000); ANALYZE w_adopted"
    )
    shop_18.write("confiture.yaml", "linting: {block_migrations: warning}\n")
    shop_18.migration("001_it", f"ddl: [sql: '{statement}']")
    migrate_up(shop_18).expect(0)


def test_an_index_that_cannot_be_built_concurrently_is_known_here(shop_18, database_18):
    database_18.execute("CREATE TABLE w_parts (id int) PARTITION BY RANGE (id)")
    shop_18.write("confiture.yaml", "linting: {block_migrations: error}\n")
    shop_18.migration("001_it", "ddl: [sql: CREATE INDEX CONCURRENTLY i ON w_parts (id)]")
    assert migrate_up(shop_18).codes == ["concurrently_on_partitioned"]


def test_a_dry_run_measures_what_a_run_would_refuse(index_on_a_table_in_use):
    index_on_a_table_in_use.write("confiture.yaml", "linting: {block_migrations: error}\n")
    result = index_on_a_table_in_use.run("migrate", "up", "--dry-run", "--format", "json")
    assert [warning["rule"] for warning in result.json["warnings"]] == ["create_index_blocking"]


def test_a_table_known_to_be_small_is_no_hazard(shop_18, database_18):
    database_18.execute("CREATE TABLE w_orders (id int PRIMARY KEY, note text); ANALYZE w_orders")
    shop_18.write("confiture.yaml", "linting: {block_migrations: warning}\n")
    shop_18.migration("001_index", "ddl: [sql: CREATE INDEX w_orders_note_idx ON w_orders (note)]")
    migrate_up(shop_18).expect(0)


def test_a_dry_run_makes_one_record_of_what_lint_knows_and_what_it_measured(index_on_a_table_in_use):
    index_on_a_table_in_use.write("confiture.yaml", "database: {max_blocking: 1ms}\n")
    result = index_on_a_table_in_use.run("migrate", "up", "--dry-run", "--format", "json", expect=None)
    (warning,) = result.json["warnings"]
    assert warning["rule"] == "create_index_blocking"
    assert warning["measured_ms"] > 0
    assert "CREATE INDEX CONCURRENTLY" in warning["remedy"]
    assert result.json["findings"] == []


def test_what_lint_knows_is_told_with_its_time_where_no_limit_was_passed(index_on_a_table_in_use):
    result = index_on_a_table_in_use.run("migrate", "up", "--dry-run", "--format", "json")
    (warning,) = result.json["warnings"]
    assert warning["rule"] == "create_index_blocking"
    assert "w_orders cannot be written to" in warning["message"]


def test_a_table_that_the_same_run_made_is_no_hazard(shop_18):
    shop_18.write("confiture.yaml", "linting: {block_migrations: warning}\n")
    shop_18.migration("001_table", "ddl: [sql: 'CREATE TABLE w_orders (id int PRIMARY KEY, note text)']")
    shop_18.migration("002_index", "ddl: [sql: CREATE INDEX w_orders_note_idx ON w_orders (note)]")
    migrate_up(shop_18).expect(0)
