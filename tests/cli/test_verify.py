"""`confiture reconcile` and `confiture verify`: what they print, how they end, and that they write nothing."""

from __future__ import annotations

import re

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.projects import Project
from tests.support.servers import Database

FIRST = """\
    name: add_totals
    before_ddl:
      - sql: |
          CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id int, customer text, amount numeric);
          INSERT INTO w_orders SELECT n, n % 3, 'c' || n % 5, n FROM generate_series(1, 60) n;
          CREATE TABLE r_totals (id uuid DEFAULT gen_random_uuid(), tenant_id int, customer text, total numeric,
                                 PRIMARY KEY (tenant_id, customer));
    after_ddl:
      - sql: >-
          INSERT INTO r_totals (tenant_id, customer, total)
          SELECT tenant_id, customer, sum(amount) FROM w_orders GROUP BY 1, 2
    after_validation:
      - name: every order has a customer
        check: SELECT count(*) FROM w_orders WHERE customer IS NULL
        expect: 0
      - name: totals are those of the orders
        reconcile:
          table: r_totals
          sql: SELECT tenant_id, customer, sum(amount) AS total FROM w_orders GROUP BY 1, 2
      - sql: ANALYZE r_totals
      - check: SELECT 1
        expect: 1
        when: environment == 'sunday'
    """
SECOND = """\
    name: rename_amount
    ddl:
      - sql: ALTER TABLE w_orders ADD COLUMN tax numeric NOT NULL DEFAULT 0
    after_validation:
      - name: no tax yet
        check: SELECT count(*) FROM w_orders WHERE tax <> 0
        expect: 0
    """
SPOILED = """\
    UPDATE r_totals SET total = total + 1 WHERE (tenant_id, customer) = (1, 'c2');
    DELETE FROM r_totals WHERE (tenant_id, customer) = (1, 'c3');
    INSERT INTO r_totals (id, tenant_id, customer, total) VALUES (gen_random_uuid(), 9, NULLIF('x', 'y'), 5);
    """


@pytest.fixture
def applied(shop_18: Project) -> Project:
    shop_18.migration("001_totals", FIRST)
    shop_18.migration("002_tax", SECOND)
    shop_18.environ["COLUMNS"] = "160"
    shop_18.run("migrate", "up")
    return shop_18


def _printed(text: str) -> str:
    """Without what differs from run to run: times, the widths of the columns that hold them, the database."""
    text = re.sub(r"\d+(\.\d+)? (ms|s)\b", "N ms", text)
    text = re.sub(r" +(N ms|Time)", r"  \1", re.sub("─+", "─", text))
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"postgres@\S+/\w+", "DATABASE", text)


def test_verify_prints_what_holds(applied, snapshot: SnapshotAssertion):
    assert _printed(applied.run("verify").out) == snapshot


def test_verify_prints_what_fails_and_what_cannot_run(applied, database_18, snapshot: SnapshotAssertion):
    database_18.execute(
        SPOILED + "ALTER TABLE w_orders RENAME tax TO vat; UPDATE w_orders SET customer = NULL WHERE id = 1"
    )
    result = applied.run("verify", expect=1)
    assert _printed(result.out) == snapshot


def test_what_cannot_run_any_more_fails_only_if_asked_for(applied, database_18):
    database_18.execute("ALTER TABLE w_orders RENAME tax TO vat")
    out = applied.run("verify").out
    assert 'can no longer run: column "tax" does not exist' in out
    applied.run("verify", "--strict", expect=1)
    database_18.execute("DROP TABLE r_totals")
    steps = applied.run("verify", "1", "--format", "json").json["steps"]
    assert [step["verdict"] for step in steps] == ["holds", "cannot run", "skipped", "skipped"]


def test_what_fails_while_it_runs_fails(applied, database_18):
    applied.migration("003_share", "after_validation: [{check: SELECT 60 / count(*) FROM w_orders, expect: 1}]")
    applied.run("migrate", "up")
    database_18.execute("DELETE FROM w_orders")
    assert "error[22012]: division by zero" in applied.run("verify", "3", expect=1).out


def test_verify_writes_nothing(applied, database_18):
    database_18.execute(
        "CREATE TABLE log (x int);"
        "CREATE FUNCTION noisy() RETURNS int LANGUAGE sql AS 'INSERT INTO log VALUES (1) RETURNING 0'"
    )
    applied.migration("003_noisy", "after_validation: [{check: SELECT noisy(), expect: 0}]")
    applied.run("migrate", "up")
    assert (
        "cannot run in a read-only transaction: cannot execute INSERT in a read-only transaction"
        in applied.run("verify").out
    )
    assert database_18.value("SELECT count(*) FROM log") == 1


def test_verify_tells_of_files_that_are_gone_or_changed(applied):
    (applied.root / "migrations/002_tax.yaml").unlink()
    applied.migration("001_totals", FIRST.replace("customer IS NULL", "customer = ''"))
    told = applied.run("verify").out
    assert "002 rename_amount: its file is missing" in told
    assert "001 add_totals: its file has changed since it was applied" in told


def test_verify_of_what_is_not_applied(applied):
    applied.migration("003_later", "ddl: [sql: SELECT 1]")
    assert "003 later is not applied" in applied.run("verify", "3", expect=2).err
    assert "Nothing to verify" not in applied.run("verify", "2").out


def test_verify_of_an_empty_database(shop_18):
    shop_18.migration("001_totals", FIRST)
    assert "Nothing to verify" in shop_18.run("verify").out


def test_reconcile_a_migration(applied, database_18, snapshot: SnapshotAssertion):
    assert _printed(applied.run("reconcile", "1").out) == (
        "001 add_totals: totals are those of the orders: r_totals: 15 rows equal, in 3 groups by tenant_id;"
        " not compared: id (N ms, DATABASE).\n"
    )
    database_18.execute(SPOILED)
    assert _printed(applied.run("reconcile", "1", expect=1).out) == snapshot
    assert "002 rename_amount has no `reconcile:` step" in applied.run("reconcile", "2", expect=2).err


def test_reconcile_a_table(applied, database_18, snapshot: SnapshotAssertion):
    database_18.execute(SPOILED)
    text = "SELECT tenant_id, customer, sum(amount) AS total\nFROM w_orders GROUP BY 1, 2; -- {{ all }}"
    file = applied.write("totals.sql", text)
    document = applied.run("reconcile", "r_totals", "--file", str(file), "--format", "json", expect=1).json
    (step,) = document["steps"]
    reconciled = step["reconciled"]
    assert (step["verdict"], reconciled["rows"], reconciled["expected_rows"]) == ("fails", 15, 15)
    assert {name: reconciled["differences"][name] for name in ("missing", "extra", "changed", "is_exact")} == {
        "missing": 1,
        "extra": 1,
        "changed": 1,
        "is_exact": True,
    }
    query = "SELECT tenant_id, customer, sum(amount) AS total FROM w_orders GROUP BY 1, 2"
    told = applied.run("reconcile", "r_totals", "--sql", query, "--by", "customer", "--key", "total", expect=1).out
    assert _printed(told) == snapshot


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r_totals", "--sql", "SELECT 1", "--file", "x.sql"], "--sql and --file are mutually exclusive"),
        (["r_totals", "--key", "id"], "--key and --by require --sql or --file"),
        (["r_totals", "--file", "nowhere.sql"], "nowhere.sql: no such file or directory"),
        (["r_totals", "--sql", "SELEKT 1"], "syntax error"),
        (["r_totals", "--sql", "SELECT 1; SELECT 2"], "a reconcile must be a single query; found 2 statements"),
        (["r_totals", "--sql", "DELETE FROM r_totals"], "a reconcile must be a query: SELECT, VALUES, TABLE or WITH"),
        (["r totals", "--sql", "SELECT 1 AS x"], "'r totals' is not a table name"),
        (["r_nothing", "--sql", "SELECT 1 AS x"], "there is no table r_nothing"),
        (["r_totals", "--sql", "SELECT 1 AS totals"], "did you mean totals AS total?"),
        (["r_totals", "--sql", "SELECT missing AS total FROM w_orders"], 'column "missing" does not exist'),
        (["099"], "099"),
    ],
)  # fmt: skip
def test_bad_input_is_told(applied, arguments, message):
    assert message in applied.run("reconcile", *arguments, expect=2).err


def test_nothing_is_left_behind(shop_18, database_18: Database):
    database_18.execute("CREATE TABLE r (id int PRIMARY KEY); INSERT INTO r VALUES (1)")
    told = shop_18.run("reconcile", "r", "--sql", "SELECT 1 AS id").out
    assert "r: 1 row equal (" in told
    assert database_18.value("SELECT to_regnamespace('confiture')") is None


def test_what_holds_only_once_is_left_out(shop_18, database_18):
    shop_18.migration(
        "001_table",
        """
        ddl: [sql: CREATE TABLE t (id int)]
        after_validation:
          - name: it is empty
            check: SELECT count(*) FROM t
            expect: 0
            once: true
        """,
    )
    shop_18.run("migrate", "up")
    database_18.execute("INSERT INTO t VALUES (1)")
    assert "skipped" in shop_18.run("verify").out
