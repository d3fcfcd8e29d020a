"""Runs that are disturbed at a given event, and what must be true after them."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.engine import Ran, history, migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

OURS = "application_name LIKE 'confiture%'"


LOSE = f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {OURS} AND datname = current_database()"


class Gone(BaseException):
    """What no listener's error handling holds back."""


def write(shop: Project) -> None:
    """Three migrations; the log tells how often each of their parts took effect."""
    shop.migration(
        "001_begin",
        "ddl: [sql: CREATE TABLE log (x text), sql: CREATE TABLE t (x int), sql: INSERT INTO log VALUES ('a')]",
    )
    shop.migration("002_segments", "ddl: [mixed.sql]\nafter_ddl: [sql: INSERT INTO log VALUES ('d')]")
    shop.ddl(
        "mixed.sql",
        """
        INSERT INTO log VALUES ('b');
        CREATE INDEX CONCURRENTLY i ON t (x);
        INSERT INTO log VALUES ('c');
        VACUUM log;
        """,
    )
    shop.migration("003_end", "ddl: [sql: DROP INDEX CONCURRENTLY i, sql: INSERT INTO log VALUES ('e')]")


def effects(database: Database) -> str:
    if database.value("SELECT to_regclass('log')") is None:
        return ""
    return str(database.value("SELECT coalesce(string_agg(x, '' ORDER BY x), '') FROM log"))


def assert_ended(database: Database) -> None:
    assert effects(database) == "abcde"
    assert history(database) == [("001", "applied"), ("002", "applied"), ("003", "applied")]
    assert database.rows("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'") == []
    assert database.rows("SELECT 1 FROM confiture.journal WHERE state <> 'done'") == []
    assert_events_agree(database)


def assert_events_agree(database: Database) -> None:
    """The last event that ended each attempt is what the history says, once for each attempt."""
    if database.value("SELECT to_regclass('confiture.history_events')") is None:
        return
    applied = database.rows("SELECT version, attempt FROM confiture.migrations WHERE state = 'applied'")
    ends = database.rows(
        "SELECT DISTINCT ON (version) version, attempt, event FROM confiture.history_events"
        " WHERE event IN ('applied', 'undone', 'baselined') ORDER BY version, number DESC"
    )
    reverting = {version for version, state in history(database) if state == "reverting"}
    ended = ((version, attempt) for version, attempt, event in ends if event != "undone" and version not in reverting)
    assert sorted(applied) == sorted(ended)
    twice = (
        "SELECT attempt, event FROM confiture.history_events WHERE event IN ('applied', 'undone')"
        " GROUP BY 1, 2 HAVING count(*) > 1"
    )
    assert database.rows(twice) == []


def assert_told_truly(ran: Ran, database: Database) -> None:
    """Holds the exit code and the messages against what is in the database."""
    unfinished = [version for version, state in history(database) if state != "applied"]
    assert_events_agree(database)
    if ran.code in (1, 4):
        assert not unfinished, "it said that nothing remains"
        assert effects(database) in ("", "a", "abcd", "abcde")
    elif ran.code == 5:
        assert unfinished or "committed" in ran.codes, "it said that something remains"
    elif ran.code == 0:
        assert_ended(database)


def reset(database: Database) -> None:
    database.execute("DROP SCHEMA IF EXISTS confiture CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def number_of_events(shop: Project, database: Database) -> int:
    count = len(migrate_up(shop).expect(0).events)
    assert_ended(database)
    reset(database)
    return count


def at(number: int, action: Callable[[], object]) -> Callable[[object], None]:
    """A listener that acts at the event of that number."""
    left = number

    def listen(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            action()

    return listen
