"""Deadlocks of other sessions during a run are counted and reported."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from confiture.models.events import Event, StepFinished
from tests.support.engine import migrate_up
from tests.support.projects import Project
from tests.support.servers import Database


def _deadlock(database: Database) -> None:
    """Let two other sessions update two rows in opposite order; PostgreSQL fails one of them."""

    def update(first: int, second: int, barrier: threading.Barrier) -> None:
        with psycopg.connect(database.url) as connection:
            connection.execute("SET deadlock_timeout = '10ms'")
            connection.execute("UPDATE t SET y = y + 1 WHERE x = %s", [first])
            barrier.wait()
            try:
                connection.execute("UPDATE t SET y = y + 1 WHERE x = %s", [second])
            except psycopg.errors.DeadlockDetected:
                connection.rollback()

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=update, args=(*order, barrier)) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 60
    while not database.value(
        "SELECT pg_stat_get_db_deadlocks(oid) FROM pg_database WHERE datname = current_database()"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("deadlocks", [True, False])
def test_deadlocks_of_others_are_reported(shop_18: Project, database_18: Database, deadlocks: bool) -> None:
    database_18.execute("CREATE TABLE t (x int PRIMARY KEY, y int); INSERT INTO t VALUES (1, 0), (2, 0)")
    shop_18.migration("001_a", "ddl:\n  - name: one\n    sql: CREATE TABLE a (id int PRIMARY KEY)\n")

    def meanwhile(event: Event) -> None:
        if deadlocks and isinstance(event, StepFinished):
            _deadlock(database_18)

    notes = migrate_up(shop_18, meanwhile).expect(0).notes
    assert ("PostgreSQL resolved at least 1 deadlock in this database during the run" in notes) is deadlocks
