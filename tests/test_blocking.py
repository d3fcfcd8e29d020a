"""The blocking budget: how long we may make others wait, in real runs and dry runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from confiture.models.events import Blocked, Event, StepStarted
from tests.engine import dry_run, migrate_up
from tests.fix_projects import Project
from tests.fix_servers import Database

SETTINGS = """
database:
  lock_timeout: {lock_timeout}
  max_blocking: {max_blocking}
  retries: {retries}
migrations: migrations
schemas: schemas
"""


@pytest.fixture
def busy(shop: Project, database: Database) -> Project:
    """A project whose migration locks a table and then works on for as long as `seconds` says."""
    database.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    shop.migration(
        "001_lock",
        """
        vars: {seconds: 20}
        ddl:
          - name: lock the table
            sql: ALTER TABLE t ADD COLUMN x int
          - name: work on
            sql: SELECT pg_sleep({{ seconds }})
        """,
    )
    return shop


def settings(project: Project, *, max_blocking: str, retries: int = 1, lock_timeout: str = "2s") -> None:
    project.write(
        "confiture.yaml", SETTINGS.format(max_blocking=max_blocking, retries=retries, lock_timeout=lock_timeout)
    )


@contextmanager
def reader_once(database: Database, name: str) -> Iterator[tuple[object, list]]:
    """A listener; when the step of that name starts, a reader begins to read the table, and waits for it."""
    answers: list = []
    threads: list[threading.Thread] = []

    def read() -> None:
        with psycopg.connect(database.url, autocommit=True, application_name="the shop") as connection:
            answers.append(connection.execute("SELECT count(*) FROM t").fetchone())

    def listener(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step.name == name:
            threads.append(threading.Thread(target=read))
            threads[-1].start()

    yield listener, answers
    for thread in threads:
        thread.join(timeout=60)


def test_over_budget_the_statement_is_cancelled_and_all_rolled_back(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="300ms", retries=1)
    with reader_once(database, "work on") as (listener, answers):
        ran = migrate_up(busy, listener).expect(4)
    assert answers == [(1,), (1,)], "the reader got its answer at both tries"
    assert ran.retries == 1
    assert ran.codes == ["over-budget"]
    assert ran.diagnostic.span and ran.diagnostic.span.path == "migrations/001_lock.yaml"
    assert "the shop" in ran.diagnostic.detail[0] and "AccessShareLock" in ran.diagnostic.detail[0]
    assert "SELECT count(*) FROM t" in ran.diagnostic.detail[1]
    assert database.rows("SELECT column_name FROM information_schema.columns WHERE table_name = 't'") == [("id",)]
    assert database.value("SELECT to_regclass('confiture.migrations')") is None


def test_within_budget_the_run_goes_on_and_says_who_waited(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="30s")
    busy.migration("001_lock", (busy.root / "migrations/001_lock.yaml").read_text().replace("20", "1.5"))
    with reader_once(database, "work on") as (listener, answers):
        ran = migrate_up(busy, listener).expect(0)
    (blocked,) = [event for event in ran.events if isinstance(event, Blocked)]
    (waiter,) = blocked.waiters
    assert (waiter.application_name, waiter.target, blocked.over_budget) == ("the shop", "t", False)
    assert waiter.waited_ms > 0
    assert answers == [(1,)]


def test_a_dry_run_keeps_to_the_budget_too(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="300ms", retries=0)
    with reader_once(database, "work on") as (listener, answers):
        ran = dry_run(busy, listener).expect(4)
    assert ran.codes == ["over-budget"]
    assert answers == [(1,)]
    assert database.value("SELECT to_regclass('confiture.migrations')") is None


def test_who_waits_behind_our_own_waiting_counts(busy: Project, database: Database) -> None:
    """The lock queue: our ALTER waits for a long reader, and every later reader waits behind our ALTER."""
    settings(busy, max_blocking="300ms", retries=0, lock_timeout="1min")
    with database.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT * FROM t")
        with reader_later(database) as answers:
            ran = migrate_up(busy).expect(4)
        holder.execute("ROLLBACK")
    assert ran.codes == ["over-budget"]
    assert answers == [(1,)], "the reader went on when we gave up, though the holder had not"


@contextmanager
def reader_later(database: Database) -> Iterator[list]:
    """Reads the table once somebody waits for a lock on it."""
    answers: list = []

    def read() -> None:
        with psycopg.connect(database.url, autocommit=True) as connection:
            while not connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]:
                time.sleep(0.05)
            answers.append(connection.execute("SELECT count(*) FROM t").fetchone())

    thread = threading.Thread(target=read)
    thread.start()
    yield answers
    thread.join(timeout=60)


def test_a_commit_is_not_cancelled_and_no_budget_means_no_limit(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="0", retries=0)
    busy.migration("001_lock", (busy.root / "migrations/001_lock.yaml").read_text().replace("20", "1"))
    with reader_once(database, "work on") as (listener, answers):
        migrate_up(busy, listener).expect(0)
    assert answers == [(1,)]
