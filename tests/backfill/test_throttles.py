"""Throttles of backfills: they see what the server suffers from, hold the workers back for it, and let go."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from confiture.core.db.connection import fetch_named_row
from confiture.models.events import BackfillProgressed, Notice
from tests.support.engine import migrate_up, wait_until
from tests.support.projects import Project
from tests.support.read_models import DIFFERENT, SMALL_BATCHES, fill, schema, slow_down, speed_up
from tests.support.servers import PG15, Database, Roles, Server, server_folder, start_server_15, unprivileged_runner

pytestmark = pytest.mark.versions_alike

_SMALL = SMALL_BATCHES + "\nthrottle: {{{}}}"


@pytest.fixture
def made(shop_18: Project, database_18: Database) -> Project:
    schema(database_18)
    slow_down(database_18)
    return shop_18


def _says(project: Project, what: str) -> Callable[[], bool]:
    return lambda: what in " ".join(project.run("backfill", "status").out.split())


def _ends_well(running: subprocess.Popen[str], database: Database) -> None:
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert database.value(DIFFERENT) == 0


def test_a_long_transaction_of_others_stops_it_until_it_ends(made, database_18):
    fill(made, _SMALL.format("long_transaction: 2s"))
    other = psycopg.connect(database_18.url)
    other.execute("SELECT 1")
    running = made.start("migrate", "up")
    wait_until(_says(made, "a transaction has been open"), "it stops")
    other.close()
    speed_up(database_18)
    _ends_well(running, database_18)


def test_a_role_that_cannot_see_transactions_of_others_is_told_so(shop, roles):
    database = roles.database
    schema(database)
    database.execute(
        f"GRANT CREATE ON DATABASE {database.name} TO {roles.migrator};"
        f"ALTER TABLE w_customers OWNER TO {roles.migrator};"
        f"ALTER TABLE w_orders OWNER TO {roles.migrator}; ALTER TABLE r_totals OWNER TO {roles.migrator}"
    )
    fill(shop, "batch_rows: 1000\nthrottle: {long_transaction: 1ms}")
    with psycopg.connect(database.url) as other:
        other.execute("SELECT 1")
        ran = migrate_up(shop, url=roles.url(roles.migrator))
    ran.expect(0)
    assert ran.notes.count("pg_read_all_stats") == 1


def test_a_prepared_transaction_is_an_open_one(server_15):
    with psycopg.connect(server_15.admin_url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'forgotten'")
        try:
            assert fetch_named_row(connection, "pressure")["oldest_ms"] > 0
        finally:
            connection.execute("ROLLBACK PREPARED 'forgotten'")


def test_a_query_of_the_user_s_stops_it_until_it_is_true(made, database_18):
    database_18.execute("CREATE TABLE may_go (yes bool); INSERT INTO may_go VALUES (false)")
    fill(made, _SMALL.format("query: SELECT yes FROM may_go"))
    running = made.start("migrate", "up")
    wait_until(_says(made, "query requests a pause"), "it waits")
    database_18.execute("UPDATE may_go SET yes = true")
    speed_up(database_18)
    _ends_well(running, database_18)


def test_a_pause_ends_although_something_else_slows_it_down(made, database_18):
    """What it says that it waits for must be true, and a pause that is over must be over."""
    database_18.execute("CREATE TABLE may_go (yes bool); INSERT INTO may_go VALUES (false)")
    fill(made, _SMALL.format("long_transaction: 1h, query: SELECT yes FROM may_go"))
    running = made.start("migrate", "up")
    wait_until(_says(made, "query requests a pause"), "it waits")
    made.run("backfill", "pause")
    wait_until(_says(made, "paused"), "it pauses")
    database_18.execute("UPDATE may_go SET yes = true")
    other = psycopg.connect(database_18.url)
    other.execute("SELECT 1")
    made.run("backfill", "resume")
    speed_up(database_18)
    _ends_well(running, database_18)
    other.close()


def test_a_query_that_takes_too_long_says_to_wait(made, database_18, monkeypatch):
    """Where the server suffers, the query that asks for it does, too."""
    monkeypatch.setattr("confiture.core.backfill.throttle._QUERY_TIMEOUT_MS", 50)
    database_18.execute("CREATE TABLE naps (s float); INSERT INTO naps VALUES (1)")
    speed_up(database_18)
    fill(made, _SMALL.format("query: SELECT pg_sleep(s)::text = '' FROM naps"))
    reasons: list[str | None] = []

    def wake(event: object) -> None:
        if isinstance(event, BackfillProgressed):
            reasons.append(event.waiting_for)
            database_18.execute("UPDATE naps SET s = 0")

    migrate_up(made, wake).expect(0)
    assert reasons[0] == "the throttle query takes longer than 0.05 s"
    assert database_18.value(DIFFERENT) == 0


def test_a_query_that_fails_ends_it(made, database_18):
    fill(made, _SMALL.format("query: SELECT yes FROM nowhere"))
    ran = migrate_up(made)
    assert (ran.code, ran.codes) == (5, ["bad-throttle"])
    assert "nowhere" in ran.diagnostic.message


def test_a_high_rate_of_wal_holds_it_back(made, database_18):
    fill(made, _SMALL.format("wal_rate: 1kB"))
    reasons = set()

    def note(event: object) -> None:
        if isinstance(event, BackfillProgressed) and event.waiting_for:
            reasons.add(event.waiting_for)
            if len(reasons) > 1:
                raise KeyboardInterrupt

    migrate_up(made, note).expect(5)
    assert any("of WAL per second (limit 0.0)" in reason for reason in reasons), reasons


@pytest.fixture
def pair(uses_server: None) -> Iterator[tuple[Server, Server]]:
    """A primary and its streaming replica."""
    if not (PG15 / "pg_basebackup").exists():
        pytest.skip("PostgreSQL 15 is not installed")
    with server_folder() as folder, server_folder() as copy:
        servers = start_server_15(folder)
        primary = next(servers)
        run = unprivileged_runner(copy)
        data = copy / "data"
        run([PG15 / "pg_basebackup", "-h", folder, "-U", "postgres", "-D", data, "-X", "stream", "-R", "-c", "fast"])
        options = f"-c listen_addresses='' -c unix_socket_directories='{copy}' -c wal_receiver_status_interval=1"
        # a standby needs what its primary has
        options += " -c max_prepared_transactions=5"
        run([PG15 / "pg_ctl", "-D", data, "-l", copy / "log", "-w", "-o", options, "start"])
        try:
            yield primary, Server(15, f"postgresql://postgres@/postgres?host={copy}&port=5432", PG15)
        finally:
            run([PG15 / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])
            servers.close()


@pytest.fixture
def replicated(project: Project, pair: tuple[Server, Server]) -> tuple[Project, Database, Server]:
    primary, replica = pair
    primary.execute("CREATE DATABASE shop")
    database = Database(primary, "shop")
    project.environ["DATABASE_URL"] = database.url
    schema(database)
    return project, database, replica


def test_a_replica_that_lags_stops_it_until_it_has_caught_up(replicated):
    shop, database, replica = replicated
    slow_down(database)
    replica.execute("SELECT pg_wal_replay_pause()")
    fill(shop, _SMALL.format("replica_lag: 2s"))
    running = shop.start("migrate", "up")
    wait_until(_says(shop, "a replica lags"), "it stops")
    replica.execute("SELECT pg_wal_replay_resume()")
    speed_up(database)
    _ends_well(running, database)
    copied = Database(replica, "shop")
    wait_until(lambda: copied.value("SELECT count(*) FROM r_totals") == 3_000, "the replica has it all")


def test_an_idle_replica_holds_nothing_up(replicated):
    """Its lag is unknown, or what its last piece of WAL took long ago."""
    shop, database, replica = replicated
    replica.execute("SELECT pg_wal_replay_pause()")
    database.execute("CREATE TABLE w_late (n int)")
    wait_until(
        lambda: database.value("SELECT coalesce(max(replay_lag) > interval '2 s', false) FROM pg_stat_replication"),
        "it lags",
    )
    replica.execute("SELECT pg_wal_replay_resume()")
    wait_until(
        lambda: database.value("SELECT bool_and(replay_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication"),
        "it has caught up",
    )
    fill(shop, "batch_rows: 500\nthrottle: {replica_lag: 1s}")
    ran = migrate_up(shop).expect(0)
    held = [event.waiting_for for event in ran.events if isinstance(event, BackfillProgressed) and event.waiting_for]
    assert held == []


def test_a_role_that_cannot_see_replicas_is_told_so(replicated):
    shop, database, _ = replicated
    database.execute(
        "CREATE ROLE migrator LOGIN; GRANT CREATE ON DATABASE shop TO migrator;"
        "ALTER TABLE w_customers OWNER TO migrator;"
        "ALTER TABLE w_orders OWNER TO migrator; ALTER TABLE r_totals OWNER TO migrator"
    )
    fill(shop)
    roles = Roles(database, "migrator", "migrator")
    ran = migrate_up(shop, url=roles.url("migrator")).expect(0)
    assert sum("pg_monitor" in event.text for event in ran.events if isinstance(event, Notice)) == 1
