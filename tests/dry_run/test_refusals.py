"""A dry run ends as the real run would, also where its own form of a statement would go through."""

from __future__ import annotations

import pytest

from tests.support.engine import dry_run, migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike

PARTITIONED = """
    CREATE TABLE w_events (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE w_events_2024 PARTITION OF w_events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE w_events_rest PARTITION OF w_events DEFAULT;
    CREATE INDEX w_events_at_idx ON w_events (at);
"""


@pytest.fixture
def events(shop: Project, database: Database) -> Project:
    database.execute(PARTITIONED)
    return shop


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("CREATE INDEX CONCURRENTLY i ON w_events (id)", "0A000"),
        ("DROP INDEX CONCURRENTLY w_events_at_idx", "0A000"),
        ("ALTER TABLE w_events DETACH PARTITION w_events_2024 CONCURRENTLY", "55000"),
    ],
)
def test_what_fails_for_real_fails_in_the_same_way(events, statement, sqlstate):
    events.migration("001_it", f"ddl: [sql: '{statement}']")
    rehearsed = events.run("migrate", "up", "--dry-run", "--format", "json", expect=4).json
    real = events.run("migrate", "up", "--format", "json", expect=4).json
    assert (
        [one["code"] for one in rehearsed["diagnostics"]] == [one["code"] for one in real["diagnostics"]] == [sqlstate]
    )
    assert rehearsed["diagnostics"][0]["message"].split()[:3] == real["diagnostics"][0]["message"].split()[:3]


@pytest.mark.parametrize("what", ["TABLE CONCURRENTLY w_events", "SCHEMA CONCURRENTLY public"])
def test_what_has_no_form_for_a_transaction_is_left_out(events, what):
    events.migration("001_it", f"ddl: [sql: REINDEX {what}]")
    report = events.run("migrate", "up", "--dry-run", "--format", "json").json
    assert [step["outcome"] for step in report["migrations"][0]["steps"]] == ["skipped"]
    events.run("migrate", "up")


@pytest.mark.parametrize(
    ("last", "code"), [("{sql: SELECT 1 / 0}", 5), ("{check: SELECT 1, expect: 0}", 5)], ids=["statement", "check"]
)
def test_it_exits_as_the_real_run_that_stops_midway(shop, database, last, code):
    database.execute("CREATE TABLE w_orders (id int)")
    shop.migration("001_it", f"ddl: [sql: CREATE INDEX CONCURRENTLY i ON w_orders (id), {last}]")
    rehearsed = shop.run("migrate", "up", "--dry-run", expect=code)
    assert "a real run would have committed 1 of 2 segments" in rehearsed.err
    assert "nothing changed" in rehearsed.out
    shop.run("migrate", "up", expect=code)


def test_a_lock_that_is_weaker_for_real_is_told_behind_a_stronger_one(shop, database):
    database.execute("CREATE TABLE w_orders (id int, note varchar(5)); INSERT INTO w_orders VALUES (1, 'x')")
    shop.migration("001_a", "ddl: [sql: ALTER TABLE w_orders ALTER COLUMN note TYPE text]")
    shop.migration("002_b", "ddl: [sql: CREATE INDEX CONCURRENTLY i ON w_orders (id)]")
    locks = shop.run("migrate", "up", "--dry-run", "--format", "json").json["statements"][1]["locks"]
    assert [(lock["relation"], lock["real_mode"]) for lock in locks] == [("w_orders", "ShareUpdateExclusiveLock")]


@pytest.mark.parametrize(
    "obstacle",
    [
        "CREATE FUNCTION confiture.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no row'; END $$;"
        "CREATE TRIGGER no BEFORE INSERT ON confiture.migrations FOR EACH ROW EXECUTE FUNCTION confiture.no()",
        "ALTER TABLE confiture.migrations ADD CHECK (version <> '002')",
    ],
    ids=["trigger", "constraint"],
)
def test_a_row_that_the_history_refuses(shop: Project, database: Database, obstacle: str) -> None:
    shop.migration("001_a", "ddl:\n  - sql: CREATE TABLE a (id int)\n")
    migrate_up(shop).expect(0)
    database.execute(obstacle)
    shop.migration("002_b", "ddl:\n  - sql: CREATE TABLE b (id int)\n")
    real, dry = migrate_up(shop), dry_run(shop)
    assert real.code == dry.code != 0
    assert database.value("SELECT to_regclass('b')") is None
