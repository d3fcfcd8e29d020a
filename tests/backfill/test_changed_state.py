"""Triggers and progress of a backfill that other sessions change meanwhile: it never ends with a wrong table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from confiture.models.events import BackfillProgressed
from tests.support.engine import Ran, migrate_up
from tests.support.projects import Project
from tests.support.read_models import CUSTOMERS, DIFFERENT, SMALL_BATCHES, WORKERS, fill, schema, slow_down, speed_up
from tests.support.servers import Database

_WRITES = "UPDATE w_orders SET amount = amount + 1"
_TRIGGER = "confiture_backfill_1"
_TRIGGER_CHANGES = {
    "disabled and enabled": f"ALTER TABLE w_orders DISABLE TRIGGER ALL; {_WRITES};"
    " ALTER TABLE w_orders ENABLE TRIGGER ALL",
    "one of them": f"ALTER TABLE w_orders DISABLE TRIGGER {_TRIGGER}; {_WRITES};"
    f" ALTER TABLE w_orders ENABLE ALWAYS TRIGGER {_TRIGGER}",
    "left disabled": f"ALTER TABLE w_orders DISABLE TRIGGER USER; {_WRITES}",
    "not for replicas": f"ALTER TABLE w_orders ENABLE TRIGGER {_TRIGGER}",
    "dropped": f"DROP TRIGGER {_TRIGGER} ON w_orders; {_WRITES}",
    "its function replaced": "CREATE OR REPLACE FUNCTION confiture.backfill_1_note_1() RETURNS trigger"
    f" LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; {_WRITES}",
}


@pytest.fixture
def slow(shop_18: Project, database_18: Database) -> Project:
    schema(database_18)
    slow_down(database_18)
    return shop_18


def _act_once(action: Callable[[], object]) -> Callable[[object], None]:
    done: list[bool] = []

    def listen(event: object) -> None:
        if isinstance(event, BackfillProgressed) and event.batches and not done:
            done.append(True)
            action()

    return listen


def _run(project: Project, database: Database, statements: str) -> Ran:
    def act() -> None:
        database.execute(statements)
        speed_up(database)

    return migrate_up(project, _act_once(act))


@pytest.mark.parametrize("case", _TRIGGER_CHANGES)
def test_triggers_that_were_changed_meanwhile(slow: Project, database_18: Database, case: str) -> None:
    fill(slow, f"{SMALL_BATCHES}\nworkers: 2")
    ran = _run(slow, database_18, f"BEGIN; {_TRIGGER_CHANGES[case]}; COMMIT").expect(5)
    assert ran.codes == ["capture-lost"]
    again = migrate_up(slow).expect(5)
    assert again.codes == ["capture-lost"], "the next run does not forget it"
    slow.run("backfill", "cancel")
    database_18.execute("TRUNCATE r_totals")
    migrate_up(slow).expect(0)
    assert database_18.value(DIFFERENT) == 0


def test_triggers_that_were_changed_between_runs(slow: Project, database_18: Database) -> None:
    fill(slow, SMALL_BATCHES)

    def stop() -> None:
        raise KeyboardInterrupt

    migrate_up(slow, _act_once(stop)).expect(5)
    speed_up(database_18)
    database_18.execute(f"BEGIN; {_TRIGGER_CHANGES['disabled and enabled']}; COMMIT")
    assert migrate_up(slow).expect(5).codes == ["capture-lost"]


_LOST_RANGES = {
    "all": "DELETE FROM confiture.backfill_ranges",
    "one": "DELETE FROM confiture.backfill_ranges WHERE number = 3",
    "the last": "DELETE FROM confiture.backfill_ranges r"
    " WHERE number = (SELECT max(number) FROM confiture.backfill_ranges)",
}


@pytest.mark.parametrize("case", _LOST_RANGES)
def test_ranges_that_are_gone_are_not_taken_for_done(slow: Project, database_18: Database, case: str) -> None:
    fill(slow, f"{SMALL_BATCHES}\nworkers: 2")
    ran = _run(slow, database_18, _LOST_RANGES[case]).expect(5)
    assert ran.codes == ["progress-lost"]


def test_a_backfill_whose_row_is_gone_is_not_taken_for_cancelled(slow: Project, database_18: Database) -> None:
    fill(slow, f"{SMALL_BATCHES}\nworkers: 2")
    ran = _run(slow, database_18, "DELETE FROM confiture.backfills").expect(5)
    assert ran.codes == ["progress-lost"]
    assert database_18.value("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgname ~ 'confiture'") == 0
    speed_up(database_18)
    database_18.execute("TRUNCATE r_totals")
    migrate_up(slow).expect(0)
    assert database_18.value(DIFFERENT) == 0


def test_a_schema_that_is_dropped_is_reported_with_what_is_committed(slow: Project, database_18: Database) -> None:
    fill(slow, f"{SMALL_BATCHES}\nworkers: 2")
    text = (slow.root / "migrations/001_fill.yaml").read_text()
    slow.write("migrations/001_fill.yaml", f"ddl:\n  - sql: CREATE TABLE before (id int)\n{text}")
    ran = _run(slow, database_18, "DROP SCHEMA confiture CASCADE").expect(5)
    assert "history-lost" in ran.codes
    assert any("1 of 2 segments of 001 fill" in diagnostic.message for diagnostic in ran.diagnostics)
    assert database_18.value("SELECT to_regclass('before') IS NOT NULL")


@pytest.mark.parametrize("control", ["pause", "cancel"])
def test_a_request_in_the_last_moment_is_honored(slow: Project, database_18: Database, control: str) -> None:
    """The request arrives while the last batch runs: the end of the backfill sees it."""
    fill(slow, "batch_rows: 100000")
    database_18.execute(
        "CREATE FUNCTION request() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN UPDATE confiture.backfills SET control = '{control}'; RETURN NULL; END $$;"
        "CREATE TRIGGER request AFTER INSERT ON r_totals EXECUTE FUNCTION request()"
    )
    paused: list[bool] = []

    def resume(event: object) -> None:
        if isinstance(event, BackfillProgressed) and control == "pause" and not paused:
            paused.append(True)
            assert database_18.value("SELECT state FROM confiture.backfills") != "done"
            database_18.execute("DROP TRIGGER request ON r_totals; UPDATE confiture.backfills SET control = 'run'")

    ran = migrate_up(slow, resume)
    if control == "cancel":
        assert ran.expect(4).codes == ["cancelled"]
    else:
        ran.expect(0)
        assert paused
    assert database_18.value("SELECT count(*) FROM r_totals") == CUSTOMERS
    assert database_18.value(WORKERS) == 0


def test_a_request_after_the_end_is_refused(slow: Project, database_18: Database) -> None:
    speed_up(database_18)
    fill(slow)
    migrate_up(slow).expect(0)
    for control in ("pause", "resume", "cancel"):
        assert "no unfinished backfill" in slow.run("backfill", control, expect=2).err
