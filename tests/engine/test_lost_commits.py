"""A connection lost at a COMMIT: what is told of it is true, committed or not."""

from __future__ import annotations

import signal

import pytest

from tests.support.engine import history, migrate_up, nothing_remains, wait_until
from tests.support.faults import OURS, assert_ended, assert_told_truly, reset, write
from tests.support.matrix import sample
from tests.support.projects import Project
from tests.support.proxy import Cut, proxy
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike


def slow_commit(shop: Project, seconds: float) -> None:
    """A migration whose COMMIT takes its time."""
    shop.migration("001_slow", "ddl: [slow.sql]")
    shop.ddl(
        "slow.sql",
        f"""
        CREATE TABLE log (x text);
        CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON log DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slowly();
        INSERT INTO log VALUES ('once');
        """,
    )


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER], ids=["before", "after"])
def test_a_connection_lost_at_every_commit(shop: Project, database: Database, cut: Cut) -> None:
    write(shop)
    codes = {}
    numbers = sample(range(1, 30))
    for number in numbers:
        with proxy(database, cut, number) as between:
            ran = migrate_up(shop, url=between.url)
        assert_told_truly(ran, database)
        if ran.code == 0:
            break
        codes[number] = ran.code
        migrate_up(shop).expect(0)
        assert_ended(database)
        reset(database)
    # each migration's transactions: the whole of one; intents and records of statements outside
    assert list(codes) == [number for number in numbers if number <= 11]
    assert codes[1] == (4 if cut is Cut.BEFORE else 5)


def test_a_connection_lost_before_the_commit_leaves_nothing(shop: Project, database: Database) -> None:
    slow_commit(shop, 0)
    with proxy(database, Cut.BEFORE, 1) as between:
        ran = migrate_up(shop, url=between.url).expect(4)
    assert ran.outcome == "rolled back"
    assert nothing_remains(database)


@pytest.mark.parametrize("cut", [Cut.AFTER, Cut.MEANWHILE], ids=["after", "meanwhile"])
def test_a_connection_lost_at_a_commit_that_succeeds_is_told_so(shop: Project, database: Database, cut: Cut) -> None:
    slow_commit(shop, 1)
    with proxy(database, cut, 1) as between:
        ran = migrate_up(shop, url=between.url).expect(5)
    assert "committed" in ran.codes and "all of" in ran.diagnostics[1].message
    assert history(database) == [("001", "applied")]
    migrate_up(shop).expect(0)
    assert database.rows("SELECT x FROM log") == [("once",)]


def test_an_outcome_that_cannot_be_known_is_told_so(shop: Project, database: Database, monkeypatch) -> None:
    monkeypatch.setattr("confiture.core.run.failure_report._BACKEND_WAIT_S", 0.2)
    slow_commit(shop, 3)
    with proxy(database, Cut.MEANWHILE, 1) as between:
        ran = migrate_up(shop, url=between.url).expect(5)
        assert "outcome-unknown" in ran.codes
        wait_until(lambda: history(database), "the server commits after all")
    assert history(database) == [("001", "applied")]


def test_a_database_that_stays_away_leaves_the_outcome_unknown(shop: Project, database: Database) -> None:
    slow_commit(shop, 0)
    with proxy(database, Cut.AFTER, 1) as between:
        between.on_commit = between.refuse
        ran = migrate_up(shop, url=between.url).expect(5)
    assert "outcome-unknown" in ran.codes


def test_a_server_that_goes_away_before_the_commit_leaves_nothing(shop: Project, database: Database) -> None:
    shop.migration("001_a", "ddl: [sql: CREATE TABLE a (), sql: CREATE TABLE b ()]\non_error: [sql: SELECT 1]")
    with proxy(database, Cut.BEFORE, 99) as between:

        def leave(event: object) -> None:
            if type(event).__name__ == "StepFinished":
                between.close()

        ran = migrate_up(shop, leave, url=between.url).expect(4)
    assert ran.codes == ["connection-lost"], "there is no doubt that it is rolled back"
    assert "on_error did not run because the connection was lost" in ran.notes
    assert nothing_remains(database)


def test_an_interrupt_that_comes_too_late_for_a_commit_is_told_so(shop: Project, database: Database) -> None:
    slow_commit(shop, 0)
    with proxy(database, Cut.NEVER, 1) as between:
        shop.environ["DATABASE_URL"] = between.url
        process = shop.start("migrate", "up")
        between.on_commit = lambda: process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 5, out + err
    assert "interrupted" in err and "all of" in err
    assert "nothing of it remains" not in out
    assert history(database) == [("001", "applied")]


def test_an_interrupt_in_time_for_a_commit_rolls_it_back(shop: Project, database: Database) -> None:
    slow_commit(shop, 600)
    process = shop.start("migrate", "up")
    committing = f"SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND query = 'COMMIT' AND state = 'active'"
    wait_until(lambda: database.value(committing), "the commit is slow")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 4, out + err
    assert nothing_remains(database)


def test_on_error_does_not_run_for_what_is_committed(shop: Project, database: Database) -> None:
    slow_commit(shop, 0)
    path = shop.root / "migrations/001_slow.yaml"
    path.write_text(path.read_text() + "\non_error: [sql: CREATE TABLE handled ()]\n")
    with proxy(database, Cut.NEVER, 1) as between:
        shop.environ["DATABASE_URL"] = between.url
        process = shop.start("migrate", "up")
        between.on_commit = lambda: process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 5, out + err
    assert database.value("SELECT to_regclass('handled')") is None
