"""One run at a time."""

from __future__ import annotations

import psycopg
import pytest

from confiture.core.db.migration_lock import LOCK_KEY
from confiture.models.events import StepFinished
from tests.support.engine import Ran, dry_run, history, migrate_up, wait_until
from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike


def held(database: Database, **options: object) -> psycopg.Connection:
    connection = database.connect(**options)
    assert connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone() == (True,)
    return connection


def test_another_run_is_named(shop: Project, database: Database) -> None:
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a ()]")
    with held(database, application_name="confiture elsewhere") as holder:
        result = shop.run("migrate", "up", "--wait", "0", expect=6)
        pid = holder.info.backend_pid
    for told in ("confiture elsewhere", "as postgres", "a local socket", f"server process {pid}", "since 2"):
        assert told in result.err
    assert database.value("SELECT to_regnamespace('confiture')") is None
    shop.run("migrate", "up", "--wait", "0")


def test_a_holder_whose_doings_are_hidden_is_named_as_far_as_it_can_be(shop: Project, database: Database) -> None:
    database.execute("DO $$ BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a ()]")
    with held(database) as holder:
        ran = migrate_up(shop, url=f"{database.url}&user=plain", lock_wait_ms=0).expect(6)
        assert f"server process {holder.info.backend_pid}" in ran.diagnostic.detail[0]


def test_a_run_waits_as_long_as_it_is_told(shop: Project, database: Database) -> None:
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a ()]")
    holder = held(database)
    told = []

    def let_go(event: object) -> None:
        if type(event).__name__ == "LockWaiting":
            told.append(event)
            holder.close()

    migrate_up(shop, let_go, lock_wait_ms=60_000).expect(0)
    assert len(told) == 1


def test_the_lock_is_of_one_database(shop: Project, database: Database) -> None:
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a ()]")
    with psycopg.connect(database.server.admin_url, autocommit=True) as elsewhere:
        elsewhere.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        migrate_up(shop, lock_wait_ms=0).expect(0)


def test_two_runs_at_once_apply_everything_once(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE log (x text)")
    for number in range(1, 6):
        shop.migration(
            f"00{number}_m",
            f"ddl: [sql: CREATE TABLE t{number} (), sql: VACUUM t{number}, sql: INSERT INTO log VALUES ('{number}')]",
        )
    processes = [shop.start("migrate", "up", "--wait", "5min") for _ in range(3)]
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, out + err
    assert database.rows("SELECT x FROM log ORDER BY x") == [(str(number),) for number in range(1, 6)]
    assert len(history(database)) == 5


def test_a_dry_run_that_waited_until_nothing_was_left_is_done(shop: Project, database: Database) -> None:
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a ()]")
    ran: list[Ran] = []

    def other(event: object) -> None:
        # between the first look and the lock
        if type(event).__name__ == "LockWaiting" and not ran:
            holder.execute("SELECT pg_advisory_unlock_all()")
            ran.append(migrate_up(shop).expect(0))

    with held(database) as holder:
        dry_run(shop, other, lock_wait_ms=60_000).expect(0)
    assert ran and history(database) == [("001", "applied")]


def test_a_run_that_lost_its_lock_does_not_begin_another_segment(
    shop: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("confiture.core.db.migration_lock._CHECK_S", 0.0)
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a (), sql: VACUUM a, sql: CREATE TABLE b ()]")

    def lose(event: object) -> None:
        if isinstance(event, StepFinished) and event.step.name == "VACUUM a":
            database.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")

    ran = migrate_up(shop, lose).expect(5)
    assert "the lock was lost" in ran.diagnostic.message
    assert database.value("SELECT to_regclass('b')") is None
    migrate_up(shop).expect(0)


def test_two_that_resume_the_same_segment_do_not_both_commit_it(shop: Project, database: Database) -> None:
    """Without the lock, the journal still keeps a segment from being done twice."""
    text = "ddl: [sql: 'CREATE TABLE t (x int)', sql: VACUUM t, sql: INSERT INTO t VALUES ({})]"
    shop.migration("001_a", text.format("1 / 0"))
    migrate_up(shop).expect(5)
    shop.migration("001_a", text.format("1"))
    second: list[Ran] = []

    def race(event: object) -> None:
        if type(event).__name__ == "StepFinished" and not second:
            database.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            second.append(migrate_up(shop))

    first = migrate_up(shop, race)
    second[0].expect(0)
    first.expect(5)
    assert "another run has already recorded" in first.diagnostic.message
    assert database.rows("SELECT x FROM t") == [(1,)]
    assert history(database) == [("001", "applied")]


def test_two_that_resume_the_same_build_do_not_both_record_it(shop: Project, database: Database) -> None:
    database.execute("CREATE TABLE t (x int)")
    shop.migration("001_a", "ddl: [sql: 'CREATE INDEX CONCURRENTLY i ON t (x)']")
    second: list[Ran] = []

    def race(event: object) -> None:
        if type(event).__name__ == "StepFinished" and not second:
            database.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            second.append(migrate_up(shop))

    first = migrate_up(shop, race).expect(7)
    second[0].expect(0)
    assert "another run has changed it" in first.diagnostic.detail[0]
    assert history(database) == [("001", "applied")]


def test_the_lock_is_let_go_in_the_end(shop: Project, database: Database) -> None:
    shop.migration("001_a", "ddl: [sql: SELECT 1 / 0]")
    migrate_up(shop).expect(4)
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    wait_until(lambda: database.value(locks) == 0, "the lock is let go")
