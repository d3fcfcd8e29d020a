"""Hooks that fill in batches: apart from the transaction, resumed as YAML's backfills are."""

from __future__ import annotations

import pytest

from confiture.models.events import StepFinished
from tests.support.engine import dry_run, history, migrate_up
from tests.support.python_migrations import write_hooks

ORDERS = """
    ddl:
      - sql: |
          CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id int NOT NULL, amount numeric NOT NULL);
          INSERT INTO w_orders SELECT n, n % 5, n FROM generate_series(1, 4000) AS n
"""
ARCHIVE = "CREATE TABLE r_archive (id bigint PRIMARY KEY, tenant_id int NOT NULL, amount numeric NOT NULL);"
FILL = """
rows = context.backfill(
    into="r_archive", source="w_orders", alias="o", batch_rows=500, on_writes="ignore",
    sql="INSERT INTO r_archive (id, tenant_id, amount)"
    " SELECT o.id, o.tenant_id, o.amount FROM w_orders o WHERE {{ batch }}",
)
context.stats["rows"] = rows
"""
FAILING = FILL.replace("o.amount FROM", "100 / (o.id - 2500) FROM").replace('on_writes="ignore"', "workers=1")
DIFFERENT = "SELECT count(*) FROM w_orders o FULL JOIN r_archive r USING (id) WHERE o.id IS NULL OR r.id IS NULL"


@pytest.fixture
def orders(shop_18):
    shop_18.migration("001_orders", ORDERS)
    shop_18.ddl("archive.sql", ARCHIVE)
    return shop_18


def batched(project, body, *, batched=True, expected=4000):
    lines = "\n".join(f"        {line}" for line in body.strip().split("\n"))
    return write_hooks(
        project,
        "002_archive",
        f"class Fill(Hook):\n    phase = HookPhase.AFTER_DDL\n    batched = {batched}\n\n"
        f"    def execute(self, conn, context):\n{lines}\n\n"
        'register_hook("fill", Fill)\n\nclass A(Migration):\n    def up(self):\n'
        '        self.load_ddl_files(["archive.sql"])\n'
        f'        self.check("SELECT count(*) FROM r_archive", {expected}, name="all are there")\n',
    )


def test_it_fills_in_batches_apart_from_the_transaction(orders, database_18):
    batched(orders, f"before = conn.execute('SELECT count(*) FROM w_orders').scalar()\n{FILL}\nassert rows == before")
    ran = migrate_up(orders).expect(0)
    assert database_18.value(DIFFERENT) == 0
    ended = next(event for event in ran.events if isinstance(event, StepFinished) and event.step.name == "fill")
    assert ended.rows == 4000


def test_a_run_that_stops_midway_goes_on(orders, database_18):
    batched(orders, FAILING, expected=3999)
    ran = migrate_up(orders).expect(5)
    assert ran.diagnostic.code == "22012"
    assert database_18.value("SELECT max(id) FROM r_archive") == 2499
    assert history(database_18)[-1] == ("002", "running")
    database_18.execute("DELETE FROM w_orders WHERE id = 2500")
    migrate_up(orders).expect(0)
    assert database_18.value(DIFFERENT) == 0


def test_what_fails_after_the_fill_keeps_it_and_the_next_run_fills_no_more(orders, database_18):
    path = batched(orders, f"{FILL}\nraise ValueError('afterwards')")
    ran = migrate_up(orders).expect(5)
    assert "ValueError: afterwards" in ran.diagnostic.message
    assert database_18.value(DIFFERENT) == 0
    path.write_text(path.read_text().replace("raise ValueError('afterwards')", "pass"))
    ended = [e for e in migrate_up(orders).expect(0).events if isinstance(e, StepFinished) and e.step.name == "fill"]
    assert [event.rows for event in ended] == [4000]
    assert database_18.value(DIFFERENT) == 0


def test_what_fails_before_the_fill_leaves_nothing_of_it(orders, database_18):
    batched(orders, f"raise ValueError('before')\n{FILL}")
    migrate_up(orders).expect(5)
    assert database_18.value("SELECT count(*) FROM r_archive") == 0
    assert database_18.value("SELECT count(*) FROM confiture.backfills") == 0


def test_another_fill_than_the_one_that_stopped_is_refused(orders, database_18):
    path = batched(orders, FAILING)
    migrate_up(orders).expect(5)
    path.write_text(path.read_text().replace("100 / (o.id - 2500)", "0"))
    ran = migrate_up(orders).expect(5)
    assert ran.codes[0] == "drift"
    assert database_18.value("SELECT max(id) FROM r_archive") == 2499


def test_a_dry_run_samples_it_and_leaves_nothing(orders, database_18):
    batched(orders, FILL)
    migrate_up(orders, to="001").expect(0)
    ran = dry_run(orders).expect(0)
    assert ("after_ddl", "fill", "done") in ran.steps
    assert database_18.value("SELECT to_regclass('r_archive')") is None


@pytest.mark.parametrize("run", [migrate_up, dry_run])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("conn.execute('INSERT INTO r_archive VALUES (1, 1, 1)')", "cannot execute INSERT in a read-only transaction"),
        (f"{FILL}\nconn.execute('DELETE FROM r_archive')", "cannot execute DELETE in a read-only transaction"),
        (f"{FILL}\n{FILL}", "a hook can run only one backfill"),
        ("context.backfill(into='r_archive', source='w_orders', sql='SELECT 1', worker=2)", "unknown backfill key"),
        ("context.backfill(into='r_archive', source='w_orders', sql='SELEC')", "syntax error"),
        ("context.backfill(into='nowhere', source='w_orders', sql='INSERT INTO nowhere SELECT 1')", "batch"),
        ("return HookResult('after_ddl', 'x', rows_affected='y')", "rows_affected must be an integer"),
    ],
)
def test_what_it_may_not_do_is_told_in_its_file(orders, database_18, run, body, message):
    batched(orders, body)
    ran = run(orders)
    ran.expect(5)
    assert message in ran.diagnostic.message
    assert ran.diagnostic.span.path == "migrations/002_archive.py"
    assert ran.diagnostic.excerpt


def test_one_that_fills_must_say_that_it_is_batched(orders):
    batched(orders, FILL, batched=False)
    told = migrate_up(orders).expect(4).diagnostic
    assert "context.backfill requires a batched hook: set `batched = True`" in told.message


def test_the_plan_says_so(orders):
    batched(orders, FILL)
    shown = orders.run("migrate", "show", "002").out
    assert "in batches outside the transaction" in shown


def test_a_fill_that_failed_is_not_done_because_the_hook_caught_it(orders, database_18):
    caught = "\n".join(f"    {line}" for line in FAILING.strip().split("\n"))
    batched(orders, f"try:\n{caught}\nexcept Exception:\n    pass", expected=3999)
    assert migrate_up(orders).expect(5).diagnostic.code == "22012"
    assert history(database_18)[-1] == ("002", "running")
    database_18.execute("DELETE FROM w_orders WHERE id = 2500")
    migrate_up(orders).expect(0)
    assert database_18.value(DIFFERENT) == 0


def test_one_that_is_resumed_must_ask_again(orders, database_18):
    path = batched(orders, f"if conn.execute('SELECT count(*) FROM r_archive').scalar() == 0:\n{indented(FAILING)}")
    migrate_up(orders).expect(5)
    ran = migrate_up(orders).expect(5)
    assert ran.codes[0] == "drift"
    assert "did not request the backfill that it started in an earlier run" in ran.diagnostic.message
    assert history(database_18)[-1] == ("002", "running")
    assert path.exists()


def indented(text):
    return "\n".join(f"    {line}" for line in text.strip().split("\n"))
