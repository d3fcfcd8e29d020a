"""Batched backfills: each row exactly once, whatever happens meanwhile, and refused where that cannot be promised."""

from __future__ import annotations

import random
import signal
import threading
import time

import psycopg
import pytest

from confiture.models.events import BackfillProgressed, BatchRetried
from tests.support.engine import migrate_up, wait_until
from tests.support.projects import Project
from tests.support.properties import example_count, generator
from tests.support.read_models import (
    CUSTOMERS,
    DIFFERENT,
    OURS,
    SMALL_BATCHES,
    SQL,
    WORKERS,
    fill,
    schema,
    slow_down,
    speed_up,
)
from tests.support.servers import Database

pytestmark = pytest.mark.versions_alike


@pytest.fixture
def made(shop: Project, database: Database) -> Project:
    schema(database)
    return shop


@pytest.mark.parametrize("workers", [1, 3])
def test_a_backfill_equals_its_defining_query(made, database, workers):
    fill(made, f"batch_rows: 100\nworkers: {workers}")
    ran = migrate_up(made).expect(0)
    assert database.value(DIFFERENT) == 0
    done = database.rows("SELECT sum(source_rows), sum(written_rows) FROM confiture.backfill_ranges")
    assert done == [(CUSTOMERS, CUSTOMERS)]
    assert database.value("SELECT count(*) FROM confiture.backfill_ranges WHERE NOT is_done") == 0
    last = [event for event in ran.events if isinstance(event, BackfillProgressed)][-1]
    assert (last.source_rows, last.written_rows, last.estimated_rows) == (CUSTOMERS, CUSTOMERS, CUSTOMERS)


def test_nothing_of_ours_is_left_behind(made, database):
    fill(made)
    migrate_up(made).expect(0)
    assert database.rows(OURS) == []
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'confiture'::regnamespace AND relname LIKE '%keys%'"
    assert database.rows(left) == []
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = 'confiture'::regnamespace"
    assert database.rows(functions) == [("refuse_change",)]  # it protects the events of the history


def test_an_update_is_filled_in_batches_although_it_writes_its_own_source(made, database):
    database.execute("ALTER TABLE w_customers ADD COLUMN shout text")
    made.write(
        "migrations/001_fill.yaml",
        """after_ddl:
  - name: fill
    backfill:
      into: w_customers
      from: w_customers
      batch_rows: 200
      sql: UPDATE w_customers SET shout = upper(name) WHERE {{ batch }} AND shout IS NULL
""",
    )
    migrate_up(made).expect(0)
    assert database.value("SELECT count(*) FROM w_customers WHERE shout IS DISTINCT FROM upper(name)") == 0


def test_a_delete_is_done_in_batches(made, database):
    made.write(
        "migrations/001_fill.yaml",
        """after_ddl:
  - name: purge
    backfill:
      into: w_orders
      from: w_orders
      alias: o
      batch_rows: 500
      workers: 2
      sql: DELETE FROM w_orders o WHERE {{ batch }} AND o.customer_id % 2 = 0
""",
    )
    migrate_up(made).expect(0)
    assert database.value("SELECT count(*) FROM w_orders WHERE customer_id % 2 = 0") == 0
    assert database.value("SELECT count(*) FROM w_orders") == CUSTOMERS


def test_an_empty_table_is_filled_at_once(made, database):
    database.execute("TRUNCATE w_customers")
    fill(made)
    migrate_up(made).expect(0)
    assert database.value("SELECT count(*) FROM r_totals") == 0


_SESSIONS = WORKERS.replace("confiture backfill (", "confiture")
_TO_BE_EXPECTED = (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation, psycopg.errors.UndefinedTable)


def _write_until_done(url: str, seed: int, errors: list[Exception]) -> None:
    """Inserts, updates, deletes and moves between keys, each committed only while the backfill is not done."""
    numbers = random.Random(seed)
    while True:
        try:
            with psycopg.connect(url) as connection:
                while True:
                    number = numbers.randint(1, CUSTOMERS)
                    key = {
                        "tenant": 7 if number % 3 else number % 500,
                        "id": number,
                        "other": numbers.randint(1, CUSTOMERS),
                    }
                    statement = numbers.choice(
                        (
                            "INSERT INTO w_orders (tenant_id, customer_id, amount) VALUES (%(tenant)s, %(id)s, %(id)s)",
                            "UPDATE w_orders SET amount = amount + 1"
                            " WHERE tenant_id = %(tenant)s AND customer_id = %(id)s",
                            "DELETE FROM w_orders WHERE tenant_id = %(tenant)s AND customer_id = %(id)s",
                            "UPDATE w_orders SET tenant_id = 7, customer_id = %(other)s"
                            " WHERE tenant_id = %(tenant)s AND customer_id = %(id)s",
                            "DELETE FROM w_customers WHERE tenant_id = %(tenant)s AND id = %(id)s",
                            "INSERT INTO w_customers VALUES (%(other)s, %(id)s, 'new') ON CONFLICT DO NOTHING",
                            "UPDATE w_customers SET tenant_id = 7 WHERE tenant_id = %(tenant)s AND id = %(id)s"
                            " AND NOT EXISTS (SELECT FROM w_customers WHERE tenant_id = 7 AND id = %(id)s)",
                        )
                    )
                    try:
                        connection.execute(statement, key)
                        ((state,),) = connection.execute(
                            "SELECT CASE WHEN to_regclass('confiture.backfills') IS NOT NULL"
                            " THEN (SELECT max(state) FROM confiture.backfills) END"
                        ).fetchall()
                        if state == "done":
                            connection.rollback()
                            return
                        connection.commit()
                    except _TO_BE_EXPECTED:
                        connection.rollback()
                    time.sleep(0.001)
        except psycopg.OperationalError:
            continue  # its server process was killed
        except Exception as error:
            errors.append(error)
            return


@pytest.fixture
def writers(database):
    """Two sessions that write all the time, until the backfill is done."""
    errors: list[Exception] = []
    threads = [
        threading.Thread(target=_write_until_done, args=(database.url, seed, errors), daemon=True) for seed in (1, 2)
    ]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join(timeout=120)
    assert not errors and not any(thread.is_alive() for thread in threads)


def test_what_others_write_meanwhile_is_in_the_result(made, database, writers):
    fill(made, "batch_rows: 50\nbatch_time: 20ms\nworkers: 2")
    migrate_up(made).expect(0)
    for thread in writers:
        thread.join(timeout=120)
    assert database.value(DIFFERENT) == 0


@pytest.mark.property
def test_killed_again_and_again_it_does_nothing_twice(made, database, writers):
    fill(made, "batch_rows: 20\nbatch_time: 5ms\nworkers: 2")
    numbers = generator(7)
    for _ in range(example_count(6)):
        running = made.start("migrate", "up")
        moment = numbers.choice((_SESSIONS, WORKERS))
        wait_until(lambda: database.value(moment) or running.poll() is not None, "it is under way")  # noqa: B023
        time.sleep(numbers.uniform(0, 0.3))
        if numbers.random() < 0.5:
            database.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'confiture%'"
                " AND datname = current_database() ORDER BY random() LIMIT 1"
            )
            time.sleep(numbers.uniform(0, 0.3))
        running.send_signal(signal.SIGKILL)
        running.communicate()
    made.run("migrate", "up")
    for thread in writers:
        thread.join(timeout=120)
    assert database.value(DIFFERENT) == 0
    assert database.rows(OURS) == []


def test_a_lost_connection_is_made_anew(made, database):
    slow_down(database)
    fill(made, SMALL_BATCHES)
    lost: list[object] = []

    def cut(event: object) -> None:
        if isinstance(event, BackfillProgressed) and event.batches > 3 and not lost:
            lost.append(True)
            database.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'confiture backfill%' AND datname = current_database()"
            )
            speed_up(database)

    ran = migrate_up(made, cut).expect(0)
    assert lost and any(isinstance(event, BatchRetried) for event in ran.events)
    assert database.value(DIFFERENT) == 0


def test_the_row_that_is_wrong_is_named_and_what_is_right_before_it_stays(made, database):
    bad = SQL.replace("count(o.id)", "100 / (c.id - 2000)")
    fill(made, "batch_rows: 512", bad)
    ran = migrate_up(made).expect(5)
    assert ran.diagnostic.code == "22012"
    assert "the row: w_customers (tenant_id, id) = (7, 2000)" in ran.diagnostic.detail
    filled = int(database.value("SELECT count(*) FROM r_totals"))
    assert filled == database.value("SELECT count(*) FROM w_customers WHERE (tenant_id, id) < (7, 2000)")
    database.execute("DELETE FROM w_customers WHERE id = 2000")
    migrate_up(made).expect(0)
    assert database.value("SELECT count(*) FROM r_totals") == CUSTOMERS - 1


def test_a_changed_statement_is_drift(made, database):
    fill(made, "batch_rows: 512", SQL.replace("count(o.id)", "100 / (c.id - 2000)"))
    migrate_up(made).expect(5)
    fill(made)
    ran = migrate_up(made)
    assert (ran.code, ran.codes) == (7, ["drift"])


def test_a_truncated_source_ends_it(made, database):
    fill(made, "batch_rows: 100")
    done: list[object] = []

    def truncate(event: object) -> None:
        if isinstance(event, BackfillProgressed) and not done:
            done.append(True)
            database.execute("TRUNCATE w_orders")

    ran = migrate_up(made, truncate)
    assert (ran.code, ran.codes) == (5, ["source-truncated"])


def test_writes_are_refused_where_nobody_was_to_write(made, database):
    fill(made, f"{SMALL_BATCHES}\non_writes: ignore", captures="")
    slow_down(database)
    wrote: list[object] = []

    def write(event: object) -> None:
        if isinstance(event, BackfillProgressed) and not wrote:
            wrote.append(True)
            with database.connect() as connection:
                connection.execute("INSERT INTO w_orders (tenant_id, customer_id, amount) VALUES (7, 1, 1)")
                connection.execute("SELECT pg_stat_force_next_flush()" if database.server.version > 14 else "SELECT 1")

    ran = migrate_up(made, write)
    assert (ran.code, ran.codes) == (5, ["source-written"])


@pytest.mark.parametrize(
    ("options", "sql", "captures", "code"),
    [
        ("key: [name]", SQL.replace("c.tenant_id, c.id\n", "c.tenant_id, c.id, c.name\n"), None, "no-batch-key"),
        ("key: [nothing]", SQL.replace("c.id\n", "c.id, c.nothing\n"), None, "no-batch-key"),
        ("batch_rows: 10", SQL, "", "not-captured"),
        ("batch_rows: 10", SQL, "w_orders: [tenant_id]", "not-captured"),
        ("batch_rows: 10", SQL.replace("c.id, count", "c.id + 0, count"), None, "target-without-key"),
    ],
)
def test_what_cannot_be_promised_is_refused_and_leaves_nothing(made, database, options, sql, captures, code):
    if code == "no-batch-key":
        database.execute("CREATE INDEX ON w_customers (name)")
    fill(made, options, sql, "w_orders: [tenant_id, customer_id]" if captures is None else captures)
    ran = migrate_up(made)
    assert code in ran.codes
    assert ran.diagnostic.hint
    assert database.value("SELECT count(*) FROM r_totals") == 0
    assert database.rows(OURS) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("WHERE {{ batch }}", "WHERE true"), "no-batch"),
        (("WHERE {{ batch }}", "WHERE {{ batch }} OR true"), "no-batch"),
        (("GROUP BY c.tenant_id, c.id", "GROUP BY c.tenant_id, c.id LIMIT 5"), "backfill-groups"),
        (("FROM w_customers c", "FROM w_suppliers c"), "backfill-source"),
        (("INSERT INTO r_totals", "INSERT INTO r_other"), "backfill-target"),
    ],
)
def test_a_statement_that_cannot_be_batched_is_told_before_anything_connects(project, change, code):
    fill(project, "key: [tenant_id, id]", SQL.replace(*change))
    result = project.run("migrate", "validate", expect=2)
    assert f"error[{code}]" in result.err
    assert "migrations/001_fill.yaml" in result.err


def test_it_can_be_paused_and_resumed_from_elsewhere(made, database):
    slow_down(database)
    fill(made, SMALL_BATCHES)
    running = made.start("migrate", "up")
    wait_until(lambda: "filling" in made.run("backfill", "status").out, "it fills")
    made.run("backfill", "pause")
    wait_until(lambda: "paused" in made.run("backfill", "status").out, "it pauses")
    before = database.value("SELECT count(*) FROM r_totals")
    assert database.value("SELECT count(*) FROM r_totals") == before
    speed_up(database)
    made.run("backfill", "resume")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert database.value(DIFFERENT) == 0
    assert "done" in made.run("backfill", "status", "--all").out


def test_cancelled_it_takes_its_triggers_with_it(made, database):
    slow_down(database)
    fill(made, SMALL_BATCHES)
    running = made.start("migrate", "up")
    wait_until(lambda: "filling" in made.run("backfill", "status").out, "it fills")
    made.run("backfill", "cancel")
    out, err = running.communicate(timeout=120)
    speed_up(database)
    assert running.returncode in (4, 5)
    assert "cancelled" in err
    assert "nothing of it remains" not in out
    assert database.rows(OURS) == []
    database.execute("TRUNCATE r_totals")
    migrate_up(made).expect(0)
    assert database.value(DIFFERENT) == 0


def test_a_stopped_one_can_be_given_up(made, database):
    fill(made, "batch_rows: 512", SQL.replace("count(o.id)", "100 / (c.id - 2000)"))
    migrate_up(made).expect(5)
    assert "its next run will start paused" in made.run("backfill", "pause").err
    assert "is not running" in made.run("backfill", "resume").err
    made.run("backfill", "cancel")
    assert database.rows(OURS) == []
    database.execute("TRUNCATE r_totals")
    fill(made)
    migrate_up(made).expect(0)  # what it does may be changed once it was given up
    assert database.value(DIFFERENT) == 0


def test_a_role_without_rights_on_our_tables_is_told_so(shop, roles):
    database = roles.database
    schema(database)
    fill(shop)
    migrate_up(shop).expect(0)
    for command in ("status", "pause", "clean"):
        result = shop.run("backfill", command, "--database", roles.url(roles.reader), expect=3)
        assert "error[42501]" in result.err, "no traceback"
