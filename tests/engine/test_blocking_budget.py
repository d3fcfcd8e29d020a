"""The blocking budget: how long we may make others wait, in real runs and dry runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from confiture.models.events import Event, OthersBlocked, SegmentRetried, StepStarted, Waiter
from tests.support.engine import Listener, dry_run, history, migrate_up, wait_until
from tests.support.projects import Project
from tests.support.servers import Database, Roles

pytestmark = pytest.mark.versions_alike

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
def reader_once(
    database: Database, name: str, *, url: str | None = None, statement: str = "SELECT count(*) FROM t"
) -> Iterator[tuple[Listener, list]]:
    """A listener; when the step of that name starts, a reader begins to read the table, and waits for it."""
    answers: list = []
    threads: list[threading.Thread] = []

    def read() -> None:
        with psycopg.connect(url or database.url, autocommit=True, application_name="the shop") as connection:
            answers.append(connection.execute(statement.encode()).fetchone())

    def listener(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step.name == name:
            threads.append(threading.Thread(target=read))
            threads[-1].start()

    yield listener, answers
    for thread in threads:
        thread.join(timeout=120)


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
    assert history(database) == []


def test_within_budget_the_run_goes_on_and_says_who_waited(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="30s")
    busy.migration(
        "001_lock",
        """
        ddl:
          - name: lock the table
            sql: ALTER TABLE t ADD COLUMN x int
          - name: work on
            sql: |
              DO $$ BEGIN
                WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted) LOOP PERFORM pg_sleep(0.05); END LOOP;
                PERFORM pg_sleep(1);
              END $$
        """,
    )
    with reader_once(database, "work on") as (listener, answers):
        ran = migrate_up(busy, listener).expect(0)
    (blocked,) = [event for event in ran.events if isinstance(event, OthersBlocked)]
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
            while not connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchall()[0][0]:
                time.sleep(0.05)
            answers.append(connection.execute("SELECT count(*) FROM t").fetchone())

    thread = threading.Thread(target=read)
    thread.start()
    yield answers
    thread.join(timeout=120)


def test_a_commit_is_not_cancelled_and_no_budget_means_no_limit(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="0", retries=0)
    busy.migration("001_lock", (busy.root / "migrations/001_lock.yaml").read_text().replace("20", "1"))
    with reader_once(database, "work on") as (listener, answers):
        migrate_up(busy, listener).expect(0)
    assert answers == [(1,)]


def test_the_budget_holds_for_roles_that_may_not_see_each_other(
    busy: Project, database: Database, roles: Roles
) -> None:
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {roles.migrator}")
    database.execute(f"ALTER TABLE t OWNER TO {roles.migrator}; GRANT SELECT ON t TO {roles.reader}")
    settings(busy, max_blocking="300ms", retries=0)
    with reader_once(database, "work on", url=roles.url(roles.reader)) as (listener, answers):
        ran = migrate_up(busy, listener, url=roles.url(roles.migrator)).expect(4)
    assert ran.codes == ["over-budget"]
    assert answers == [(1,)]
    assert f"the shop ({roles.reader}, " in ran.diagnostic.detail[0]
    assert "pg_read_all_stats" in ran.diagnostic.detail[1]


CANCELS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'confiture watch%' AND query ~ '^SELECT pg_c'"
)


def test_a_cancel_that_comes_between_two_statements_is_sent_again(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="100ms", retries=0)

    def idle_until_cancelled(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step.name == "work on":
            cancelled = CANCELS + f" AND datname = '{database.name}'"
            wait_until(lambda: database.value(cancelled) == 1, "a cancel is sent")

    with reader_once(database, "work on") as (listener, answers):
        ran = migrate_up(busy, listener, idle_until_cancelled).expect(4)
    assert ran.codes == ["over-budget"]
    assert ran.steps[-1] == ("ddl", "work on", "failed"), "cancelled, not waited for"
    assert answers == [(1,)]


def test_the_budget_is_looked_at_after_each_statement(busy: Project, database: Database) -> None:
    """A statement that survives its cancel is the last one."""
    settings(busy, max_blocking="100ms", retries=0)
    database.execute("CREATE SEQUENCE reached")
    busy.migration(
        "001_lock",
        """
        ddl:
          - name: lock the table
            sql: ALTER TABLE t ADD COLUMN x int
          - name: work on
            sql: |
              DO $$ BEGIN PERFORM pg_sleep(20); EXCEPTION WHEN query_canceled THEN NULL; END $$;
              SELECT nextval('reached');
        """,
    )
    with reader_once(database, "work on") as (listener, answers):
        ran = migrate_up(busy, listener).expect(4)
    assert ran.codes == ["over-budget"]
    assert database.value("SELECT is_called FROM reached") is False, "sequences are not rolled back"
    assert ran.diagnostic.span and ran.diagnostic.span.line == 6, "that of the statement"
    assert answers == [(1,)]


def test_on_error_runs_after_a_spent_budget(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="100ms", retries=0)
    database.execute("CREATE TABLE told (id int)")
    file = busy.root / "migrations/001_lock.yaml"
    busy.migration("001_lock", file.read_text() + "on_error: [sql: INSERT INTO told VALUES (1), sql: SELECT 1]")
    with reader_once(database, "work on") as (listener, _):
        migrate_up(busy, listener).expect(4)
    assert database.value("SELECT count(*) FROM told") == 1


def test_a_dry_run_does_not_go_back_to_block_again(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="100ms", retries=2)
    with reader_once(database, "work on") as (listener, answers):
        ran = dry_run(busy, listener).expect(4)
    assert ran.codes == ["over-budget"]
    assert [event for event in ran.events if isinstance(event, SegmentRetried)] == []
    assert answers == [(1,)], "one reader waited, once"


def test_a_dry_run_tries_again_for_a_lock(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="30s", retries=1, lock_timeout="100ms")
    with database.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT * FROM t")
        assert dry_run(busy).expect(4).retries == 1


END_WATCH = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'confiture watch%' AND "


def test_a_watch_that_lost_its_connection_gets_another(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="300ms", retries=0)

    def cut(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step.name == "work on":
            database.execute(END_WATCH + f"datname = '{database.name}'")

    with reader_once(database, "work on") as (listener, answers):
        ran = migrate_up(busy, cut, listener).expect(4)
    assert ran.codes == ["over-budget"]
    assert answers == [(1,)]
    assert "no longer monitored" not in ran.notes


def test_a_watch_that_cannot_connect_again_is_told(busy: Project, database: Database) -> None:
    settings(busy, max_blocking="300ms", retries=0)
    busy.migration("001_lock", (busy.root / "migrations/001_lock.yaml").read_text().replace("20", "0"))

    def cut(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step.name == "work on":
            database.server.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
            database.server.execute(END_WATCH + f"datname = '{database.name}'")
            wait_until(
                lambda: all(thread.name != "blocking monitor" for thread in threading.enumerate()), "the watch gives up"
            )

    ran = migrate_up(busy, cut).expect(0)
    database.server.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true")
    assert ran.notes.count("blocking is no longer monitored: ") == 1
    assert "not currently accepting connections" in ran.notes


def waiter_of(busy: Project, database: Database, statement: str) -> Waiter:
    """Who waits for a migration that has written `t`, with that statement."""
    settings(busy, max_blocking="100ms", retries=0)
    file = busy.root / "migrations/001_lock.yaml"
    file.write_text(file.read_text().replace("ALTER TABLE t ADD COLUMN x int", "UPDATE t SET id = 2"))
    with reader_once(database, "work on", statement=statement) as (listener, _):
        ran = migrate_up(busy, listener).expect(4)
    return next(event.waiters[0] for event in ran.events if isinstance(event, OthersBlocked))


def test_who_waits_for_a_row_is_said_to_wait_for_a_row_of_its_table(busy: Project, database: Database) -> None:
    assert waiter_of(busy, database, "UPDATE t SET id = 3 RETURNING 1").target == "a row of t"


def test_who_waits_for_a_key_is_said_to_wait_for_a_row_of_its_table(busy: Project, database: Database) -> None:
    """There is no lock on a tuple that does not exist yet; the waiter's own lock on the table tells."""
    database.execute("CREATE UNIQUE INDEX ON t (id)")
    assert waiter_of(busy, database, "INSERT INTO t VALUES (2) RETURNING 1").target == "a row of t"
