"""Python hooks: in the migration's transaction, seen by a dry run, told where they fail, refused where they may not."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from confiture import InputError
from confiture.core import HookPhase, HookRefused, HookResult, register_hook
from confiture.models.events import HookProgressed, StepFinished
from tests.support.engine import dry_run, history, migrate_down, migrate_up, nothing_remains
from tests.support.python_migrations import IMPORTS, loaded, problems, write_hooks

CUSTOMERS = """
    ddl:
      - sql: |
          CREATE TABLE w_customers (id bigint PRIMARY KEY, tenant_id int NOT NULL);
          CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id int NOT NULL, customer_id bigint NOT NULL,
                                 amount numeric NOT NULL);
          INSERT INTO w_customers SELECT n, n % 5 FROM generate_series(1, 300) AS n;
          INSERT INTO w_orders SELECT n, n % 5, 1 + (n - 1) % 300, n FROM generate_series(1, 3000) AS n
    down:
      - sql: DROP TABLE w_orders, w_customers
"""

VALUE = "CREATE TABLE r_customer_value (id bigint PRIMARY KEY, tenant_id int NOT NULL, total numeric NOT NULL);"

LIFETIME_VALUE = """
class BackfillCustomerLifetimeValueHook(Hook):
    phase = HookPhase.AFTER_DDL

    def execute(self, conn, context):
        result = conn.execute(
            "INSERT INTO r_customer_value SELECT c.id, c.tenant_id, coalesce(sum(o.amount), 0) FROM w_customers c"
            " LEFT JOIN w_orders o ON o.customer_id = c.id AND o.tenant_id = c.tenant_id GROUP BY c.tenant_id, c.id"
        )
        return HookResult(
            phase="AFTER_DDL", hook_name="BackfillCustomerLifetimeValue", rows_affected=result.rowcount,
            stats={"customers": result.rowcount},
        )

register_hook("backfill_customer_lifetime_value", BackfillCustomerLifetimeValueHook)


class ValidateBackfillHook(Hook):
    phase = HookPhase.AFTER_VALIDATION

    def execute(self, conn, context):
        missing = conn.execute(
            "SELECT count(*) FROM w_customers c WHERE NOT EXISTS (SELECT FROM r_customer_value r WHERE r.id = c.id)"
        ).scalar()
        if missing > MISSING:
            raise ValueError(f"{missing} customers have no row, after {context.stats['customers']} were filled")

register_hook("validate_backfill", ValidateBackfillHook)


class Migration_002(Migration):
    def up(self):
        self.load_ddl_files(["value.sql"])

    def down(self):
        self.execute("DROP TABLE r_customer_value CASCADE")
"""


@pytest.fixture
def customers(shop_18):
    return with_customers(shop_18)


def with_customers(project):
    project.migration("001_customers", CUSTOMERS)
    project.ddl("value.sql", VALUE)
    return project


def hooked(project, body, *, phase="AFTER_DDL", extra="", name="002_hooked"):
    """A migration whose one hook has this body."""
    lines = "\n".join(f"        {line}" for line in body.strip().split("\n"))
    return write_hooks(
        project,
        name,
        f"{extra}\nclass Work(Hook):\n    phase = HookPhase.{phase}\n\n"
        f"    def execute(self, conn, context):\n{lines}\n\n"
        'register_hook("work", Work)\n\nclass A(Migration):\n    def up(self):\n'
        '        self.load_ddl_files(["value.sql"])\n',
    )


def stats(ran, name):
    return next(e.stats for e in ran.events if isinstance(e, StepFinished) and e.step.name == name)


def rows(ran, name):
    return next(e.rows for e in ran.events if isinstance(e, StepFinished) and e.step.name == name)


def test_a_backfill_and_its_validation(customers, database_18):
    write_hooks(customers, "002_value", "MISSING = 0\n" + LIFETIME_VALUE)
    ran = migrate_up(customers).expect(0)
    assert database_18.value("SELECT sum(total) FROM r_customer_value") == Decimal(3000 * 3001 // 2)
    assert rows(ran, "backfill_customer_lifetime_value") == 300
    assert stats(ran, "backfill_customer_lifetime_value") == {"customers": 300}
    assert [step[:2] for step in ran.steps][1:] == [
        ("ddl", "value.sql"),
        ("after_ddl", "backfill_customer_lifetime_value"),
        ("after_validation", "validate_backfill"),
    ]
    migrate_down(customers).expect(0)
    assert database_18.value("SELECT to_regclass('r_customer_value')") is None


def test_what_a_hook_raises_rolls_the_whole_migration_back_and_is_told(customers, database_18):
    path = write_hooks(customers, "002_value", "MISSING = -1\n" + LIFETIME_VALUE)
    ran = migrate_up(customers).expect(4)
    told = ran.diagnostic
    assert told.message == (
        "the hook 'validate_backfill' failed: ValueError: 0 customers have no row, after 300 were filled"
    )
    assert told.span and told.excerpt
    line = path.read_text().split("\n").index(told.excerpt) + 1
    assert (told.span.path, told.span.line) == ("migrations/002_value.py", line)
    assert "raise ValueError" in told.excerpt
    assert history(database_18) == [("001", "applied")]
    assert database_18.value("SELECT to_regclass('r_customer_value')") is None


def test_a_dry_run_sees_each_statement_of_a_hook(shop, database):
    customers = with_customers(shop)
    write_hooks(customers, "002_value", "MISSING = 0\n" + LIFETIME_VALUE)
    migrate_up(customers, to="001").expect(0)
    report = customers.run("migrate", "--dry-run", "--format", "json").json
    fill, in_python, count, _ = [s for s in report["statements"] if s["step"].endswith(("_value", "_backfill"))]
    assert in_python["sql"] == "-- the hook's Python: backfill_customer_lifetime_value"
    assert in_python["locks"] == []
    assert fill["rows"] == [{"table": "r_customer_value", "inserted": 300, "updated": 0, "deleted": 0}]
    assert {scan["table"] for scan in fill["scans"]} == {"w_customers", "w_orders"}
    assert count["sql"].startswith("SELECT count(*)")
    assert database.value("SELECT to_regclass('r_customer_value')") is None


def test_a_strong_lock_taken_by_a_hook_is_seen(customers):
    hooked(customers, "conn.execute('ALTER TABLE w_orders ADD COLUMN note text')")
    migrate_up(customers, to="001").expect(0)
    report = customers.run("migrate", "--dry-run", "--format", "json").json
    assert "w_orders" in report["locked_tables"]
    assert ("w_orders", "AccessExclusiveLock") in {(lock["relation"], lock["mode"]) for lock in report["locks"]}


def test_it_knows_that_it_is_a_dry_run(customers):
    hooked(customers, "if not context.dry_run:\n    raise ValueError('for real')")
    dry_run(customers).expect(0)
    assert "ValueError: for real" in migrate_up(customers).expect(4).diagnostic.message


def test_the_phases_and_their_order(customers):
    phases = ["BEFORE_VALIDATION", "BEFORE_DDL", "AFTER_DDL", "AFTER_VALIDATION", "CLEANUP", "ON_ERROR"]
    hooks = "".join(
        f"class H{n}(Hook):\n    phase = HookPhase.{phase}\n    def execute(self, conn, context):\n"
        f"        assert context.phase is HookPhase.{phase}\n\nregister_hook('{phase}', H{n})\n\n"
        for n, phase in enumerate(reversed(phases))
    )
    write_hooks(
        customers,
        "002_all",
        hooks + "class A(Migration):\n    def up(self):\n        self.load_ddl_files(['value.sql'])\n"
        "        self.execute('SELECT 1', name='a step', phase='after_ddl')\n",
    )
    ran = migrate_up(customers).expect(0)
    names = [name for _, name, _ in ran.steps][1:]
    assert names == [
        "BEFORE_VALIDATION",
        "BEFORE_DDL",
        "value.sql",
        "a step",
        "AFTER_DDL",
        "AFTER_VALIDATION",
        "CLEANUP",
    ]


def test_a_hook_of_on_error_hears_why_and_what_it_writes_stays(customers, database_18):
    database_18.execute("CREATE TABLE failures (told text)")
    hooked(
        customers,
        "conn.execute('INSERT INTO failures VALUES (%s)', (context.error.message,))",
        phase="ON_ERROR",
        extra="class Bad(Hook):\n    phase = HookPhase.CLEANUP\n"
        "    def execute(self, conn, context):\n        1 / 0\n\n"
        "register_hook('bad', Bad)\n",
    )
    migrate_up(customers).expect(4)
    (told,) = database_18.rows("SELECT told FROM failures")
    assert told == ("the hook 'bad' failed: ZeroDivisionError: division by zero",)


def test_a_rule_of_ones_own_before_anything_runs(customers, database_18):
    hooked(
        customers,
        "found = conn.execute(\"SELECT count(*) FROM pg_class WHERE relname LIKE 'tmp%'\").scalar()\n"
        "if found == 0:\n    raise ValueError('no table begins with tmp')",
        phase="BEFORE_VALIDATION",
    )
    assert "no table begins with tmp" in migrate_up(customers).expect(4).diagnostic.message
    assert history(database_18) == [("001", "applied")]


@pytest.mark.parametrize("run", [migrate_up, dry_run], ids=["up", "dry run"])
@pytest.mark.parametrize("phase", ["BEFORE_VALIDATION", "AFTER_DDL", "CLEANUP"])
def test_a_linting_error_stops_it_as_a_failed_check_does(customers, database_18, run, phase):
    path = hooked(
        customers,
        "conn.execute('CREATE TABLE seen ()')\nraise LintingError('w_customers has no owner')",
        phase=phase,
        extra="from confiture.core import LintingError",
    )
    told = run(customers).expect(1).diagnostic
    assert (told.code, told.message) == (
        "linting-failed",
        "the hook 'work' rejected the migration: w_customers has no owner",
    )
    assert told.span and told.excerpt
    line = path.read_text().split("\n").index(told.excerpt) + 1
    assert (told.span.path, told.span.line) == ("migrations/002_hooked.py", line)
    assert "raise LintingError" in told.excerpt
    left = [table for table in ("seen", "r_customer_value") if database_18.value(f"SELECT to_regclass('{table}')")]
    assert left == []
    if run is migrate_up:
        assert history(database_18) == [("001", "applied")]
    else:
        assert nothing_remains(database_18)


LINTING = {
    "a class of its own, after an error": (
        "class Named(LintingError):\n    pass\n",
        "try:\n    conn.execute('SELECT 1 / 0')\nexcept Exception as error:\n    raise Named('no') from error",
        1,
        "no",
    ),
    "without a text": ("", "raise LintingError", 1, "LintingError"),
    "caught": ("", "try:\n    raise LintingError('no')\nexcept LintingError:\n    pass", 0, None),
}


@pytest.mark.parametrize(("extra", "body", "code", "message"), LINTING.values(), ids=LINTING)
def test_linting_errors(customers, extra, body, code, message):
    hooked(customers, body, phase="BEFORE_VALIDATION", extra=f"from confiture import LintingError\n{extra}")
    ran = migrate_up(customers).expect(code)
    assert message is None or ran.diagnostic.message == f"the hook 'work' rejected the migration: {message}"


def test_a_linting_error_after_a_commit_stops_midway(customers):
    write_hooks(
        customers,
        "002_index",
        "from confiture import LintingError\n\nclass Late(Hook):\n    phase = HookPhase.CLEANUP\n\n"
        "    def execute(self, conn, context):\n        raise LintingError('no')\n\n"
        "register_hook('late', Late)\n\nclass A(Migration):\n    def up(self):\n"
        "        self.execute('CREATE INDEX CONCURRENTLY i ON w_orders (tenant_id)', phase='after_ddl')\n",
    )
    migrate_up(customers).expect(5)


def test_a_linting_error_of_on_error_is_a_note(customers, database_18):
    hooked(
        customers,
        "raise LintingError('this, too')",
        phase="ON_ERROR",
        extra="from confiture import LintingError\n\nclass Bad(Hook):\n    phase = HookPhase.CLEANUP\n"
        "    def execute(self, conn, context):\n        1 / 0\n\n"
        "register_hook('bad', Bad)\n",
    )
    ran = migrate_up(customers).expect(4)
    assert "rejected the migration: this, too" in ran.notes


def test_the_command_tells_of_a_linting_error(customers):
    hooked(
        customers,
        "raise LintingError('no tenant')",
        phase="BEFORE_VALIDATION",
        extra="from confiture import LintingError",
    )
    for command in (("migrate", "up"), ("migrate", "--dry-run")):
        error = customers.run(*command, expect=1).err
        assert "error[linting-failed]: the hook 'work' rejected the migration: no tenant" in error
        assert "migrations/002_hooked.py:" in error


def test_several_steps_over_a_temporary_table(customers, database_18):
    hooked(
        customers,
        """
conn.execute(
    "CREATE TEMP TABLE paid ON COMMIT DROP AS SELECT customer_id, sum(amount) AS total FROM w_orders GROUP BY 1"
)
conn.execute("UPDATE paid SET total = total * %s", (2,))
conn.execute(
    "INSERT INTO r_customer_value SELECT c.id, c.tenant_id, p.total FROM w_customers c"
    " JOIN paid p ON p.customer_id = c.id"
)
""",
    )
    migrate_up(customers).expect(0)
    assert database_18.value("SELECT sum(total) FROM r_customer_value") == Decimal(3000 * 3001)
    assert database_18.value("SELECT to_regclass('paid')") is None


def test_rows_are_counted_where_the_hook_says_nothing(customers):
    hooked(
        customers,
        "conn.execute('INSERT INTO r_customer_value SELECT id, 1, 0 FROM w_customers WHERE id <= 10;"
        " UPDATE r_customer_value SET total = 1 WHERE id <= 4')\n"
        "with conn.cursor() as cursor:\n"
        "    cursor.executemany('INSERT INTO r_customer_value VALUES (%s, 1, 0)', [(n,) for n in range(1000, 1005)])\n"
        "    with cursor.copy('COPY r_customer_value FROM STDIN') as copy:\n"
        "        copy.write_row((2000, 1, 0))\n"
        "assert conn.execute('SELECT count(*) FROM r_customer_value').scalar() == 16",
    )
    assert rows(migrate_up(customers).expect(0), "work") == 10 + 4 + 5 + 1


def test_rows_of_a_savepoint_that_was_rolled_back_do_not_count(customers):
    hooked(
        customers,
        """
import psycopg
conn.execute("INSERT INTO r_customer_value VALUES (1, 1, 1)")
with conn.transaction(force_rollback=True):
    conn.execute("INSERT INTO r_customer_value SELECT id, 1, 1 FROM w_customers WHERE id > 10")
with conn.transaction():
    conn.execute("INSERT INTO r_customer_value SELECT id, 1, 1 FROM w_customers WHERE id > 10")
    raise psycopg.Rollback
""",
    )
    assert rows(migrate_up(customers).expect(0), "work") == 1


def test_what_a_cursor_of_the_server_reads_is_its_own(customers):
    hooked(
        customers,
        "with conn.cursor(name='all orders') as cursor:\n"
        "    cursor.execute('SELECT * FROM w_orders')\n"
        "    assert len(cursor.fetchall()) == 3000\n"
        "conn.execute('SELECT 1')",
    )
    migrate_up(customers, to="001").expect(0)
    statements = customers.run("migrate", "--dry-run", "--format", "json").json["statements"]
    scans = {s["sql"]: [scan["table"] for scan in s["scans"]] for s in statements if s["step"] == "work"}
    assert scans['CLOSE "all orders"'] == ["w_orders"]
    assert scans["SELECT 1"] == []


def test_the_connection_is_psycopgs_own(customers):
    hooked(
        customers,
        """
import psycopg
assert isinstance(conn, psycopg.Connection)
assert conn.execute("SELECT 1, 2").fetchall() == [(1, 2)]
assert conn.execute("SELECT 1 WHERE false").scalar() is None
assert conn.cursor(row_factory=psycopg.rows.dict_row).execute("SELECT 1 AS a").fetchone() == {"a": 1}
assert list(conn.cursor().stream("SELECT generate_series(1, 3)")) == [(1,), (2,), (3,)]
assert conn.execute("SELECT 1; SELECT 2").scalar() == 1
assert conn.execute(psycopg.sql.SQL("SELECT {}").format(7)).scalar() == 7
assert conn.execute("SELECT '50%%' || %(x)s", {"x": "!"}).scalar() == "50%!"
with conn.cursor(name="by_the_server") as cursor:
    assert cursor.execute("SELECT generate_series(1, 3)").fetchall() == [(1,), (2,), (3,)]
try:
    with conn.transaction():
        conn.execute("INSERT INTO r_customer_value VALUES (1, 1, 1)")
        conn.execute("SELECT 1 / 0")
except psycopg.errors.DivisionByZero:
    pass
assert conn.execute("SELECT count(*) FROM r_customer_value").scalar() == 0
""",
    )
    migrate_up(customers).expect(0)


@pytest.mark.parametrize(
    "ending",
    [
        "conn.commit()",
        "conn.rollback()",
        "conn.close()",
        "conn.autocommit = True",
        "conn.set_autocommit(True)",
        "conn.execute('COMMIT')",
        "conn.execute('/* now */ commit AND CHAIN')",
        "conn.execute('SELECT 1; COMMIT; SELECT 2')",
        "conn.execute('END')",
        "conn.execute(b'ROLLBACK')",
        "conn.execute('COMMIT', ())",
        "conn.cursor().execute('PREPARE TRANSACTION \\'x\\'')",
        "conn.cursor().executemany('ABORT', [()])",
        "list(conn.cursor().stream('COMMIT'))",
        "import psycopg; conn.execute(psycopg.sql.SQL('COMMIT'))",
        "with conn.cursor(name='x') as cursor:\n    cursor.execute('COMMIT')",
    ],
)
def test_a_hook_cannot_commit(customers, database_18, ending):
    hooked(customers, f"conn.execute('INSERT INTO r_customer_value VALUES (1, 1, 1)')\n{ending}")
    ran = migrate_up(customers).expect(4)
    assert "the hook 'work' failed" in ran.diagnostic.message
    assert database_18.value("SELECT to_regclass('r_customer_value')") is None
    assert history(database_18) == [("001", "applied")]


@pytest.mark.parametrize(
    "ending",
    [
        "import psycopg; psycopg.ClientCursor(conn).execute('COMMIT')",
        "conn.pgconn.exec_(b'COMMIT')",
        "conn.pgconn.exec_(b'COMMIT; BEGIN')",
    ],
)
def test_one_that_commits_past_its_connection_is_caught(customers, ending):
    hooked(customers, ending)
    ran = migrate_up(customers).expect(5)
    assert ran.codes == ["transaction-ended"]
    assert "the hook 'work' ended the migration's transaction" in ran.diagnostic.message


def test_the_connection_ends_with_the_hook(customers):
    hooked(
        customers,
        "kept.append(conn)",
        extra="kept = []\n\nclass Later(Hook):\n    phase = HookPhase.CLEANUP\n    def execute(self, conn, context):\n"
        "        kept[0].execute('SELECT 1')\n\nregister_hook('later', Later)\n",
    )
    assert "the hook has ended" in migrate_up(customers).expect(4).diagnostic.message


def test_a_statement_that_fails_is_told_with_its_line(customers):
    path = hooked(customers, "x = 1\nconn.execute('SELECT nothing FROM nowhere')")
    told = migrate_up(customers).expect(4).diagnostic
    assert told.code == "42P01"
    assert "the hook 'work' failed: relation \"nowhere\" does not exist" in told.message
    assert told.span and told.excerpt
    assert told.span.line == path.read_text().split("\n").index(told.excerpt) + 1
    assert "nowhere" in told.excerpt


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("5", "execute must return a HookResult or None, not 5"),
        ("HookResult(phase='CLEANUP', hook_name='x')", "the result has the phase cleanup, but the hook ran in"),
        ("HookResult(phase='LATER', hook_name='x')", "'LATER' is not a phase of a migration"),
        ("HookResult(phase='AFTER_DDL', hook_name='')", "hook_name must be a non-empty string"),
        ("HookResult(phase='AFTER_DDL', hook_name='x', rows_affected='7')", "rows_affected must be an integer"),
        ("HookResult(phase='AFTER_DDL', hook_name='x', rows_affected=-5)", "rows_affected cannot be -5"),
        ("HookResult(phase='AFTER_DDL', hook_name='x', stats=[1])", "stats must be a mapping"),
    ],
)
def test_results_are_validated(customers, returned, message):
    hooked(customers, f"return {returned}")
    assert message in migrate_up(customers).expect(4).diagnostic.message


def test_a_result_knows_its_phase_and_unknown_rows():
    result = HookResult(phase="AFTER_DDL", hook_name="x", rows_affected=-1)
    assert result.phase is HookPhase.AFTER_DDL
    assert result.rows_affected is None


def test_what_a_context_tells(customers):
    customers.write(
        "confiture.yaml",
        "migrations: migrations\nschemas: schemas\nvars: {who: everybody}\n"
        "environments: {test: {vars: {who: testers}}}\n",
    )
    customers.environ["CONFITURE_ENV"] = "test"
    hooked(
        customers,
        "assert (context.migration.version, context.migration.name) == ('002', 'hooked')\n"
        "assert context.direction == 'up' and context.environment == 'test' and context.vars['who'] == 'testers'\n"
        "context.logger.info('hello %s', context.vars['who'])\n"
        "context.logger.debug('not shown')\n"
        "context.progress(1, 4)\ncontext.progress(2)\n"
        "return HookResult('after_ddl', 'work', stats={'when': __import__('datetime').date(2020, 2, 3)})",
    )
    result = customers.run("migrate", "up", "--format", "json")
    assert "work: hello testers" in result.json["notes"]
    assert "not shown" not in result.out + result.err
    assert result.step("work")["stats"] == {"when": "2020-02-03"}


def test_progress_is_told(customers):
    hooked(customers, "context.progress(1, 4)\ncontext.progress(2)")
    told = [(e.done, e.total) for e in migrate_up(customers).events if isinstance(e, HookProgressed)]
    assert told == [(1, 4), (2, None)]


def test_a_lock_that_is_not_had_is_tried_again_with_stats_as_before(customers, database_18):
    customers.write("confiture.yaml", "migrations: migrations\nschemas: schemas\ndatabase: {lock_timeout: 100ms}\n")
    migrate_up(customers, to="001").expect(0)
    hooked(
        customers,
        "assert 'tries' not in context.stats\n"
        "context.stats['tries'] = 1\n"
        "conn.execute('LOCK TABLE w_orders')\n"
        "context.stats['locked'] = True",
    )
    with psycopg.connect(database_18.url) as holder:
        holder.execute("LOCK TABLE w_orders")

        def let_go(event):
            if type(event).__name__ == "SegmentRetried":
                holder.rollback()

        ran = migrate_up(customers, let_go).expect(0)
    assert ran.retries >= 1


def test_hooks_of_the_settings_run_in_every_migration_behind_its_own(customers, database_18):
    customers.write(
        "shop_hooks_a.py",
        IMPORTS
        + """
class Count(Hook):
    phase = HookPhase.AFTER_DDL
    def execute(self, conn, context):
        tables = conn.execute("SELECT count(*) FROM pg_tables").scalar()
        return HookResult("AFTER_DDL", "count", stats={"tables": tables})

class OnlyWhereNamed(Hook):
    def execute(self, conn, context):
        pass

register_hook("count", Count)
register_hook("only where named", OnlyWhereNamed)
""",
    )
    customers.write("confiture.yaml", "migrations: migrations\nschemas: schemas\nhooks: [shop_hooks_a]\n")
    hooked(customers, "pass")
    customers.migration(
        "003_named", "after_ddl: [{hook: only where named}, {hook: count}, {sql: SELECT 1, name: last}]\n"
    )
    ran = migrate_up(customers).expect(0)
    assert [name for _, name, _ in ran.steps] == [
        ran.steps[0][1],
        "count",
        "value.sql",
        "work",
        "count",
        "only where named",
        "count",
        "last",
    ]


def test_a_class_named_by_a_yaml_step_runs_there(customers, database_18):
    customers.write(
        "shop_hooks_b.py",
        IMPORTS + "class Fill(Hook):\n    def execute(self, conn, context):\n"
        "        conn.execute('INSERT INTO r_customer_value SELECT id, tenant_id, 0 FROM w_customers')\n",
    )
    customers.migration("002_value", "ddl: [value.sql]\nafter_ddl: [{hook: 'shop_hooks_b:Fill', name: fill}]\n")
    ran = migrate_up(customers).expect(0)
    assert rows(ran, "fill") == 300
    shown = customers.run("migrate", "show", "002")
    assert "runs the Python hook shop_hooks_b:Fill" in shown.out
    assert customers.run("migrate", "show", "002", "--format", "json").json["segments"][0]["steps"][1]["hook"] == {
        "name": "shop_hooks_b:Fill",
        "batched": False,
    }


def test_a_step_that_is_skipped_runs_no_hook(customers):
    hooked(customers, "raise ValueError('ran')")
    path = customers.root / "migrations/002_hooked.py"
    path.write_text(path.read_text() + "        self.hook('work', phase='after_ddl', when='1 == 2')\n")
    assert ("after_ddl", "work", "skipped") in migrate_up(customers).expect(0).steps


MISTAKES = {
    "unknown": ("002.yaml", "after_ddl: [{hook: work}]\n", "unknown-hook", "no hook is registered as 'work'"),
    "no module": ("002.yaml", "ddl: [{hook: 'nowhere:X'}]\n", "bad-hook", "No module named 'nowhere'"),
    "no class": ("002.yaml", "ddl: [{hook: 'json:X'}]\n", "bad-hook", "has no attribute 'X'"),
    "no hook": ("002.yaml", "ddl: [{hook: 'json:JSONDecoder'}]\n", "bad-hook", "is not a hook: pass a class"),
    "two kinds": ("002.yaml", "ddl: [{hook: x, sql: SELECT 1}]\n", "step-kind", "found sql and hook"),
    "wrong phase": (
        "002.py",
        IMPORTS
        + "class X(Hook):\n    phase = HookPhase.CLEANUP\n    def execute(self, conn, context):\n        pass\n\n"
        "register_hook('x', X)\n\nclass A(Migration):\n    def up(self):\n        self.hook('x', phase='after_ddl')\n",
        "hook-phase",
        "the hook 'x' is for cleanup, not for after_ddl",
    ),
    "same name": (
        "002.py",
        IMPORTS + "class X(Hook):\n    def execute(self, conn, context):\n        pass\n\nclass Y(X):\n    pass\n\n"
        "register_hook('x', X)\nregister_hook('x', Y)\n",
        "python-failed",
        "this file registers two hooks as 'x'",
    ),
    "no class registered": ("002.py", IMPORTS + "register_hook('x', 5)\n", "python-failed", "5 is not a hook"),
    "batched in down": (
        "002.py",
        IMPORTS + "class X(Hook):\n    batched = True\n    def execute(self, conn, context):\n        pass\n\n"
        "register_hook('x', X)\n\nclass A(Migration):\n    def up(self):\n        self.execute('SELECT 1')\n"
        "    def down(self):\n        self.hook('x')\n",
        "hook-phase",
        "down cannot contain a batched hook",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_before_anything_connects(project, case):
    name, text, code, message = MISTAKES[case]
    project.write(f"migrations/{name}", text)
    (problem,) = problems(project)
    assert (problem.code, problem.span.path) == (code, f"migrations/{name}")
    assert message in problem.message
    assert problem.hint


def test_a_name_that_is_taken_by_a_hook_of_the_settings_is_told(project):
    register = "class X(Hook):\n    def execute(self, conn, context):\n        pass\n\nregister_hook('x', X)\n"
    project.write("shop_hooks_c.py", IMPORTS + register)
    project.write("confiture.yaml", "migrations: migrations\nschemas: schemas\nhooks: shop_hooks_c\n")
    project.write(
        "migrations/002.py",
        IMPORTS + register + "\nclass A(Migration):\n    def up(self):\n        self.hook('x')\n",
    )
    (problem,) = problems(project)
    assert problem.code == "duplicate-hook"
    assert "for all migrations in confiture.yaml:3:8" in problem.message


@pytest.mark.parametrize(
    ("hooks", "message"),
    [("no_such_module", "No module named"), ("json", "the module 'json' registers no hooks"), ("[7]", "expected text")],
)
def test_settings_that_name_no_hooks_are_told(project, hooks, message):
    project.write("confiture.yaml", f"migrations: migrations\nschemas: schemas\nhooks: {hooks}\n")
    with pytest.raises(InputError) as caught:
        loaded(project)
    (problem,) = caught.value.diagnostics
    assert message in problem.message
    assert problem.span
    assert (problem.span.path, problem.span.line) == ("confiture.yaml", 3)


def test_a_hook_registered_by_an_imported_module_is_told(project):
    project.write(
        "shop_hooks_d.py",
        IMPORTS + "class X(Hook):\n    def execute(self, conn, context):\n        pass\n\nregister_hook('stray', X)\n",
    )
    project.write(
        "migrations/002.py",
        IMPORTS + "import shop_hooks_d\n\nclass A(Migration):\n    def up(self):\n        self.execute('SELECT 1')\n",
    )
    (problem,) = problems(project)
    assert problem.code == "stray-hook"


def test_register_hook_takes_classes_only():
    other: Any = object
    with pytest.raises(TypeError, match="is not a hook"):
        register_hook("x", other)
    with pytest.raises(TypeError, match="must be a string"):
        register_hook("", other)
    assert issubclass(HookRefused, RuntimeError)


def test_a_changed_hook_of_an_applied_migration_is_drift_but_not_its_comments(customers):
    path = hooked(customers, "conn.execute('SELECT 1')  # one")
    migrate_up(customers).expect(0)
    text = path.read_text()
    path.write_text(text.replace("# one", "# still one").replace("phase =", "phase  ="))
    migrate_up(customers).expect(0)
    path.write_text(text.replace("SELECT 1", "SELECT 2"))
    assert migrate_up(customers).expect(7).codes == ["drift"]


def test_nothing_is_left_of_a_failed_first_run(customers, database_18):
    (customers.root / "migrations/001_customers.yaml").unlink()
    hooked(customers, "raise SystemExit(3)")
    assert "SystemExit: 3" in migrate_up(customers).expect(4).diagnostic.message
    assert nothing_remains(database_18)


@pytest.mark.parametrize("run", [migrate_up, dry_run])
def test_an_error_that_a_hook_caught_is_told_where_it_came_from(customers, run):
    path = hooked(customers, "try:\n    conn.execute('SELECT 1 / 0')\nexcept Exception:\n    pass")
    told = run(customers).expect(4).diagnostic
    assert (told.code, told.message) == ("22012", "the hook 'work' failed: division by zero")
    assert told.span and told.excerpt
    assert told.span.line == path.read_text().split("\n").index("            conn.execute('SELECT 1 / 0')") + 1
    assert "with conn.transaction():" in told.detail[0]


def test_one_that_commits_past_its_connection_and_fails_then_is_not_said_to_be_rolled_back(customers, database_18):
    hooked(
        customers, "conn.execute('CREATE TABLE left_over ()')\nconn.pgconn.exec_(b'COMMIT')\nraise ValueError('late')"
    )
    ran = migrate_up(customers).expect(5)
    assert ran.codes == ["transaction-ended"]
    assert "ValueError: late" in ran.diagnostic.detail[0]
    assert database_18.value("SELECT to_regclass('left_over')") == "left_over"


def test_a_query_that_is_still_under_way_is_refused(customers, database_18):
    hooked(
        customers,
        "kept.append(conn.cursor().stream('SELECT generate_series(1, 100000)'))\nnext(kept[0])",
        extra="kept = []\n",
    )
    assert "still running" in migrate_up(customers).expect(4).diagnostic.message
    assert history(database_18) == [("001", "applied")]


def test_a_pipeline_is_refused(customers):
    hooked(customers, "with conn.pipeline():\n    conn.execute('SELECT 1')")
    assert "hooks cannot use `pipeline`" in migrate_up(customers).expect(4).diagnostic.message


def test_only_rows_that_are_written_count(customers):
    hooked(
        customers,
        """
with conn.cursor().copy("COPY w_orders TO STDOUT") as copy:
    assert sum(1 for _ in copy) == 3000
insert = "INSERT INTO r_customer_value SELECT id, 1, 0 FROM w_customers WHERE id <= 7 RETURNING id"
assert len(list(conn.cursor().stream(insert))) == 7
assert len(list(conn.cursor().stream("SELECT id FROM w_orders"))) == 3000
""",
    )
    assert rows(migrate_up(customers).expect(0), "work") == 7


def test_scalar_works_whatever_rows_are(customers):
    hooked(
        customers,
        "from psycopg.rows import dict_row\n"
        "assert conn.cursor(row_factory=dict_row).execute('SELECT 7 AS a, 8 AS b').scalar() == 7\n"
        "assert conn.cursor(row_factory=dict_row).execute('SELECT 1 WHERE false').scalar() is None",
    )
    migrate_up(customers).expect(0)


def test_stats_may_hold_anything(customers):
    hooked(
        customers,
        "import threading\n"
        "context.stats['lock'] = threading.Lock()\n"
        "endless = {}\nendless['again'] = endless\n"
        "odd = {(1, 2): float('nan'), 'set': {1}, 'object': context, 'endless': endless}\n"
        "return HookResult('after_ddl', 'work', stats={'odd': odd})",
    )
    path = customers.root / "migrations/002_hooked.py"
    path.write_text(path.read_text() + "        self.execute('VACUUM w_orders', phase='cleanup')\n")
    result = customers.run("migrate", "up", "--format", "json")
    told = result.step("work")["stats"]["odd"]
    assert (told["(1, 2)"], told["set"]) == ("nan", [1])
    assert result.json["outcome"] == "done"


@pytest.mark.parametrize("told", ["float('nan')", "float('inf'), 4", "'half'", "1, '4'", "True"])
def test_progress_is_told_in_numbers(customers, told):
    hooked(customers, f"context.progress({told})")
    assert "progress" in migrate_up(customers).expect(4).diagnostic.message


def test_what_is_printed_leaves_the_report_alone(customers):
    hooked(customers, "print('from the hook')", extra="print('from the file')\n")
    result = customers.run("migrate", "up", "--format", "json")
    assert result.json["outcome"] == "done"
    assert "from the hook" in result.err
    assert "from the file" in result.err


def test_a_message_that_cannot_be_put_together_fails_no_migration(customers, monkeypatch):
    # pytest's own handler raises where others only tell
    monkeypatch.setattr(logging.getLogger("confiture.hooks.work"), "propagate", False)
    hooked(customers, "context.logger.info('%s %s', 1)\ncontext.logger.info('after it')")
    assert "work: after it" in customers.run("migrate", "up", "--format", "json").json["notes"]


def test_a_hook_may_import_from_the_project_while_it_runs(customers):
    customers.write("shop_lately_imported.py", "ANSWER = 42\n")
    hooked(customers, "import shop_lately_imported\nassert shop_lately_imported.ANSWER == 42")
    migrate_up(customers).expect(0)


@pytest.mark.parametrize(
    ("raising", "message"),
    [
        ("import asyncio; raise asyncio.CancelledError('no')", "CancelledError: no"),
        ("import confiture; confiture.Project.load('/')", "InputError: there is no confiture.yaml"),
    ],
)
def test_whatever_it_raises_is_its_own_failure(customers, raising, message):
    hooked(customers, raising)
    told = migrate_up(customers).expect(4).diagnostic
    assert told.code == "hook-failed"
    assert f"the hook 'work' failed: {message}" in told.message
