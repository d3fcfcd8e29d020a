"""Statements that cannot run in a transaction: what a broken try leaves, and how the next one mends it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.support.engine import history, migrate_down, migrate_up, wait_until
from tests.support.projects import Project
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike

INDEX = "ddl:\n  - sql: CREATE INDEX CONCURRENTLY i ON t (x)\n"


@pytest.fixture
def t(database: Database) -> Database:
    database.execute("CREATE TABLE t (x int); INSERT INTO t VALUES (1), (2)")
    return database


def indexes(database: Database) -> list[tuple]:
    return database.rows(
        "SELECT c.relname::text, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'other')"
        " ORDER BY 1"
    )


@contextmanager
def held_open(database: Database, statement: str = "SELECT count(*) FROM pg_class") -> Iterator[psycopg.Connection]:
    """A long transaction: a build CONCURRENTLY waits for it before it ends."""
    with psycopg.connect(database.url) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute(statement.encode())
        yield connection


def wait_for_build(database: Database, name: str = "i", beginning: str = "CREATE") -> None:
    """Until the statement waits for the long transaction."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'confiture%' AND wait_event_type = 'Lock'"
        f" AND query LIKE '%{beginning}%'"
    )
    wait_until(lambda: database.value(query), f"the build of {name} waits")


def killed_in_the_build(shop: Project, database: Database) -> None:
    """Leaves what a client leaves that is killed during the build."""
    process = shop.start("migrate", "up")
    wait_for_build(database)
    process.kill()
    process.communicate()


def test_an_invalid_index_that_a_killed_run_left_is_rebuilt_and_this_is_said(shop: Project, t: Database) -> None:
    shop.migration("001_index", INDEX)
    with held_open(t):
        killed_in_the_build(shop, t)
        wait_until(
            lambda: t.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE IND%'") == 0, "it ends"
        )
    assert ("i", False) in indexes(t)
    assert history(t) == [("001", "running")]
    result = shop.run("migrate", "up")
    assert "dropped the invalid index i" in result.out + result.err
    assert indexes(t) == [("i", True)] and history(t) == [("001", "applied")]


def test_a_run_right_after_a_kill_waits_for_the_orphaned_build(shop: Project, t: Database) -> None:
    shop.migration("001_index", INDEX)
    with held_open(t):
        killed_in_the_build(shop, t)
    migrate_up(shop).expect(0)
    assert indexes(t) == [("i", True)] and history(t) == [("001", "applied")]


def test_if_not_exists_does_not_keep_an_invalid_index(shop: Project, t: Database) -> None:
    t.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        t.execute("CREATE UNIQUE INDEX CONCURRENTLY i ON t (x)")
    t.execute("DELETE FROM t")
    shop.migration(
        "001_index", INDEX.replace("CREATE INDEX CONCURRENTLY", "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS")
    )
    ran = migrate_up(shop).expect(0)
    assert "dropped the invalid index i" in ran.notes
    assert indexes(t) == [("i", True)]


def test_a_valid_index_whose_intent_is_not_done_is_not_built_again(shop: Project, t: Database) -> None:
    shop.migration("001_index", INDEX)

    class Gone(BaseException):
        pass

    def gone(event: object) -> None:
        if type(event).__name__ == "StepFinished":
            t.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%'")
            raise Gone

    with pytest.raises(Gone):
        migrate_up(shop, gone)
    oid = t.value("SELECT 'i'::regclass::oid")
    assert t.rows("SELECT state FROM confiture.journal") == [("intent",)]
    ran = migrate_up(shop).expect(0)
    assert "an earlier run completed it: CREATE INDEX" in ran.notes
    assert t.value("SELECT 'i'::regclass::oid") == oid
    assert history(t) == [("001", "applied")]


def test_somebody_elses_index_of_that_name_is_not_taken_for_ours(shop: Project, t: Database) -> None:
    t.execute("CREATE INDEX i ON t ((x + 1))")
    shop.migration("001_index", INDEX)

    def kill(event: object) -> None:
        if type(event).__name__ == "StepStarted":
            raise SystemExit

    with pytest.raises(SystemExit):
        migrate_up(shop, kill)
    assert migrate_up(shop).expect(4).diagnostic.code == "42P07"
    assert indexes(t) == [("i", True)], "and it is not touched"
    assert history(t) == []


def test_if_not_exists_with_a_valid_index_does_nothing(shop: Project, t: Database) -> None:
    t.execute("CREATE INDEX i ON t (x)")
    oid = t.value("SELECT 'i'::regclass::oid")
    shop.migration("001_index", INDEX.replace("i ON", "IF NOT EXISTS i ON"))
    migrate_up(shop).expect(0)
    assert t.value("SELECT 'i'::regclass::oid") == oid and history(t) == [("001", "applied")]


def test_a_build_waits_for_long_transactions_beyond_lock_timeout(shop: Project, t: Database) -> None:
    shop.write(
        "confiture.yaml",
        "migrations: migrations\nschemas: schemas\ndatabase: {lock_timeout: 50ms, retries: 0}\n",
    )
    shop.migration("001_index", INDEX)
    with held_open(t) as holder:
        process = shop.start("migrate", "up")
        wait_for_build(t)
        # ten times as long as it would wait for a lock that blocks others meanwhile
        t.execute("SELECT pg_sleep(0.5)")
        holder.rollback()
        out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert indexes(t) == [("i", True)]


def test_duplicates_leave_no_invalid_index(shop: Project, t: Database) -> None:
    t.execute("INSERT INTO t VALUES (1)")
    shop.migration("001_index", INDEX.replace("INDEX", "UNIQUE INDEX"))
    ran = migrate_up(shop).expect(4)
    assert ran.diagnostic.code == "23505" and "Key (x)=(1) is duplicated." in ran.diagnostic.detail
    assert indexes(t) == [] and history(t) == []
    t.execute("DELETE FROM t")
    migrate_up(shop).expect(0)
    assert indexes(t) == [("i", True)]


def test_a_build_in_a_later_segment_that_fails_stops_midway_and_leaves_no_index(shop: Project, t: Database) -> None:
    shop.migration(
        "001_index", "ddl:\n  - sql: INSERT INTO t VALUES (1)\n" + INDEX[5:].replace("INDEX", "UNIQUE INDEX")
    )
    migrate_up(shop).expect(5)
    assert indexes(t) == [] and t.rows("SELECT segment, state FROM confiture.journal") == [(1, "done")]


LONG = "long_" + "x" * 70


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ('"Mixed Case" ON t (x)', "Mixed Case"),
        ('"with ""quote" ON t (x)', 'with "quote'),
        ("i ON other.t (x)", "i"),
        ('i ON other."Odd. name" (x)', "i"),
        ("MiXeD ON t (x)", "mixed"),
        (f"{LONG} ON t (x)", LONG[:63]),
        ('"überindex" ON ONLY t (x)', "überindex"),
    ],
)
def test_broken_builds_are_found_under_every_name(shop: Project, t: Database, target: str, name: str) -> None:
    t.execute('CREATE SCHEMA other; CREATE TABLE other.t (x int); CREATE TABLE other."Odd. name" (x int)')
    for table in ("t", "other.t", 'other."Odd. name"'):
        t.execute(f"INSERT INTO {table} VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        t.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {target}")
    assert indexes(t) == [(name, False)]
    shop.migration("001_index", "ddl: [index.sql]\ndown: [down.sql]")
    shop.ddl("index.sql", f"CREATE INDEX CONCURRENTLY {target};")
    schema = "other." if "other." in target else ""
    shop.ddl("down.sql", f"DROP INDEX CONCURRENTLY {schema}{target.split(' ON ')[0]};")
    assert f"dropped the invalid index {name}" in migrate_up(shop).expect(0).notes
    assert indexes(t) == [(name, True)]
    migrate_down(shop).expect(0)
    assert indexes(t) == []


def test_an_index_that_another_session_builds_is_not_dropped(shop: Project, t: Database, monkeypatch) -> None:
    monkeypatch.setattr("confiture.core.run.concurrent_ddl._BUILDER_WAIT_S", 0.5)
    t.execute("DO $$ BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    t.execute(f"ALTER TABLE t OWNER TO plain; GRANT CREATE ON DATABASE {t.name} TO plain")
    t.execute("GRANT CREATE ON SCHEMA public TO plain")
    shop.migration("001_index", INDEX)
    with held_open(t) as holder:
        builder = subprocess.Popen(
            [t.server.programs / "psql", t.url, "-c", "/* theirs */ CREATE INDEX CONCURRENTLY i ON t (x)"],
            stdout=subprocess.DEVNULL,
        )
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '/* theirs */%' AND wait_event_type = 'Lock'"
        wait_until(lambda: t.value(running), "the other builds")
        # one who may not see what the others are doing
        ran = migrate_up(shop, url=f"{t.url}&user=plain").expect(4)
        assert ran.diagnostic.code == "index-being-built"
        holder.rollback()
        assert builder.wait() == 0
    assert indexes(t) == [("i", True)]
    assert history(t) == []


# --- interrupted


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_no_index(shop: Project, t: Database, sign: signal.Signals) -> None:
    shop.migration("001_index", INDEX)
    with held_open(t):
        process = shop.start("migrate", "up")
        wait_for_build(t)
        process.send_signal(sign)
        out, err = process.communicate()
    assert process.returncode == 4, out + err
    assert indexes(t) == [] and history(t) == []


def test_an_interrupted_build_that_cannot_be_cleared_up_is_not_said_to_be_gone(shop: Project, t: Database) -> None:
    shop.migration("001_index", INDEX)
    with held_open(t, "SELECT * FROM t"):
        process = shop.start("migrate", "up")
        wait_for_build(t)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 5, out + err
    assert "nothing of it remains" not in out
    assert "could not clean up" in out + err
    assert indexes(t) == [("i", False)] and history(t) == [("001", "running")]
    assert "dropped the invalid index" in migrate_up(shop).expect(0).notes
    assert indexes(t) == [("i", True)]


def test_an_interrupted_drop_is_finished_by_the_next_run(shop: Project, t: Database) -> None:
    t.execute("CREATE INDEX i ON t (x)")
    shop.migration("001_drop", "ddl:\n  - sql: DROP INDEX CONCURRENTLY i\n")
    with held_open(t, "SELECT * FROM t"):
        process = shop.start("migrate", "up")
        wait_for_build(t, beginning="DROP INDEX")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert process.returncode == 5, "it is no longer used: something remains\n" + out + err
    assert indexes(t) == [("i", False)]
    migrate_up(shop).expect(0)
    assert indexes(t) == [] and history(t) == [("001", "applied")]


def test_a_drop_that_did_not_begin_leaves_nothing(shop: Project, t: Database) -> None:
    shop.migration("001_drop", "ddl:\n  - sql: DROP INDEX CONCURRENTLY i\n")
    assert migrate_up(shop).expect(4).diagnostic.code == "42704"
    t.execute("CREATE INDEX i ON t (x)")
    migrate_up(shop).expect(0)
    assert indexes(t) == []


def test_an_interrupted_detach_is_finished_by_the_next_run(shop: Project, database: Database) -> None:
    database.execute(
        'CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE "p 1" PARTITION OF p FOR VALUES IN (1)'
    )
    shop.migration("001_detach", 'ddl:\n  - sql: ALTER TABLE p DETACH PARTITION "p 1" CONCURRENTLY -- gone\n')
    with held_open(database, "SELECT * FROM p"):
        process = shop.start("migrate", "up")
        wait_for_build(database, beginning="DETACH")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 5, out + err
    assert database.rows("SELECT inhdetachpending FROM pg_inherits") == [(True,)]
    ran = migrate_up(shop).expect(0)
    assert "completed the interrupted DETACH" in ran.notes
    assert database.rows("SELECT inhdetachpending FROM pg_inherits") == [] and history(database) == [("001", "applied")]


@pytest.mark.parametrize(
    "statement",
    ["REINDEX INDEX CONCURRENTLY i", "REINDEX (CONCURRENTLY) TABLE t", "REINDEX SCHEMA CONCURRENTLY public"],
)
def test_an_interrupted_reindex_leaves_no_copy(shop: Project, t: Database, statement: str) -> None:
    t.execute("CREATE INDEX i ON t (x)")
    shop.migration("001_reindex", f"ddl:\n  - sql: {statement}\n")
    with held_open(t):
        process = shop.start("migrate", "up")
        wait_for_build(t, beginning="REINDEX")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 4, out + err
    assert indexes(t) == [("i", True)]
    migrate_up(shop).expect(0)
    assert indexes(t) == [("i", True)]


def test_vacuum_in_the_middle(shop: Project, t: Database) -> None:
    shop.migration("001_vacuum", "ddl: [sql: INSERT INTO t VALUES (3), sql: 'VACUUM (ANALYZE) t', sql: SELECT 1 / 0]")
    migrate_up(shop).expect(5)
    assert t.value("SELECT count(*) FROM t") == 3
    assert t.rows("SELECT segment, state FROM confiture.journal ORDER BY 1") == [(1, "done"), (2, "done")]
