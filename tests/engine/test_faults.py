"""Faults at every point of a run: what is said of it is true, and the next run ends where an undisturbed one does."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import Ran, history, migrate_down, migrate_up, nothing_remains, wait_until
from tests.support.faults import (
    LOSE,
    OURS,
    Gone,
    assert_ended,
    assert_events_agree,
    assert_told_truly,
    at,
    effects,
    number_of_events,
    reset,
    write,
)
from tests.support.killed_run import kill_at
from tests.support.matrix import ALL_CASES, sample
from tests.support.projects import Project
from tests.support.properties import example_count, generator
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike


def test_an_exception_at_every_event(shop_18: Project, database_18: Database) -> None:
    write(shop_18)

    def gone() -> None:
        raise Gone

    for number in sample(range(1, number_of_events(shop_18, database_18) + 1)):
        with pytest.raises(Gone):
            migrate_up(shop_18, at(number, gone))
        migrate_up(shop_18).expect(0)
        assert_ended(database_18)
        reset(database_18)


def test_an_interrupt_at_every_event(shop_18: Project, database_18: Database) -> None:
    write(shop_18)

    def interrupt() -> None:
        raise KeyboardInterrupt

    codes = set()
    for number in sample(range(1, number_of_events(shop_18, database_18) + 1)):
        try:
            ran = migrate_up(shop_18, at(number, interrupt))
        except KeyboardInterrupt:
            pass  # before the first migration or after the last
        else:
            assert "interrupted" in ran.codes
            assert_told_truly(ran, database_18)
            codes.add(ran.code)
        migrate_up(shop_18).expect(0)
        assert_ended(database_18)
        reset(database_18)
    assert codes <= {4, 5} and (codes == {4, 5} or not ALL_CASES)


def test_a_lost_session_at_every_event(shop: Project, database: Database) -> None:
    write(shop)

    def lose() -> None:
        # not the session that holds the lock
        database.execute(
            f"{LOSE} AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1)"
        )

    codes = set()
    for number in sample(range(1, number_of_events(shop, database) + 1)):
        ran = migrate_up(shop, at(number, lose))
        assert_told_truly(ran, database)
        codes.add(ran.code)
        migrate_up(shop).expect(0)
        assert_ended(database)
        reset(database)
    assert codes <= {0, 3, 4, 5} and (codes == {0, 3, 4, 5} or not ALL_CASES)


def write_down(shop: Project) -> None:
    """Migrations whose ways down log, in a table that stays, how often each of their parts took effect."""
    shop.migration(
        "001_a", "ddl: [sql: CREATE TABLE a (x int)]\ndown: [sql: INSERT INTO log VALUES ('a'), sql: DROP TABLE a]"
    )
    shop.migration("002_b", "ddl: [sql: 'CREATE TABLE b (x int)', sql: 'CREATE INDEX i ON b (x)']\ndown: [down.sql]")
    shop.ddl(
        "down.sql",
        """
        INSERT INTO log VALUES ('b');
        DROP INDEX CONCURRENTLY i;
        INSERT INTO log VALUES ('c');
        VACUUM b;
        INSERT INTO log VALUES ('d');
        DROP TABLE b;
        """,
    )


@pytest.mark.parametrize("fault", ["gone", "lose"])
def test_a_fault_at_every_event_on_the_way_down(shop_18: Project, database_18: Database, fault: str) -> None:
    write_down(shop_18)

    def gone() -> None:
        raise Gone

    def lose() -> None:
        database_18.execute(LOSE)

    action = {"gone": gone, "lose": lose}[fault]
    for number in sample(range(1, 100)):
        reset(database_18)
        database_18.execute("CREATE TABLE log (x text)")
        migrate_up(shop_18).expect(0)
        try:
            ran = migrate_down(shop_18, at(number, action), to="0")
        except Gone:
            ran = Ran()
        assert_events_agree(database_18)
        reverting = [version for version, state in history(database_18) if state == "reverting"]
        assert ran.code != 4 or not reverting
        assert ran.code != 5 or reverting or "committed" in ran.codes
        if reverting:
            assert migrate_up(shop_18).expect(7).diagnostic.code == "down-unfinished"
        migrate_down(shop_18, to="0").expect(0)
        assert effects(database_18) == "abcd"
        assert database_18.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'") == [("log",)]
        assert history(database_18) == []
        if number > len(ran.events) > 0:
            break
    else:
        pytest.fail("the run never came to its end")


def test_a_killed_process_at_every_event(shop_18: Project, database_18: Database) -> None:
    write(shop_18)
    for number in sample(range(1, number_of_events(shop_18, database_18) + 1)):
        assert kill_at(number, shop_18.root, database_18.url) == -signal.SIGKILL
        assert_events_agree(database_18)
        migrate_up(shop_18, lock_wait_ms=60_000).expect(0)
        assert_ended(database_18)
        reset(database_18)


@pytest.mark.property
def test_a_process_killed_again_and_again_at_random_moments(shop: Project, database: Database) -> None:
    write(shop)
    chance = generator(4)
    for _ in range(example_count(8)):
        process = shop.start("migrate", "up")
        try:
            process.wait(chance.uniform(0.1, 1.2))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    migrate_up(shop, lock_wait_ms=60_000).expect(0)
    assert_ended(database)


# --- Ctrl-C and SIGTERM


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("later", [False, True], ids=["first segment", "later segment"])
def test_a_signal_during_a_long_statement(
    shop_18: Project, database_18: Database, sign: signal.Signals, later: bool
) -> None:
    shop, database = shop_18, database_18
    before = "sql: CREATE TABLE a (), sql: VACUUM a, " if later else ""
    shop.migration("001_long", f"ddl: [{before}sql: CREATE TABLE b (), {{name: long, sql: SELECT pg_sleep(600)}}]")
    process = shop.start("migrate", "up")
    sleeping = f"SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND query LIKE '%pg_sleep%' AND state = 'active'"
    wait_until(lambda: database.value(sleeping), "the long statement runs")
    process.send_signal(sign)
    out, err = process.communicate()
    assert process.returncode == (5 if later else 4), out + err
    assert "interrupted" in err and "Traceback" not in err
    if later:
        assert "stopped midway" in out
        assert history(database) == [("001", "running")]
        assert database.value("SELECT to_regclass('b')") is None
        assert "is kept. Next: run `confiture migrate up` to continue" in out
    else:
        assert "and left no changes. Next: run `confiture migrate up`." in out
        assert nothing_remains(database)
    assert database.value(f"SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND state <> 'idle'") == 0
    wait_until(lambda: not database.value(f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}"), "its sessions end")
    assert database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_a_second_interrupt_during_on_error_still_tells_the_truth(shop: Project, database: Database) -> None:
    shop.migration(
        "001_fails",
        "ddl: [sql: CREATE TABLE a (), sql: VACUUM a, sql: SELECT 1 / 0]\non_error: [sql: SELECT pg_sleep(600)]",
    )
    process = shop.start("migrate", "up")
    sleeping = f"SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND query LIKE '%pg_sleep%' AND state = 'active'"
    wait_until(lambda: database.value(sleeping), "on_error runs")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 5, out + err
    assert "on_error was interrupted" in out + err


# --- a full disk


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_disk_leaves_nothing(shop: Project, database: Database) -> None:
    place = Path(str(database.value("SHOW data_directory"))).parent / f"small_{database.name}"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", place], check=False).returncode:
        pytest.skip("mounting is not permitted here")
    data = Path(str(database.value("SHOW data_directory"))).stat()
    os.chown(place, data.st_uid, data.st_gid)
    try:
        database.execute(f"CREATE TABLESPACE small_{database.name} LOCATION '{place}'")
        shop.migration(
            "001_full",
            "ddl:\n  - sql: CREATE TABLE a ()\n"
            f"  - sql: CREATE TABLE big TABLESPACE small_{database.name} AS\n"
            "      SELECT repeat(md5(x::text), 30) FROM generate_series(1, 100000) x\n",
        )
        ran = migrate_up(shop).expect(4)
        assert ran.diagnostic.code == "53100"
        assert nothing_remains(database)
        database.execute(f"DROP TABLESPACE small_{database.name}")
    finally:
        subprocess.run(["umount", place], check=False)
