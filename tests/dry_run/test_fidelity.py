"""Dry runs: they change nothing, and tell what the real run will do."""

from __future__ import annotations

import pytest

from confiture.core.db.blocking_monitor import BlockingMonitor
from confiture.models.events import Event, MigrationFinished
from tests.support.engine import SEGMENTS, dry_run, history, migrate_down, migrate_up, nothing_remains, wait_until
from tests.support.projects import Project
from tests.support.servers import Database, Roles

pytestmark = pytest.mark.versions_alike


def test_a_dry_run_changes_nothing(shop: Project, database: Database) -> None:
    shop.migration("001_base", "ddl: [sql: 'CREATE TABLE base (id int PRIMARY KEY)', sql: INSERT INTO base VALUES (1)]")
    migrate_up(shop).expect(0)
    whole = "SELECT (SELECT count(*) FROM confiture.journal), (SELECT count(*) FROM confiture.migrations)"
    before = database.dump(), database.rows(whole)
    shop.migration(
        "002_segments", SEGMENTS + "    cleanup: [sql: VACUUM t, sql: DELETE FROM base, sql: DROP TABLE base]\n"
    )
    dry = dry_run(shop).expect(0)
    assert (database.dump(), database.rows(whole)) == before
    assert database.value("SELECT count(*) FROM base") == 1
    leftover = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'confiture%'"
    wait_until(lambda: database.value(leftover) == 0, "its sessions end")
    real = migrate_up(shop).expect(0)
    ran = {name: outcome for _, name, outcome in dry.steps}
    assert list(ran) == [name for _, name, _ in real.steps], "the same steps, in the same order"
    assert ran["VACUUM t"] == "skipped" and set(ran.values()) == {"done", "skipped"}


def test_a_dry_run_says_what_it_does_in_another_way(shop: Project, database: Database) -> None:
    shop.migration("001_segments", SEGMENTS + "    cleanup: [sql: VACUUM t]\n")
    result = shop.run("migrate", "--dry-run", "--format", "json")
    assert "CONCURRENTLY" in result.step("index")["note"]
    assert "cannot run in a transaction" in result.step("VACUUM t")["note"]
    assert nothing_remains(database)


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ("[sql: SELECT 1 / 0]", 4),
        ("[{check: SELECT 1, expect: 2}]", 1),
        (
            "[sql: 'CREATE TABLE l (k int REFERENCES k DEFERRABLE INITIALLY DEFERRED)', sql: INSERT INTO l VALUES (1)]",
            4,
        ),
    ],
    ids=["statement", "check", "deferred constraint"],
)
def test_a_dry_run_fails_as_the_real_run_does(shop: Project, database: Database, steps: str, code: int) -> None:
    database.execute("CREATE TABLE k (id int PRIMARY KEY)")
    shop.migration("001_fails", f"after_ddl: {steps}")
    dry, real = dry_run(shop).expect(code), migrate_up(shop).expect(code)
    assert dry.diagnostic.code == real.diagnostic.code
    assert dry.diagnostic.span == real.diagnostic.span
    assert database.value("SELECT to_regnamespace('confiture')") is None


def test_a_dry_run_defers_in_each_migration_what_a_real_run_defers(shop: Project, database: Database) -> None:
    deferred = "k int REFERENCES k DEFERRABLE INITIALLY DEFERRED"
    shop.migration(
        "001_tables",
        f"ddl: [sql: 'CREATE TABLE k (id int PRIMARY KEY)', sql: 'CREATE TABLE l ({deferred}, m int)']",
    )
    shop.migration("002_rows", "after_ddl: [sql: INSERT INTO l VALUES (1), sql: INSERT INTO k VALUES (1)]")
    # with checks still pending, PostgreSQL refuses this: commits would have done them
    shop.migration("003_alter", f"ddl: [sql: ALTER TABLE l ALTER m TYPE bigint, sql: 'CREATE TABLE n ({deferred})']")
    shop.migration("004_rows", "after_ddl: [sql: INSERT INTO n VALUES (2), sql: INSERT INTO k VALUES (2)]")
    dry_run(shop).expect(0)
    migrate_up(shop).expect(0)


def test_constraints_that_the_role_may_not_reach_are_left_alone(shop: Project, roles: Roles) -> None:
    """Deferrable ones in a schema that is closed to the role, and of temporary tables of others."""
    database = roles.database
    database.execute(
        f"CREATE SCHEMA closed; CREATE TABLE closed.t (id int PRIMARY KEY DEFERRABLE);"
        f"CREATE SCHEMA shop AUTHORIZATION {roles.migrator};"
        f"GRANT CREATE ON DATABASE {database.name} TO {roles.migrator}"
    )
    shop.migration("001_t", "ddl: [sql: CREATE TABLE shop.t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)]")
    with database.connect() as other:
        other.execute("CREATE TEMPORARY TABLE t (id int PRIMARY KEY DEFERRABLE)")
        dry_run(shop, url=roles.url(roles.migrator)).expect(0)


def test_a_dry_run_of_down(shop: Project, database: Database) -> None:
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a ()]\ndown: [sql: DROP TABLE a]")
    migrate_up(shop).expect(0)
    assert migrate_down(shop, dry_run=True).expect(0).steps == [("down", "DROP TABLE a", "done")]
    assert history(database) == [("001", "applied")]
    assert database.value("SELECT to_regclass('a')::text") == "a"


def test_the_rollback_of_a_dry_run_is_not_watched(
    shop: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_transaction = "SELECT state FROM pg_stat_activity WHERE application_name LIKE 'confiture dry run%'"
    order: list[object] = []
    release = BlockingMonitor.stop_enforcing

    def released(watch: BlockingMonitor) -> None:
        order.append(database.rows(in_transaction + " AND state <> 'idle'"))
        release(watch)

    def finished(event: Event) -> None:
        if isinstance(event, MigrationFinished):
            order.append("finished")

    monkeypatch.setattr(BlockingMonitor, "stop_enforcing", released)
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a ()]")
    dry_run(shop, finished).expect(0)
    assert order == ["finished", [("idle in transaction",)]]
