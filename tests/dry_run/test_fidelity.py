"""Dry runs: they change nothing, and tell what the real run will do."""

from __future__ import annotations

import pytest

from confiture.core.db.blocking_monitor import BlockingMonitor
from confiture.models.events import Event, MigrationFinished, StepFinished
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
    dry = dry_run(shop).expect(code)
    assert database.value("SELECT to_regnamespace('confiture')") is None
    real = migrate_up(shop).expect(code)
    assert dry.diagnostic.code == real.diagnostic.code
    assert dry.diagnostic.span == real.diagnostic.span


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


SOURCE = """
    CREATE TABLE w_orders (id int PRIMARY KEY, amount int);
    INSERT INTO w_orders SELECT g, g FROM generate_series(1, 30) g;
    CREATE TABLE r_sums (id int PRIMARY KEY, amount int CHECK (amount <> 25));
"""
FILL = "backfill: {into: r_sums, from: w_orders, alias: o, batch_rows: 7, sql: %s}"
INSERT = "INSERT INTO r_sums (id, amount) SELECT o.id, o.amount FROM w_orders o WHERE {{ batch }}"


def _assert_same_end(shop: Project, code: int, diagnostic: str | None, url: str | None = None) -> None:
    ends = [
        (ran.code, ran.codes[0] if ran.codes else None, [step for step in ran.steps if step[2] == "failed"])
        for ran in (dry_run(shop, url=url), migrate_up(shop, url=url))
    ]
    assert ends[0] == ends[1]
    assert ends[0][:2] == (code, diagnostic)


@pytest.mark.parametrize(
    ("before", "statement", "code", "diagnostic"),
    [
        ("", INSERT, 5, "23514"),
        ("DELETE FROM w_orders WHERE id = 25", INSERT, 0, None),
        ("INSERT INTO r_sums VALUES (40, 1)", INSERT, 4, "target-not-empty"),
        (
            "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE EXCEPTION USING MESSAGE = 1; END';"
            "CREATE EVENT TRIGGER e ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION f()",
            INSERT,
            4,
            "P0001",
        ),
    ],
    ids=["a row", "nothing", "the target", "an event trigger"],
)
def test_a_backfill_ends_alike(
    shop: Project, database: Database, before: str, statement: str, code: int, diagnostic: str | None
) -> None:
    database.execute(f"{SOURCE} {before}")
    shop.migration("001_fill", f"after_ddl: [{FILL % repr(statement)}]")
    _assert_same_end(shop, code, diagnostic)


def test_a_role_that_may_not_create_triggers_cannot_capture_writes(shop: Project, roles: Roles) -> None:
    database, role = roles.database, roles.migrator
    database.execute(
        f"{SOURCE} GRANT CREATE ON DATABASE {database.name} TO {role};"
        f"GRANT SELECT, INSERT, TRIGGER ON w_orders, r_sums TO {role}"
    )
    shop.migration("001_fill", f"after_ddl: [{FILL % repr(INSERT)}]")
    _assert_same_end(shop, 4, "42501", roles.url(role))


def test_the_check_of_a_capture_releases_its_lock(shop: Project, database: Database) -> None:
    database.execute(f"{SOURCE} DELETE FROM w_orders WHERE id = 25")
    written: list[object] = []

    def write(event: Event) -> None:
        if isinstance(event, StepFinished):
            with database.connect(options="-c lock_timeout=2s") as other:
                written.append(other.execute("INSERT INTO w_orders VALUES (99, 99)").rowcount)

    shop.migration("001_fill", f"after_ddl: [{FILL % repr(INSERT)}]")
    dry_run(shop, write).expect(0)
    assert written == [1]
    assert database.rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []


LEVEL = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


@pytest.mark.parametrize(
    ("steps", "code", "diagnostic"),
    [
        (f"[sql: {LEVEL}, sql: SELECT 1]", 0, None),
        (f"[sql: SET app.x = 1; {LEVEL}; SELECT 1]", 0, None),
        (f"[sql: LOCK TABLE t, sql: SET CONSTRAINTS ALL DEFERRED; {LEVEL}, sql: SELECT 1]", 0, None),
        ("[sql: SET transaction_isolation = 'serializable']", 0, None),
        ("[sql: SET TRANSACTION DEFERRABLE]", 0, None),
        (f"[sql: SELECT 1, sql: {LEVEL}]", 4, "25001"),
        ("[{check: SELECT 1, expect: 1}, {sql: " + LEVEL + "}]", 4, "25001"),
        (f"[sql: {LEVEL}; SELECT 1, sql: {LEVEL}]", 0, None),
        (f"[sql: {LEVEL}; SELECT 1, sql: SET TRANSACTION ISOLATION LEVEL READ COMMITTED]", 4, "25001"),
        (f"[sql: {LEVEL}; SELECT 1, sql: SET TRANSACTION ISOLATION LEVEL SERIALIZABLE]", 4, "25001"),
        ("[sql: SET TRANSACTION READ ONLY]", 4, "25006"),
        ("[sql: SET TRANSACTION READ ONLY; SET TRANSACTION READ WRITE, sql: DELETE FROM t]", 0, None),
        (f"[sql: '{LEVEL}, READ ONLY; SET transaction_read_only = off', sql: DELETE FROM t]", 0, None),
        ("[sql: SET TRANSACTION READ WRITE; SET transaction_read_only = on, sql: DELETE FROM t]", 4, "25006"),
        ("[sql: SET TRANSACTION READ ONLY, sql: SELECT 1, sql: SET TRANSACTION READ WRITE]", 4, "25001"),
        (f"[sql: '{LEVEL}, READ ONLY']", 4, None),
    ],
)
def test_transactions_with_modes_end_alike(shop: Project, steps: str, code: int, diagnostic: str | None) -> None:
    """Also in the second migration, for which a dry run begins no transaction."""
    shop.migration("001_base", "ddl: [sql: CREATE TABLE t (id int)]")
    shop.migration("002_mode", f"ddl: {steps}")
    dry, real = dry_run(shop).expect(code), migrate_up(shop).expect(code)
    assert code == 0 or diagnostic is None or dry.codes == real.codes == [diagnostic]


@pytest.mark.parametrize("table", ["journal", "migrations"])
def test_a_history_that_the_role_may_not_write(shop: Project, roles: Roles, table: str) -> None:
    database, role = roles.database, roles.migrator
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}")
    shop.migration("001_base", "ddl: [sql: SELECT 1]")
    migrate_up(shop, url=roles.url(role)).expect(0)
    database.execute(f"REVOKE INSERT ON confiture.{table} FROM {role}")
    shop.migration("002_next", "ddl: [sql: SELECT 2]")
    _assert_same_end(shop, 4, "42501", roles.url(role))


@pytest.mark.parametrize(
    "setting",
    [
        "SET default_transaction_read_only = on",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    ],
)
@pytest.mark.parametrize("command", ["--dry-run", "up"])
def test_a_backfill_refuses_modes_that_it_cannot_keep(shop_18: Project, setting: str, command: str) -> None:
    shop_18.migration("001_fill", f'ddl: [sql: "{setting}"]\nafter_ddl: [{FILL % repr(INSERT)}, sql: SELECT 1]')
    assert "a backfill does not run with default_transaction_" in shop_18.run("migrate", command, expect=2).err


def test_the_mode_of_one_transaction_ends_with_it(shop: Project, database: Database) -> None:
    database.execute(f"{SOURCE} DELETE FROM w_orders WHERE id = 25")
    setting = "SET transaction_isolation = 'serializable'"
    shop.migration("001_fill", f'ddl: [sql: "{setting}"]\nafter_ddl: [{FILL % repr(INSERT)}, sql: SELECT 1]')
    _assert_same_end(shop, 0, None)
