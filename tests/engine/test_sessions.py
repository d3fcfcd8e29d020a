"""What a run waits for, how long, and what a migration sets for itself."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tests.support.engine import dry_run, history, migrate_up, nothing_remains, wait_until
from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike


def test_timeouts_hold_for_their_step_only(shop: Project, database: Database) -> None:
    shop.migration(
        "001_timeouts",
        """
        before_ddl: [sql: "CREATE TABLE seen (n int, statement text, lock text)"]
        ddl:
          - sql: &look |
              INSERT INTO seen
              SELECT count(*), current_setting('statement_timeout'), current_setting('lock_timeout') FROM seen
            timeout: 7s
            lock_timeout: 3s
          - sql: *look
        cleanup:
          - sql: VACUUM seen
            timeout: 9s
            lock_timeout: 4s
          - sql: *look
        """,
    )
    migrate_up(shop).expect(0)
    assert database.rows("SELECT statement, lock FROM seen ORDER BY n") == [("7s", "3s"), ("0", "2s"), ("0", "2s")]


def test_a_step_over_its_timeout_fails_with_the_way_out(shop: Project, database: Database) -> None:
    shop.migration("001_slow", "ddl: [{sql: SELECT pg_sleep(60), timeout: 100ms}]")
    ran = migrate_up(shop).expect(4)
    assert ran.diagnostic.code == "57014" and "`timeout:`" in str(ran.diagnostic.hint)
    assert nothing_remains(database)


def test_a_timeout_does_not_hamper_clearing_up(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE a (x int); INSERT INTO a VALUES (1)")
    database.execute(
        "CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE"
        " AS 'BEGIN PERFORM pg_sleep(30); RETURN $1; END'"
    )
    shop.migration("001_slow", "ddl: [{sql: CREATE INDEX CONCURRENTLY i ON a (slow(x)), timeout: 300ms}]")
    ran = migrate_up(shop).expect(4)
    assert ran.diagnostic.code == "57014"
    assert "dropped the invalid index i" in ran.notes
    assert history(database) == []


class Holder:
    """Another session that holds a table."""

    def __init__(self, database: Database, statement: str) -> None:
        self.connection = psycopg.connect(database.url)
        self.connection.execute(statement.encode())

    def release(self) -> None:
        self.connection.close()


def patient(shop: Project, lock_timeout: str, retries: int) -> None:
    shop.write(
        "confiture.yaml",
        f"migrations: migrations\nschemas: schemas\ndatabase: {{lock_timeout: {lock_timeout}, retries: {retries}}}\n",
    )


def test_a_lock_that_is_let_go_is_waited_for(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE busy (x int)")
    patient(shop, "50ms", 1000)
    shop.migration("001_busy", "ddl: [sql: CREATE TABLE first (), sql: ALTER TABLE busy ADD y int]")
    holder = Holder(database, "LOCK TABLE busy")
    ran = migrate_up(shop, lambda event: holder.release() if type(event).__name__ == "SegmentRetried" else None)
    ran.expect(0)
    assert ran.retries >= 1
    assert database.value("SELECT count(*) FROM information_schema.columns WHERE table_name = 'busy'") == 2
    assert history(database) == [("001", "applied")]


def test_a_lock_that_is_never_let_go_fails_and_leaves_nothing(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE busy (x int)")
    patient(shop, "50ms", 2)
    shop.migration("001_busy", "ddl: [sql: CREATE TABLE first (), sql: ALTER TABLE busy ADD y int]")
    holder = Holder(database, "LOCK TABLE busy")
    ran = migrate_up(shop).expect(4)
    assert (ran.retries, ran.diagnostic.code) == (2, "55P03")
    assert dry_run(shop).expect(4).diagnostic.code == "55P03"
    holder.release()
    assert database.value("SELECT to_regclass('first')") is None
    assert history(database) == []


def test_a_dry_run_waits_for_locks_no_longer_than_it_may(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE busy (x int)")
    patient(shop, "50ms", 0)
    shop.migration("001_busy", "ddl: [sql: 'CREATE INDEX CONCURRENTLY i ON busy (x)']")
    holder = Holder(database, "LOCK TABLE busy IN ROW EXCLUSIVE MODE")
    assert dry_run(shop).expect(4).diagnostic.code == "55P03"
    holder.release()
    dry_run(shop).expect(0)


def test_a_deadlock_is_tried_again(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE a (x int); CREATE TABLE b (x int)")
    patient(shop, "30s", 20)
    shop.migration("001_deadlock", "ddl: [sql: LOCK TABLE a, sql: LOCK TABLE b, sql: CREATE TABLE c ()]")
    other = psycopg.connect(database.url)
    # the one that finds the deadlock is the one that dies: ours looks first
    other.execute("SET deadlock_timeout = '60s'")
    other.execute("LOCK TABLE b")
    waiting: list[threading.Thread] = []

    def cross(event: object) -> None:
        if type(event).__name__ == "StepFinished" and not waiting:
            waiting.append(threading.Thread(target=lambda: other.execute("LOCK TABLE a")))
            waiting[0].start()
            wait_until(lambda: database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), "the other waits")
        elif type(event).__name__ == "SegmentRetried":
            waiting[0].join()
            other.rollback()

    ran = migrate_up(shop, cross).expect(0)
    other.close()
    assert ran.retries == 1
    assert history(database) == [("001", "applied")]


# --- what a migration sets, it sets for itself


@pytest.mark.parametrize("between", ["", "  - sql: VACUUM public.probe\n"], ids=["next migration", "next segment"])
@pytest.mark.parametrize("dry", [False, True], ids=["real", "dry"])
def test_session_state_ends_with_its_segment_or_migration(
    shop: Project, database: Database, between: str, dry: bool
) -> None:
    database.execute("CREATE SCHEMA other; CREATE TABLE probe (x text)")
    database.execute("DO $$ BEGIN CREATE ROLE leaky; EXCEPTION WHEN duplicate_object THEN END $$")
    database.execute("GRANT ALL ON SCHEMA other TO leaky; GRANT ALL ON probe TO leaky")
    setting = (
        "ddl:\n"
        "  - sql: CREATE SEQUENCE s; SELECT nextval('s')\n"
        # what ends with its segment would be refused
        + (
            ""
            if between
            else "  - sql: SELECT pg_advisory_lock(42)\n"
            "  - sql: CREATE TEMP TABLE scratch (x int)\n"
            "  - sql: PREPARE p AS SELECT 1\n"
            "  - sql: LISTEN news\n"
        )
        + "  - sql: SET search_path = other; SET my.setting = 'x'; SET statement_timeout = '59s'\n"
        "  - sql: SET ROLE leaky\n"
    )
    # settings are made again in the next segment of the migration, and end with the migration
    state = "false, other, 'x', '59s'" if between else "true, '\"$user\", public', '', '0'"
    looking = (
        "  - name: look\n"
        "    check: |\n"
        "      SELECT current_user = session_user, current_setting('search_path'),\n"
        "        current_setting('my.setting', true),\n"
        "        current_setting('statement_timeout'), to_regclass('pg_temp.scratch') IS NULL,\n"
        # a dry run looks by a prepared statement of its own
        "        (SELECT count(*) FROM pg_prepared_statements WHERE name <> 'confiture: touched relations'),\n"
        "        (SELECT count(*) FROM pg_listening_channels()),\n"
        "        (SELECT count(*) FROM pg_locks\n"
        "         WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 42)\n"
        "    expect:\n"
        f"      rows: [[{state}, true, 0, 0, 0]]\n"
    )
    if between:
        shop.migration("001_sets", setting + between + looking)
    else:
        shop.migration("001_sets", setting)
        shop.migration("002_looks", "ddl:\n" + looking)
    ran = (dry_run if dry else migrate_up)(shop).expect(0)
    assert ran.steps[-1][1:] == ("look", "done")


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE nobody_much",
        "SET LOCAL ROLE nobody_much",
        "SET SESSION AUTHORIZATION nobody_much",
        "SET role TO 'nobody_much'",
        "SELECT set_config('role', 'nobody_much', false)",
    ],
)
def test_a_role_without_rights_on_our_tables_still_gets_its_history(
    shop: Project, database: Database, statement: str
) -> None:
    database.execute("DO $$ BEGIN CREATE ROLE nobody_much; EXCEPTION WHEN duplicate_object THEN END $$")
    database.execute("GRANT CREATE ON SCHEMA public TO nobody_much")
    shop.ddl("role.sql", statement)
    shop.migration("001_first", "ddl: [role.sql, sql: CREATE TABLE a ()]")
    shop.migration("002_apart", "ddl: [role.sql, sql: CREATE TABLE b (), sql: VACUUM b, role.sql]")
    migrate_up(shop).expect(0)
    assert history(database) == [("001", "applied"), ("002", "applied")]
    owners = database.rows("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [("nobody_much",)]


def test_a_role_that_a_block_sets_does_not_write_the_history(shop: Project, database: Database) -> None:
    database.execute("DO $$ BEGIN CREATE ROLE nobody_much; EXCEPTION WHEN duplicate_object THEN END $$")
    database.execute("GRANT CREATE ON SCHEMA public TO nobody_much")
    set_role = "DO $$ BEGIN SET ROLE nobody_much; END $$"
    shop.migration("001_first", f"ddl:\n  - sql: {set_role}\n  - sql: CREATE TABLE a ()\n")
    shop.migration("002_last", f"ddl:\n  - sql: VACUUM a\n  - sql: {set_role}\n")
    migrate_up(shop).expect(0)
    assert history(database) == [("001", "applied"), ("002", "applied")]
    assert database.value("SELECT tableowner FROM pg_tables WHERE tablename = 'a'") == "nobody_much"


def test_sequences_used_by_one_migration_are_unknown_to_the_next(shop: Project) -> None:
    shop.migration("001_a", "ddl: [sql: CREATE SEQUENCE s, sql: SELECT nextval('s')]")
    shop.migration("002_b", "ddl: [sql: SELECT lastval()]")
    assert migrate_up(shop).expect(4).diagnostic.message == "lastval is not yet defined in this session"


def test_a_role_that_logs_in_as_another_stays_that_one(shop: Project, database: Database) -> None:
    database.execute(
        "DO $$ BEGIN CREATE ROLE shop_owner; CREATE ROLE deployer LOGIN IN ROLE shop_owner;"
        " EXCEPTION WHEN duplicate_object THEN END $$"
    )
    database.execute(f"ALTER ROLE deployer IN DATABASE {database.name} SET role = shop_owner")
    database.execute(
        f"GRANT CREATE ON DATABASE {database.name} TO shop_owner; GRANT CREATE ON SCHEMA public TO shop_owner"
    )
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a (), sql: VACUUM a, sql: CREATE TABLE b ()]")
    migrate_up(shop, url=as_role(database, "deployer")).expect(0)
    owners = database.rows("SELECT DISTINCT tableowner FROM pg_tables WHERE tablename IN ('a', 'b', 'migrations')")
    assert owners == [("shop_owner",)]


def as_role(database: Database, role: str) -> str:
    return f"{database.url}&user={role}"


def test_a_dump_that_sets_its_encoding_spoils_nothing(shop: Project, database: Database) -> None:
    shop.migration("001_dump", "ddl: [dump.sql]")
    shop.ddl("dump.sql", "SET client_encoding = 'LATIN1';\nCREATE TABLE a AS SELECT 'crème → brûlée' AS x;\n")
    migrate_up(shop).expect(0)
    assert database.value("SELECT x FROM a") == "crème → brûlée"
