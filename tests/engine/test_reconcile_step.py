"""The step `reconcile:`: what is equal, what differs, and what cannot be compared."""

from __future__ import annotations

import pytest

from tests.support.engine import Ran, dry_run, migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

SOURCE = """\
CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id int, amount numeric(10,2), note text);
INSERT INTO w_orders SELECT n, n % 3, n, 'note ' || n FROM generate_series(1, 30) n;
CREATE TABLE r_orders (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id int, order_id bigint NOT NULL UNIQUE, amount numeric(12,2),
    note varchar(40), updated_at timestamptz NOT NULL DEFAULT now());
INSERT INTO r_orders (tenant_id, order_id, amount, note) SELECT tenant_id, id, amount, note FROM w_orders;
"""
QUERY = "SELECT tenant_id, id AS order_id, amount, note FROM w_orders"


def _migration(
    shop: Project, query: str = QUERY, table: str = "r_orders", before: str = "SELECT 1", more: str = ""
) -> None:
    shop.migration(
        "001_reconcile",
        f"""\
        before_ddl:
          - sql: |
              {before}
        after_validation:
          - name: the proof
            reconcile:
              table: {table}
              sql: |
                {query}
              {more}
        """,
    )


def _ran(shop: Project, database: Database, **options: str) -> Ran:
    database.execute(SOURCE)
    _migration(shop, **options)
    return migrate_up(shop)


def _note(ran: Ran) -> str:
    return next(note for event in ran.events if (note := getattr(event, "note", None)))


@pytest.mark.parametrize(
    ("kind", "value", "cut"),
    [
        ("varchar(3)", "'abcd'", "'abc'"),
        ("char(3)", "'abcd'", "'abc'"),
        ("bit(2)", "B'011'", "B'01'"),
        ("varchar(3)[]", "ARRAY['abcd']", "ARRAY['abc']"),
    ],
)
def test_what_is_too_long_for_the_table_is_not_cut_off(shop_18, database_18, kind, value, cut):
    """An INSERT would fail where a cast only shortens."""
    database_18.execute(f"CREATE TABLE r_cut (id int PRIMARY KEY, v {kind}); INSERT INTO r_cut VALUES (1, {cut})")
    _migration(shop_18, f"SELECT 1 AS id, {cut} AS v", "r_cut")
    migrate_up(shop_18).expect(0)
    shop_18.write(
        "migrations/002_again.yaml",
        f'after_validation: [reconcile: {{table: r_cut, sql: "SELECT 1 AS id, {value} AS v"}}]',
    )
    assert "1 changed" in " ".join(migrate_up(shop_18).expect(1).diagnostic.detail)


def test_names_with_dots_and_capitals_are_found(shop_18, database_18):
    database_18.execute('CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."R.Sums" (id int PRIMARY KEY, "order" int)')
    query = 'SELECT 1 AS id, 2 AS "order" WHERE false'
    shop_18.write(
        "migrations/001_it.yaml",
        f"after_validation: [reconcile: {{table: '\"a.b\".\"R.Sums\"', sql: '{query}'}}]",
    )
    migrate_up(shop_18).expect(0)


def test_an_equal_table_is_proved_and_the_proof_kept(shop, database):
    ran = _ran(shop, database).expect(0)
    assert _note(ran) == "30 rows equal, in 3 groups by tenant_id; not compared: id, updated_at"
    ((rows, groups, by, outcome, left_out, differences),) = database.rows(
        "SELECT rows, groups, grouped_by, outcome, not_compared, differences FROM confiture.reconciliations"
    )
    assert (rows, groups, by, outcome, differences) == (30, 3, "tenant_id", "equal", None)
    assert left_out == {"id": "the query does not return it", "updated_at": "the query does not return it"}
    assert database.value("SELECT steps->1->>'name' FROM confiture.journal") == "the proof"


def test_a_dry_run_proves_it_as_well(shop, database):
    database.execute(SOURCE)
    _migration(shop)
    ran = dry_run(shop).expect(0)
    assert "30 rows equal" in _note(ran)
    assert database.value("SELECT to_regclass('confiture.reconciliations')") is None


def test_what_falls_back_to_text_does_so_within_the_transaction(shop, database):
    """Types are tried in savepoints, whose failures must not end it, also under the eyes of a dry run."""
    database.execute(SOURCE + "CREATE TABLE r_documents (id int PRIMARY KEY, document json)")
    before = """INSERT INTO r_documents VALUES (1, '{"a": 1}')"""
    _migration(shop, before=before, table="r_documents", query="""SELECT 1 AS id, '{"a": 1}'::json AS document""")
    for run in (dry_run, migrate_up):
        assert _note(run(shop).expect(0)) == "1 row equal; compared as text: document"


def test_the_plan_shows_it(shop_18):
    _migration(shop_18, more="by: tenant_id")
    assert "compared with r_orders, by tenant_id" in shop_18.run("migrate", "show", "1").out


def test_the_plan_for_machines_holds_it(shop_18):
    def shown(more: str) -> tuple[dict, str]:
        _migration(shop_18, more=more)
        (segment,) = shop_18.run("migrate", "show", "1", "--format", "json").json["segments"]
        before, proof = segment["steps"]
        assert before["reconcile"] is None
        return proof["reconcile"], segment["fingerprint"]

    default, named = shown(""), shown("by: note")
    assert default[0] == {"table": "r_orders", "key": [], "by": "tenant_id", "by_default": True}
    assert named[0] == {"table": "r_orders", "key": [], "by": "note", "by_default": False}
    assert default[1] != named[1], "another proof is another segment"


def test_another_table_is_drift(shop, database):
    _ran(shop, database).expect(0)
    _migration(shop, table="w_orders")
    assert migrate_up(shop).expect(7).diagnostic.code == "drift"


def test_rows_that_differ_are_named(shop, database):
    before = (
        "DELETE FROM r_orders WHERE order_id = 4; UPDATE r_orders SET amount = 99, note = NULL WHERE order_id = 7;"
        " INSERT INTO r_orders (tenant_id, order_id, amount) VALUES (1, 100, 5)"
    )
    ran = _ran(shop, database, before=before).expect(1)
    assert ran.diagnostic.code == "reconcile-failed"
    assert str(ran.diagnostic.span) == "migrations/001_reconcile.yaml:9:9"
    assert ran.diagnostic.detail == (
        "r_orders contains 30 rows; its query returns 30",
        "1 of 3 groups by tenant_id differ: 1",
        "rows that differ: 1 missing, 1 extra, 1 changed",
        "missing (order_id=4): tenant_id=1, amount=4.00, note=note 4",
        "changed (order_id=7): amount is 99.00, must be 7.00; note is NULL, must be note 7",
        "extra (order_id=100): tenant_id=1, amount=5.00, note=NULL",
        "not compared: id, updated_at",
    )
    assert database.value("SELECT count(*) FROM confiture.reconciliations") == 0


def test_a_row_in_the_wrong_tenant_is_found_though_the_sums_of_all_agree(shop, database):
    swapped = "UPDATE r_orders SET tenant_id = 2 - tenant_id WHERE order_id IN (2, 3)"
    ran = _ran(shop, database, before=swapped).expect(1)
    assert "changed (order_id=2): tenant_id is 0, must be 2" in ran.diagnostic.detail


def test_it_stops_midway_where_something_was_committed(shop, database):
    database.execute(SOURCE)
    before = "CREATE INDEX CONCURRENTLY r_note ON r_orders (note); DELETE FROM r_orders WHERE order_id = 1"
    _migration(shop, before=before)
    migrate_up(shop).expect(5)
    shop.migration("001_reconcile", (shop.root / "migrations/001_reconcile.yaml").read_text().replace("= 1", "= 0"))
    migrate_up(shop).expect(0)
    assert database.value("SELECT count(*) FROM confiture.reconciliations") == 1


REFUSED = [
    ("SELECT 1 AS x, 2 AS y", "", "reconcile-columns", "the query returns x, y, but r_orders has no such column"),
    ("SELECT 1 AS note, 2 AS note", "", "reconcile-columns", "the query returns note more than once"),
    ("SELECT gen_random_uuid() AS id", "", "reconcile-columns", "the query returns no column that can be compared"),
    (QUERY, "key: [id]", "reconcile-key", "the key column id is not compared"),
    (QUERY, "by: region", "reconcile-key", "`by` names region, which the query does not return"),
    (
        QUERY + " WHERE random() < 2",
        "",
        "reconcile-volatile",
        "the query selects its rows using random(): it returns different rows each time",
    ),
    (
        "SELECT nextval('s') AS order_id, note FROM w_orders",
        "",
        "reconcile-volatile",
        "the query calls nextval(): a comparison would consume sequence values",
    ),
    (
        "SELECT true AS updated_at, note FROM w_orders",
        "",
        "reconcile-types",
        "the query's updated_at does not match the table's type: cannot cast type boolean to timestamp with time zone",
    ),
    ("SELECT nots AS note FROM w_orders", "", "42703", 'column "nots" does not exist'),
    ("SELECT (1 / (id - id))::text AS note FROM w_orders", "", "22012", "division by zero"),
]


@pytest.mark.parametrize(("query", "more", "code", "message"), REFUSED)
def test_what_cannot_be_compared_is_refused(shop_18, database_18, query, more, code, message):
    database_18.execute("CREATE SEQUENCE s")
    ran = _ran(shop_18, database_18, query=query, more=more).expect(4)
    assert (ran.diagnostic.code, ran.diagnostic.message) == (code, message)
    assert ran.diagnostic.span


def test_a_missing_table_is_told(shop_18, database_18):
    assert _ran(shop_18, database_18, table="r_nothing").diagnostic.message == "there is no table r_nothing"
