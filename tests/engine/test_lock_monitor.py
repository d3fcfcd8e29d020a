"""Who holds locks, as `confiture locks` and a dry run tell it, also to roles that see little of others."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import dict_row
from rich.console import Console

from confiture.core.db.connection import Connection
from confiture.core.db.lock_monitor import find_lock_holders, read_running_sessions
from confiture.output.terminal.locks import locks_table
from tests.support.engine import wait_until
from tests.support.projects import Project
from tests.support.servers import Database, Roles

pytestmark = pytest.mark.versions_alike

MIGRATION = "confiture migrate up (host, pid 1)"


@pytest.fixture
def tables(database: Database) -> Database:
    database.execute("CREATE TABLE a (id int); CREATE TABLE b (id int); GRANT SELECT ON a, b TO PUBLIC")
    return database


@contextmanager
def session(url: str, *statements: str, name: str = MIGRATION) -> Iterator[Connection]:
    """A session that has run these statements."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row, application_name=name) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield connection


def test_an_ordinary_role_sees_the_locks_of_a_run_of_another_role(tables: Database, roles: Roles) -> None:
    migrator, reader = roles.url(roles.migrator), roles.url(roles.reader)
    with (
        session(migrator, "BEGIN", "SELECT * FROM a"),
        session(migrator, "SELECT pg_advisory_lock(7)", name="confiture lock (host, pid 1)"),
        session(reader, name="psql") as connection,
    ):
        (seen,) = read_running_sessions(connection)
        console = Console(width=200)
        with console.capture() as shown:
            console.print(locks_table([seen], "the database"))
    assert seen.application_name == MIGRATION
    assert [(lock.relation, lock.mode.value) for lock in seen.locks] == [("a", "AccessShareLock")]
    assert (seen.state, seen.transaction_ms) == ("unknown", None)
    assert seen.query and "pg_read_all_stats" in seen.query
    assert "None" not in shown.get()
    assert f"process {seen.pid}, in a transaction\n" in shown.get()


def test_an_ordinary_role_is_told_who_holds_locks(tables: Database, roles: Roles) -> None:
    with (
        session(tables.url, "BEGIN", "SELECT * FROM a", name="the report"),
        session(roles.url(roles.reader), name="psql") as connection,
    ):
        (told,) = (holder.description for holder in find_lock_holders(connection, ["a", "b"]))
    assert told.startswith("the report (postgres, process ")
    assert "holds ACCESS SHARE on a, " in told
    assert "pg_read_all_stats" in told
    assert "None" not in told


def test_each_relation_is_told_with_its_own_modes(tables: Database) -> None:
    work = ("BEGIN", "SELECT * FROM a", "UPDATE b SET id = 1", "LOCK b IN SHARE MODE")
    with (
        session(tables.url, *work, name="the report"),
        session(tables.url, "BEGIN", "SELECT * FROM a", name="the young") as young,
        session(tables.url, name="psql") as connection,
    ):
        aged = "SELECT now() + interval '1.2 seconds' < clock_timestamp() AS aged"
        wait_until(lambda: young.execute(aged).fetchone() == {"aged": True}, "a second passes")
        young.execute("COMMIT")
        young.execute("BEGIN")
        young.execute("SELECT * FROM a")
        (told,) = (holder.description for holder in find_lock_holders(connection, ["a", "b"]))
    assert "holds ACCESS SHARE on a and SHARE, ROW EXCLUSIVE on b, and has been in its transaction for" in told


def test_locks_in_other_databases_are_not_told(tables: Database) -> None:
    """A copy of a database has the same OIDs."""
    copy = f"{tables.name}_copy"
    tables.server.execute(f"CREATE DATABASE {copy} TEMPLATE {tables.name}")
    try:
        with session(tables.server.url(copy), "BEGIN", "SELECT * FROM a") as other, session(tables.url) as connection:
            aged = "SELECT now() + interval '1.2 seconds' < clock_timestamp() AS aged"
            wait_until(lambda: other.execute(aged).fetchone() == {"aged": True}, "a second passes")
            assert find_lock_holders(connection, ["a"]) == ()
    finally:
        tables.server.execute(f"DROP DATABASE {copy} WITH (FORCE)")


@pytest.fixture
def prepared(tables: Database) -> Iterator[Database]:
    """Tables of which a transaction that is prepared holds one."""
    if tables.value("SHOW max_prepared_transactions") == "0":
        pytest.skip("this server prepares no transactions")
    tables.execute("BEGIN; SELECT * FROM a; UPDATE b SET id = 1; PREPARE TRANSACTION 'the left one'")
    yield tables
    tables.execute("ROLLBACK PREPARED 'the left one'")


def test_prepared_transactions_are_told(prepared: Database) -> None:
    aged = "SELECT prepared + interval '1.2 seconds' < clock_timestamp() FROM pg_prepared_xacts"
    wait_until(lambda: prepared.value(aged), "a second passes")
    with session(prepared.url, name="psql") as connection:
        (told,) = (holder.description for holder in find_lock_holders(connection, ["a", "b"]))
    assert told.startswith("the prepared transaction 'the left one' (postgres) holds ACCESS SHARE on a and ROW EXCL")
    assert "ROLLBACK PREPARED" in told


def test_who_waits_for_a_prepared_transaction_is_told_so(prepared: Database) -> None:
    with (
        session(prepared.url, "BEGIN") as waiting,
        session(prepared.url, name="psql") as connection,
        ThreadPoolExecutor() as pool,
    ):
        pid = waiting.info.backend_pid
        waits = pool.submit(lambda: waiting.execute("SET LOCAL lock_timeout = '20s'; LOCK a"))
        asks = f"SELECT count(*) = 1 FROM pg_locks WHERE pid = {pid} AND NOT granted"
        wait_until(lambda: prepared.value(asks), "it waits")
        (seen,) = read_running_sessions(connection)
        connection.execute("SELECT pg_cancel_backend(%s)", (pid,))
        with pytest.raises(psycopg.errors.QueryCanceled):
            waits.result()
    (blocker,) = seen.blockers
    assert (blocker.pid, blocker.application_name) == (None, "prepared transaction 'the left one'")
    console = Console(width=200)
    with console.capture() as shown:
        console.print(locks_table([seen], "the database"))
    assert "waits for prepared transaction 'the left one' (postgres, prepared): it ends by COMMIT" in shown.get()


def test_what_a_transaction_has_made_is_not_locked_for_anybody(tables: Database) -> None:
    with (
        session(tables.url, "BEGIN", "CREATE TABLE made (id int PRIMARY KEY)", "SELECT * FROM a"),
        session(tables.url, name="psql") as connection,
    ):
        (seen,) = read_running_sessions(connection)
    assert [lock.relation for lock in seen.locks] == ["a"]


def test_parallel_workers_go_with_their_leader(tables: Database) -> None:
    """The table has one page, which the leader must not take. Workers are given at a query's start alone, if any are
    free: it is begun anew until it has some.
    """
    tables.execute(
        "CREATE TABLE c AS SELECT generate_series(1, 20) AS id; ALTER TABLE c SET (parallel_workers = 2);"
        "CREATE FUNCTION slowly(id int, leader int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE COST 100000 AS"
        " 'BEGIN IF pg_backend_pid() <> leader THEN PERFORM pg_sleep(600); END IF; RETURN id; END'"
    )
    settings = (
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;"
        "SET parallel_leader_participation = off"
    )
    with (
        session(tables.url, settings) as working,
        session(tables.url, name="psql") as connection,
        ThreadPoolExecutor() as pool,
    ):
        pid = working.info.backend_pid
        query = f"SELECT sum(slowly(id, {pid})) < 0 AS ended FROM c"
        works = pool.submit(
            lambda: wait_until(lambda: working.execute(query).fetchall()[0]["ended"], "workers are free")
        )
        begun = f"SELECT count(*) > 0 FROM pg_stat_activity WHERE leader_pid = {pid}"
        wait_until(lambda: tables.value(begun), "workers run")
        seen = read_running_sessions(connection)
        connection.execute("SELECT pg_cancel_backend(%s)", (pid,))
        with pytest.raises(psycopg.errors.QueryCanceled):
            works.result()
    assert [one.pid for one in seen] == [pid]
    assert [lock.relation for lock in seen[0].locks] == ["c"]


@pytest.mark.parametrize(("end", "code", "said"), [("Ctrl-C", 0, ""), ("a lost connection", 3, "locks cannot be read")])
def test_watching_ends(shop_18: Project, database_18: Database, end: str, code: int, said: str) -> None:
    watching = (
        "FROM pg_stat_activity WHERE application_name LIKE 'confiture locks%' AND datname = current_database()"
        " AND state = 'idle' AND query LIKE '%virtualxid%'"
    )
    running = shop_18.start("locks", "--watch")
    wait_until(lambda: database_18.value(f"SELECT count(*) {watching}"), "it watches")
    if end == "Ctrl-C":
        running.send_signal(signal.SIGINT)
    else:
        database_18.rows(f"SELECT pg_terminate_backend(pid) {watching}")
    _, err = running.communicate(timeout=120)
    assert (running.returncode, said in err, "Traceback" in err) == (code, True, False), err
