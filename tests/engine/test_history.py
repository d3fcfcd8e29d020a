"""The history: drift, its chain, order, baseline, and the way down."""

from __future__ import annotations

import subprocess
import sys

import pytest

from confiture.models.events import Event, StepStarted
from tests.support.engine import dry_run, history, migrate_down, migrate_up, wait_until
from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike


def table(shop: Project, number: int, more: str = "") -> None:
    """A migration that makes the table t<number>, and its down."""
    shop.migration(
        f"00{number}_t{number}",
        f"ddl:\n  - name: table\n    sql: CREATE TABLE t{number} (x int)\n{more}down:\n  - sql: DROP TABLE t{number}\n",
    )


def tables(database: Database) -> list[str]:
    return [
        name
        for (name,) in database.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    ]


FAILS = "  - sql: VACUUM t{0}\n  - sql: SELECT 1 / 0\n"
WORKS = "  - sql: VACUUM t{0}\n  - sql: SELECT 1\n"


# --- drift


def test_an_applied_file_that_changed_is_drift_named_by_its_step(shop: Project, database: Database) -> None:
    table(shop, 1)
    migrate_up(shop).expect(0)
    table(shop, 2)
    shop.migration("001_t1", "ddl:\n  - name: table\n    sql: CREATE TABLE t1 (x bigint)\n  - sql: SELECT 1\n")
    ran = migrate_up(shop).expect(7)
    assert ran.diagnostic.detail == ("ddl: changed: table", "ddl: added: SELECT 1")
    assert tables(database) == ["t1"], "nothing else was applied either"
    assert shop.run("migrate", "status", expect=7)
    dry_run(shop).expect(7)


def test_comments_white_space_and_names_are_no_drift(shop: Project) -> None:
    table(shop, 1)
    migrate_up(shop).expect(0)
    shop.migration(
        "001_t1",
        "description: more\nddl:\n  - name: table\n    sql: |\n      -- why\n      CREATE TABLE\n        t1 (x int)\n",
    )
    migrate_up(shop).expect(0)


def test_a_file_that_is_gone_is_drift(shop: Project) -> None:
    table(shop, 1)
    migrate_up(shop).expect(0)
    (shop.root / "migrations/001_t1.yaml").unlink()
    assert "its file is missing" in migrate_up(shop).expect(7).diagnostic.message
    assert "its file is missing" in migrate_down(shop).expect(7).diagnostic.message


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE confiture.migrations SET checksum = 'x' WHERE version = '001'",
        "UPDATE confiture.migrations SET chain = 'x' WHERE version = '002'",
        "DELETE FROM confiture.migrations WHERE version = '001'",
    ],
)
def test_an_edited_history_is_found(shop: Project, database: Database, edit: str) -> None:
    for number in (1, 2):
        table(shop, number)
    migrate_up(shop).expect(0)
    migrate_up(shop).expect(0)
    database.execute(edit)
    assert any("chain" in d.message or "changed" in d.message for d in migrate_up(shop).expect(7).diagnostics)


def test_a_migration_began_before_it_was_applied(shop: Project, database: Database) -> None:
    sleep = "  - sql: SELECT pg_sleep(0.05)\n"
    table(shop, 1, sleep)
    table(shop, 2, f"{sleep}  - sql: VACUUM t2\n{sleep}")
    migrate_up(shop).expect(0)
    took = "extract(epoch FROM applied_at - started_at)"
    least = dict(database.rows(f"SELECT version, {took} FROM confiture.migrations"))
    assert least["001"] >= 0.05
    assert least["002"] >= 0.1


# --- order


def test_out_of_order_is_named_and_refused_unless_allowed(shop: Project, database: Database) -> None:
    for number in (1, 3):
        table(shop, number)
    migrate_up(shop).expect(0)
    table(shop, 2)
    ran = migrate_up(shop).expect(7)
    assert ran.diagnostic.code == "out-of-order" and "002 t2" in ran.diagnostic.message
    migrate_up(shop, out_of_order=True).expect(0)
    assert [version for version, _ in history(database)] == ["001", "003", "002"]
    migrate_up(shop).expect(0)
    migrate_down(shop).expect(0)
    assert tables(database) == ["t1", "t3"], "what was applied last is undone first"


def test_one_that_stopped_midway_is_resumed_even_where_an_earlier_one_came_meanwhile(
    shop: Project, database: Database
) -> None:
    table(shop, 1)
    table(shop, 3, FAILS.format(3))
    migrate_up(shop).expect(5)
    table(shop, 2)
    table(shop, 3, WORKS.format(3))
    table(shop, 4)
    migrate_up(shop, out_of_order=True).expect(0)
    assert {state for _, state in history(database)} == {"applied"}
    assert tables(database) == ["t1", "t2", "t3", "t4"]
    # the chain follows the order in which they ended
    migrate_up(shop).expect(0)
    shop.run("migrate", "status")


def test_two_that_stopped_midway_are_both_resumed(shop: Project, database: Database) -> None:
    table(shop, 2, FAILS.format(2))
    migrate_up(shop).expect(5)
    table(shop, 1, FAILS.format(1))
    migrate_up(shop, out_of_order=True).expect(5)
    table(shop, 1, WORKS.format(1))
    table(shop, 2, WORKS.format(2))
    migrate_up(shop, out_of_order=True).expect(0)
    assert tables(database) == ["t1", "t2"]
    assert {state for _, state in history(database)} == {"applied"}
    migrate_up(shop).expect(0)


# --- baseline


def test_a_baseline_adopts_without_running(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE t1 (x int); CREATE TABLE t2 (x int)")
    for number in (1, 2, 3):
        table(shop, number)
    shop.run("migrate", "baseline", "2")
    migrate_up(shop).expect(0)
    assert tables(database) == ["t1", "t2", "t3"]
    assert database.rows("SELECT origin FROM confiture.migrations ORDER BY position") == [
        ("baseline",),
        ("baseline",),
        ("run",),
    ]
    migrate_up(shop).expect(0)
    migrate_down(shop, to="0").expect(0)
    assert tables(database) == []


def test_a_baseline_again_does_nothing_and_one_below_is_refused(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE t2 (x int); CREATE TABLE t3 (x int)")
    for number in (2, 3):
        table(shop, number)
    shop.run("migrate", "baseline", "3")
    assert "Nothing to do" in shop.run("migrate", "baseline", "3").out
    assert [version for version, _ in history(database)] == ["002", "003"]


def hotfix(shop: Project, database: Database) -> None:
    """001 is applied, 002 is pending, and production has the table of 003 already."""
    table(shop, 1)
    migrate_up(shop).expect(0)
    database.execute("CREATE TABLE t3 (x int)")
    table(shop, 2)
    table(shop, 3)


def test_a_baseline_does_not_record_pending_migrations_besides(shop: Project, database: Database) -> None:
    hotfix(shop, database)
    refused = shop.run("migrate", "baseline", "003", expect=2).err
    assert "a baseline at 003 would also record 002 t2" in refused
    assert "`confiture migrate baseline 003:003`" in refused
    assert [version for version, _ in history(database)] == ["001"]


def test_a_baseline_records_an_exact_set(shop: Project, database: Database) -> None:
    hotfix(shop, database)
    shown = shop.run("migrate", "baseline", "003:003", "--dry-run").out
    assert shown == (
        "003 t3: would be recorded as applied\n"
        "002 t2 remains pending; run it with `confiture migrate up --out-of-order`.\n"
    )
    assert [version for version, _ in history(database)] == ["001"]
    shop.run("migrate", "baseline", "001,003:003")
    assert [version for version, _ in history(database)] == ["001", "003"]
    migrate_up(shop, out_of_order=True).expect(0)
    assert tables(database) == ["t1", "t2", "t3"]
    migrate_up(shop).expect(0)


@pytest.mark.parametrize(
    ("more", "made", "missing"),
    [
        ("", "", "no table t1"),
        ("  - sql: ALTER TABLE t1 ADD COLUMN y int\n", "CREATE TABLE t1 (x int)", "no column t1.y"),
        ("  - sql: CREATE INDEX i ON t1 (x)\n", "CREATE TABLE t1 (x int)", "no index i"),
        ("  - sql: CREATE VIEW v AS SELECT 1 AS x\n", "CREATE TABLE t1 (x int)", "no view v"),
        ("  - sql: CREATE TYPE m AS ENUM ('a')\n", "CREATE TABLE t1 (x int)", "no type m"),
    ],
)
def test_a_baseline_of_what_is_not_there_is_refused(
    shop: Project, database: Database, more: str, made: str, missing: str
) -> None:
    table(shop, 1, more)
    database.execute(made or "SELECT 1")
    refused = shop.run("migrate", "baseline", "001", expect=7).err
    assert f"the database has {missing}, so the migration that creates it has not been applied" in refused
    assert history(database) == []
    shop.run("migrate", "baseline", "001", "--force")
    assert history(database) == [("001", "applied")]


def test_a_baseline_accepts_what_later_versions_of_the_set_replace(shop: Project, database: Database) -> None:
    table(shop, 1)
    shop.migration("002_rename", "ddl:\n  - sql: ALTER TABLE t1 RENAME TO t2\n  - sql: CREATE TEMP TABLE t9 (x int)\n")
    database.execute("CREATE TABLE t2 (x int)")
    shop.run("migrate", "baseline", "001:")
    assert [version for version, _ in history(database)] == ["001", "002"]


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ("", "'' is not a set of versions"),
        ("001,,002", "'001,,002' is not a set of versions"),
        ("002:001", "002:001 is an empty range: 001 comes before 002"),
        ("001:009", "there is no migration 009"),
        ("x", "there is no migration x"),
    ],
)
def test_sets_of_versions_that_cannot_be_read(shop: Project, versions: str, message: str) -> None:
    table(shop, 1)
    table(shop, 2)
    assert message in shop.run("migrate", "baseline", versions, expect=2).err


# --- the down of another migration


def test_down_refuses_the_file_of_another_migration(shop: Project, database: Database) -> None:
    table(shop, 1)
    shop.migration("002_flag", "ddl:\n  - sql: ALTER TABLE t1 ADD COLUMN flag int\ndown:\n  - sql: SELECT 1\n")
    migrate_up(shop).expect(0)
    (shop.root / "migrations/002_flag.yaml").rename(shop.root / "migrations/003_flag.yaml")
    shop.migration("002_note", "ddl:\n  - sql: ALTER TABLE t1 ADD COLUMN note int\ndown:\n  - sql: DROP TABLE t1\n")
    for ran in (migrate_down(shop), migrate_down(shop, dry_run=True), migrate_up(shop)):
        ran.expect(7)
        assert ran.diagnostic.message == "002 flag is applied here, but 002 note now has the same version"
        assert ran.diagnostic.detail == ("its steps are now in migrations/003_flag.yaml",)
    assert tables(database) == ["t1"]


def test_down_of_a_file_that_changed_says_so(shop: Project, database: Database) -> None:
    table(shop, 1, "  - sql: SELECT 1\n")
    migrate_up(shop).expect(0)
    table(shop, 1, "  - sql: SELECT 2\n")
    assert migrate_down(shop).expect(0).notes == (
        "001 t1 changed after it was applied (ddl: added: SELECT 2; ddl: removed: SELECT 1):"
        " check that `down` still fits"
    )


def test_a_baseline_over_one_that_stopped_midway_is_refused(shop: Project, database: Database) -> None:
    table(shop, 1, FAILS.format(1))
    migrate_up(shop).expect(5)
    table(shop, 2)
    assert "was interrupted" in shop.run("migrate", "baseline", "2", expect=2).err
    assert history(database) == [("001", "running")]


# --- down


def test_down_undoes_the_last_one_steps_or_to_a_version(shop: Project, database: Database) -> None:
    for number in range(1, 7):
        table(shop, number)
    migrate_up(shop).expect(0)
    migrate_down(shop).expect(0)
    assert tables(database) == ["t1", "t2", "t3", "t4", "t5"]
    migrate_down(shop, steps=2).expect(0)
    assert tables(database) == ["t1", "t2", "t3"]
    migrate_down(shop, to="2").expect(0)
    assert tables(database) == ["t1", "t2"]
    migrate_down(shop, to="2").expect(0)
    assert tables(database) == ["t1", "t2"]
    migrate_down(shop, to="0").expect(0)
    assert tables(database) == [] and history(database) == []
    migrate_down(shop).expect(0)
    migrate_up(shop).expect(0)
    assert len(tables(database)) == 6


def test_down_on_an_empty_database_leaves_it_empty(shop: Project, database: Database) -> None:
    table(shop, 1)
    migrate_down(shop).expect(0)
    migrate_down(shop, to="0").expect(0)
    assert database.value("SELECT to_regnamespace('confiture')") is None


def test_a_migration_without_down_keeps_all_as_it_is(shop: Project, database: Database) -> None:
    shop.migration("001_stays", "ddl: [sql: CREATE TABLE t1 ()]")
    table(shop, 2)
    migrate_up(shop).expect(0)
    ran = migrate_down(shop, to="0").expect(2)
    assert ran.diagnostic.code == "no-down"
    assert tables(database) == ["t1", "t2"], "known beforehand, so nothing is undone"


def test_down_to_a_version_that_is_not_applied_is_refused(shop: Project, database: Database) -> None:
    for number in (1, 2):
        table(shop, number)
    migrate_up(shop, to="001").expect(0)
    assert migrate_down(shop, to="002").expect(2).diagnostic.code == "not-applied"
    assert migrate_down(shop, to="9").expect(2).diagnostic.code == "unknown-version"
    assert tables(database) == ["t1"]


def test_a_down_that_fails_is_rolled_back_whole(shop: Project, database: Database) -> None:
    shop.migration("001_a", "ddl: [sql: CREATE TABLE t1 ()]\ndown: [sql: DROP TABLE t1, sql: SELECT 1 / 0]")
    migrate_up(shop).expect(0)
    migrate_down(shop).expect(4)
    assert tables(database) == ["t1"] and history(database) == [("001", "applied")]
    migrate_up(shop).expect(0)


DOWN_STOPS = """
    ddl:
      - sql: CREATE TABLE t1 (x int)
      - sql: CREATE TABLE log (x text)
      - sql: CREATE INDEX CONCURRENTLY i ON t1 (x)
    down:
      - sql: INSERT INTO log VALUES ('first')
      - sql: DROP INDEX CONCURRENTLY i
      - sql: {0}
"""


def test_a_down_that_stopped_midway_is_resumed(shop: Project, database: Database) -> None:
    shop.migration("001_a", DOWN_STOPS.format("SELECT 1 / 0"))
    migrate_up(shop).expect(0)
    migrate_down(shop).expect(5)
    assert history(database) == [("001", "reverting")]
    refused = migrate_up(shop).expect(7)
    assert refused.diagnostic.code == "down-unfinished"
    shop.migration("001_a", DOWN_STOPS.format("DROP TABLE t1"))
    ran = migrate_down(shop).expect(0)
    assert [name for _, name, _ in ran.steps] == ["DROP TABLE t1"]
    assert tables(database) == ["log"] and history(database) == []
    assert database.value("SELECT count(*) FROM log") == 1


def test_a_down_of_what_stopped_midway_undoes_it(shop: Project, database: Database) -> None:
    table(shop, 1, FAILS.format(1))
    migrate_up(shop).expect(5)
    migrate_down(shop).expect(0)
    assert tables(database) == [] and history(database) == []
    table(shop, 1, WORKS.format(1))
    migrate_up(shop).expect(0)
    assert history(database) == [("001", "applied")]


def test_a_down_that_did_not_begin_leaves_a_stopped_migration_stopped(shop: Project, database: Database) -> None:
    down = "down:\n  - sql: DROP INDEX CONCURRENTLY missing\n  - sql: VACUUM\n"
    up = "ddl:\n  - sql: CREATE TABLE t1 (x int)\n  - sql: INSERT INTO t1 VALUES (1)\n"
    shop.migration("001_a", up + FAILS.format(1) + down)
    migrate_up(shop).expect(5)
    migrate_down(shop).expect(4)
    assert history(database) == [("001", "running")]
    slow = "down: [{sql: REINDEX INDEX CONCURRENTLY missing}, sql: SELECT 1]\n"
    shop.migration("001_a", up + FAILS.format(1) + slow)
    migrate_down(shop).expect(4)
    assert history(database) == [("001", "running")]
    shop.migration("001_a", up + WORKS.format(1) + slow)
    ran = migrate_up(shop).expect(0)
    assert len(ran.steps) == 1, "it goes on where it was"
    assert database.value("SELECT count(*) FROM t1") == 1


def test_a_down_that_did_not_begin_leaves_an_applied_migration_applied(shop: Project, database: Database) -> None:
    table(shop, 1)
    shop.migration("002_a", "ddl: [sql: SELECT 1]\ndown: [sql: REINDEX INDEX CONCURRENTLY missing, sql: SELECT 1]")
    migrate_up(shop).expect(0)
    migrate_down(shop).expect(4)
    assert history(database) == [("001", "applied"), ("002", "applied")]
    migrate_up(shop).expect(0)


def test_a_version_written_in_another_way_is_not_half_undone(shop: Project, database: Database) -> None:
    shop.migration("a", "version: '1'\nname: a\nddl: [sql: CREATE TABLE t1 ()]\ndown: [sql: DROP TABLE t1]")
    migrate_up(shop).expect(0)
    shop.migration("a", "version: '001'\nname: a\nddl: [sql: CREATE TABLE t1 ()]\ndown: [sql: DROP TABLE t1]")
    migrate_up(shop).expect(0)
    migrate_down(shop).expect(7)
    assert tables(database) == ["t1"] and history(database) == [("1", "applied")]


# --- how far one came that stopped midway


HERE = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"


def stopped(shop: Project, expect: int = 0) -> dict:
    """What `status` says of it, in JSON."""
    return shop.run("migrate", "status", "--format", "json", expect=expect).json["unfinished"]


def told(shop: Project, expect: int = 0) -> str:
    """What `status` says to people, without line breaks."""
    return " ".join(shop.run("migrate", "status", expect=expect).out.split())


def test_status_says_how_many_segments_are_committed_and_where_the_next_run_goes_on(shop: Project) -> None:
    table(shop, 1, FAILS.format(1))
    migrate_up(shop).expect(5)
    found = stopped(shop)
    assert (found["version"], found["state"]) == ("001", "running")
    assert (found["segments_committed"], found["segments"]) == (2, 3)
    assert found["next_step"] == {
        "phase": "ddl",
        "number": 3,
        "part": 1,
        "name": "SELECT 1 / 0",
        "file": "migrations/001_t1.yaml",
        "line": 5,
        "begun": False,
    }
    assert (
        "001 t1 stopped midway: 2 of 3 segments committed."
        " The next run continues at ddl: SELECT 1 / 0 (migrations/001_t1.yaml:5)."
    ) in told(shop)
    table(shop, 1, WORKS.format(1) + "  - sql: VACUUM\n  - sql: SELECT 2\n")
    assert "2 of 5 segments committed. The next run continues at ddl: SELECT 1 (" in told(shop), "as its file is now"
    table(shop, 1, "  - sql: VACUUM t1\n")
    assert "2 of 2 segments committed; nothing is left to run." in told(shop)
    migrate_up(shop).expect(0)
    assert stopped(shop) is None


def test_status_says_where_what_is_committed_was_changed_since(shop: Project) -> None:
    table(shop, 1, FAILS.format(1))
    migrate_up(shop).expect(5)
    table(shop, 1, "  - sql: ANALYZE t1\n")
    found = stopped(shop, expect=7)
    assert (found["segments_committed"], found["segments"], found["next_step"]) == (2, None, None)
    assert "001 t1 stopped midway: 2 segments committed." in told(shop, expect=7)
    assert migrate_up(shop).expect(7).diagnostic.code == "drift"
    (shop.root / "migrations/001_t1.yaml").unlink()
    assert "001 t1 stopped midway: 2 segments committed." in told(shop, expect=7)


def test_status_says_that_a_statement_outside_a_transaction_had_begun(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE t (x int)")
    table(shop, 1, "  - name: index\n    sql: CREATE INDEX CONCURRENTLY i ON t (x)\n")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'"
    with database.connect() as holder, holder.transaction():
        holder.execute("INSERT INTO t VALUES (1)")
        process = shop.start("migrate", "up")
        wait_until(lambda: database.value(waiting), "the build waits for the holder")
        meanwhile = told(shop)
        assert "001 t1 is midway: 1 of 2 segments committed." in meanwhile and "continues" not in meanwhile
        assert "1 pending. Running now: confiture migrate up (" in meanwhile
        process.kill()
        process.communicate()
        locked = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {HERE}"
        wait_until(lambda: not database.value(locked), "the server notices that the run is gone")
        found = stopped(shop)
        assert (found["segments_committed"], found["segments"], found["next_step"]["begun"]) == (1, 2, True)
        assert "1 of 2 segments committed. It had started ddl: index (migrations/001_t1.yaml:4); the" in told(shop)


def test_status_says_how_far_a_down_came(shop: Project) -> None:
    shop.migration("001_a", DOWN_STOPS.format("SELECT 1 / 0"))
    migrate_up(shop).expect(0)
    migrate_down(shop).expect(5)
    stop = "The rollback of 001 a stopped midway: 2 of 3 segments committed. "
    assert f"{stop}The next run continues at down: SELECT 1 / 0" in told(shop)
    assert stopped(shop)["state"] == "reverting"
    migrate_down(shop).expect(5)
    shop.migration("001_a", DOWN_STOPS.format("DROP TABLE t1").partition("down:")[0])
    assert "The rollback of 001 a stopped midway: 2 segments committed." in told(shop), "its file has no down any more"


def test_status_tells_of_every_one_that_stopped_midway(shop: Project) -> None:
    for number in (2, 1):
        table(shop, number, FAILS.format(number))
        migrate_up(shop, out_of_order=True).expect(5)
    assert told(shop).count("stopped midway: 2 of 3 segments committed") == 2


def test_an_interrupt_says_how_to_go_on(shop: Project) -> None:
    table(shop, 1)

    def interrupt(event: Event) -> None:
        if isinstance(event, StepStarted):
            raise KeyboardInterrupt

    real, rehearsal = migrate_up(shop, interrupt).expect(4), dry_run(shop, interrupt).expect(4)
    assert real.codes == rehearsal.codes == ["interrupted"]
    assert "`confiture migrate status`" in str(real.diagnostic.hint)
    assert "a dry run commits nothing" in str(rehearsal.diagnostic.hint)


# --- rows that somebody edited

_UNCHECKED = "ALTER TABLE confiture.migrations DROP CONSTRAINT migrations_{0}_check; "


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("UPDATE confiture.migrations SET steps = '[[1]]'", "steps"),
        ("UPDATE confiture.migrations SET steps = 'null'", "steps"),
        ("""UPDATE confiture.migrations SET steps = '[["ddl", 1, {}]]'""", "steps"),
        (_UNCHECKED.format("state") + "UPDATE confiture.migrations SET state = 'paused'", "state"),
        (_UNCHECKED.format("origin") + "UPDATE confiture.migrations SET origin = 'import'", "origin"),
        ("UPDATE confiture.migrations SET duration_ms = 'NaN'", "duration_ms"),
        ("UPDATE confiture.migrations SET applied_at = 'infinity'", "applied_at"),
        ("UPDATE confiture.migrations SET applied_at = '0044-03-15 BC'", "applied_at"),
    ],
)
def test_a_damaged_row_is_refused(shop_18: Project, database_18: Database, statement: str, column: str) -> None:
    table(shop_18, 1)
    migrate_up(shop_18).expect(0)
    database_18.execute(statement)
    for command in (["migrate", "status"], ["migrate", "up"], ["verify"]):
        err = shop_18.run(*command, expect=3).err
        assert "error[damaged-history]: the row of 001 in confiture.migrations is damaged: its " + column in err


def test_the_package_imports_nothing_at_its_start() -> None:
    """Ctrl-C is caught in `__main__`: what is imported before it would show a traceback."""
    code = "import __future__, sys; before = {*sys.modules}; import confiture; print({*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{'confiture'}\n"
