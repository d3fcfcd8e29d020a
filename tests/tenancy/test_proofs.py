"""The isolation proof on real servers: planted leaks are found, clean statements are proved, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from confiture.core.db.introspection import read_catalog
from confiture.core.tenancy.statement_prover import prove_statement
from confiture.models.plan import BATCH
from confiture.models.settings import TenancySettings
from confiture.models.source import LocatedSource, SourceFile
from confiture.models.tenancy_proofs import IsolationProof, IsolationVerdict, TenantLeakKind
from confiture.plan.rendering import render_verbatim
from confiture.sql.parse_tree import parse_rendered
from tests.support.servers import Database

SCHEMA = """
CREATE TABLE w_customers (tenant_id bigint, id bigint, name text, PRIMARY KEY (tenant_id, id));
CREATE TABLE w_orders (tenant_id bigint, id bigint, customer_id bigint, amount numeric, PRIMARY KEY (tenant_id, id));
CREATE TABLE w_notes (id bigint PRIMARY KEY, tenant_id bigint, order_id bigint, body text);
CREATE TABLE r_totals (id uuid, tenant_id bigint, customer_id bigint, total numeric, orders bigint);
CREATE TABLE r_static_kinds (id bigint PRIMARY KEY, name text);
INSERT INTO w_customers SELECT t, c, format('customer %s', c) FROM generate_series(1, 4) t, generate_series(1, 5) c;
INSERT INTO w_orders SELECT t, o, 1 + o % 5, o * t FROM generate_series(1, 4) t, generate_series(1, 8) o;
INSERT INTO w_notes SELECT o, NULL, o, 'note' FROM generate_series(1, 3) o;
INSERT INTO r_static_kinds VALUES (1, 'one'), (2, 'two');
CREATE VIEW v_orders AS SELECT tenant_id, customer_id, sum(amount) AS total FROM w_orders GROUP BY 1, 2;
CREATE VIEW v_names (customer, called) AS SELECT id, name FROM w_customers;
"""


class Shop:
    """A database whose statements are proved."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = psycopg.connect(database.url, autocommit=True, row_factory=dict_row)
        self.tenancy = TenancySettings()

    def execute(self, text: str) -> None:
        self.connection.execute(text.encode())

    def prove(self, text: str, tenants: int | None = None, timeout_ms: int | None = None) -> IsolationProof:
        statement = parse_rendered(render_verbatim(LocatedSource(text=text, file=SourceFile(path="x.sql", text=text))))[
            0
        ]
        catalog = read_catalog(self.connection)
        return prove_statement(self.connection, statement, catalog, self.tenancy, tenants, timeout_ms=timeout_ms)

    def standing(self, text: str) -> IsolationVerdict:
        return self.prove(text).verdict

    def kinds(self, text: str) -> set[TenantLeakKind]:
        return {leak.kind for leak in self.prove(text).leaks}


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    made = Shop(database)
    made.execute(SCHEMA)
    yield made
    made.connection.close()


@pytest.fixture
def shop_18(database_18: Database) -> Iterator[Shop]:
    made = Shop(database_18)
    made.execute(SCHEMA)
    yield made
    made.connection.close()


FILL = """
INSERT INTO r_totals (id, tenant_id, customer_id, total, orders)
SELECT gen_random_uuid(), c.tenant_id, c.id, COALESCE(SUM(o.amount), 0), COUNT(o.id)
FROM w_customers c
LEFT JOIN w_orders o ON o.customer_id = c.id AND o.tenant_id = c.tenant_id
GROUP BY c.tenant_id, c.id
"""


def test_clean_fill(shop: Shop) -> None:
    proof = shop.prove(FILL)
    assert proof.verdict is IsolationVerdict.ISOLATED, proof
    assert proof.sample is not None and proof.sample.is_complete and proof.sample.total == 4
    assert proof.rows == 20
    assert [(one.column, one.reason) for one in proof.skipped_columns] == [("id", "gen_random_uuid() is volatile")]
    assert proof.compared_columns == ("tenant_id", "customer_id", "total", "orders")


@pytest.mark.parametrize("kind", ["char(3)", "varchar(3)", "bit(3)"])
def test_tenants_of_types_with_a_length(shop_18: Shop, kind: str) -> None:
    """`character` alone means one character; and what is longer in another table is another tenant."""
    tenants = "'001', '010'" if kind == "bit(3)" else "'abc', 'abd'"
    longer = "'0011'" if kind == "bit(3)" else "'abcd'"
    wide = kind.replace("(3)", "(4)").replace("bit", "bit varying")
    shop_18.execute(
        f"""
        CREATE TABLE w_short (id int PRIMARY KEY, tenant_id {kind} NOT NULL, n int);
        CREATE TABLE w_long (id int PRIMARY KEY, tenant_id {wide} NOT NULL, n int);
        INSERT INTO w_short SELECT row_number() OVER (), t::{kind}, 1 FROM unnest(ARRAY[{tenants}]) t;
        INSERT INTO w_long SELECT row_number() OVER (), t::{wide}, 1 FROM unnest(ARRAY[{tenants}, {longer}]) t;
        """
    )
    joined = "SELECT s.tenant_id, l.n FROM w_short s JOIN w_long l ON l.tenant_id::text = s.tenant_id::text"
    proof = shop_18.prove(joined)
    assert (proof.verdict, proof.rows, proof.leaks) == (IsolationVerdict.ISOLATED, 2, ())
    assert shop_18.standing("SELECT s.tenant_id, (SELECT sum(n) FROM w_short) FROM w_short s") is IsolationVerdict.MIXED


def test_join_by_id_only(shop: Shop) -> None:
    proof = shop.prove(FILL.replace(" AND o.tenant_id = c.tenant_id", ""))
    assert proof.verdict is IsolationVerdict.MIXED
    assert {leak.kind for leak in proof.leaks} == {TenantLeakKind.FOREIGN, TenantLeakKind.LOST}
    assert {leak.tenant for leak in proof.leaks} == {"1", "2", "3", "4"}
    first = proof.leaks[0]
    assert first.rows == 5 and len(first.first_rows) == 3 and first.first_rows[0]["tenant_id"] == "1"


CLEAN = [
    "SELECT tenant_id, row_number() OVER (PARTITION BY tenant_id ORDER BY amount) FROM w_orders",
    "SELECT tenant_id, count(*) FROM w_orders GROUP BY tenant_id",
    "WITH o AS (SELECT * FROM w_orders WHERE amount > 2) SELECT tenant_id, sum(amount) FROM o GROUP BY 1",
    "WITH w_orders AS (SELECT * FROM w_orders) SELECT tenant_id, id FROM w_orders",
    "WITH RECURSIVE r AS (SELECT tenant_id, id FROM w_orders WHERE id = 1 UNION ALL SELECT o.tenant_id, o.id FROM r"
    " JOIN w_orders o ON o.tenant_id = r.tenant_id AND o.id = r.id + 1) SELECT * FROM r",
    "SELECT * FROM v_orders",
    "SELECT c.tenant_id, v.total FROM w_customers c JOIN v_orders v USING (tenant_id) WHERE v.customer_id = c.id",
    "SELECT c.tenant_id, c.id, c.name, count(*) FROM w_customers c JOIN w_orders o ON o.tenant_id = c.tenant_id"
    " AND o.customer_id = c.id GROUP BY c.tenant_id, c.id",
    "SELECT tenant_id, array_agg(amount) FROM w_orders GROUP BY tenant_id",
    "SELECT tenant_id, to_jsonb(o) FROM w_orders o",
    "SELECT tenant_id FROM w_orders WHERE tenant_id = 2",
    "SELECT o.tenant_id, k.name FROM w_orders o CROSS JOIN r_static_kinds k",
    "SELECT public.w_orders.tenant_id, public.w_orders.* FROM public.w_orders",
    "SELECT c.tenant_id, x.* FROM w_customers c, LATERAL (SELECT o.id FROM w_orders o WHERE o.tenant_id = c.tenant_id"
    " AND o.customer_id = c.id ORDER BY o.amount % 2 LIMIT 1) x",
    "SELECT DISTINCT ON (tenant_id) tenant_id, id FROM w_orders ORDER BY tenant_id, amount % 2",
    "SELECT tenant_id, now() FROM w_orders",
    "SELECT tenant_id FROM w_orders UNION ALL SELECT 7 FROM r_static_kinds",
    "CREATE TABLE x AS SELECT tenant_id, id FROM w_orders",
    "CREATE VIEW x (a, tenant_id) AS SELECT id, tenant_id FROM w_orders",
    "CREATE MATERIALIZED VIEW x AS SELECT tenant_id, id FROM w_orders",
    "DELETE FROM w_customers c USING w_orders o WHERE o.tenant_id = c.tenant_id AND o.customer_id = c.id",
    "UPDATE w_orders SET amount = amount + 1",
    "UPDATE w_orders o SET amount = (SELECT count(*) FROM w_customers c WHERE c.tenant_id = o.tenant_id)",
    "UPDATE w_orders o SET (amount, customer_id) = (SELECT c.id, 1 FROM w_customers c WHERE c.tenant_id = o.tenant_id"
    " AND c.id = o.customer_id)",
    "INSERT INTO w_orders SELECT tenant_id, id + 100, customer_id, amount FROM w_orders"
    " ON CONFLICT (tenant_id, id) DO UPDATE SET amount = excluded.amount",
    "MERGE INTO w_orders o USING w_customers c ON o.tenant_id = c.tenant_id AND o.id = c.id"
    " WHEN MATCHED AND c.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = c.id"
    " WHEN NOT MATCHED THEN INSERT (tenant_id, id) VALUES (c.tenant_id, c.id)",
]
LEAKY = [
    ("SELECT tenant_id, row_number() OVER (ORDER BY amount, tenant_id, id) FROM w_orders", TenantLeakKind.FOREIGN),
    ("SELECT min(tenant_id) tenant_id, customer_id, sum(amount) FROM w_orders GROUP BY"
        " customer_id", TenantLeakKind.FOREIGN),
    ("SELECT tenant_id, (SELECT count(*) FROM w_customers) FROM w_orders", TenantLeakKind.FOREIGN),
    ("SELECT tenant_id, id FROM w_orders o WHERE NOT EXISTS (SELECT 1 FROM w_customers c WHERE c.id = o.id"
     " AND c.tenant_id <> o.tenant_id)", TenantLeakKind.LOST),
    ("WITH c AS (SELECT id, name FROM w_customers) SELECT o.tenant_id, c.name FROM w_orders o JOIN c USING (id)",
     TenantLeakKind.FOREIGN),
    ("SELECT o.tenant_id, v.called FROM w_orders o JOIN v_names v ON v.customer = o.id", TenantLeakKind.FOREIGN),
    ("SELECT 1 AS tenant_id, id FROM w_orders", TenantLeakKind.OTHER_TENANT),
    ("SELECT NULL::bigint AS tenant_id, id FROM w_orders", TenantLeakKind.NO_TENANT),
    ("SELECT c.tenant_id, o.id FROM w_orders o LEFT JOIN w_customers c ON c.tenant_id = o.tenant_id AND c.id = o.id",
     TenantLeakKind.NO_TENANT),
    ("SELECT tenant_id, id FROM w_orders ORDER BY id LIMIT 3", TenantLeakKind.LOST),
    ("SELECT id AS tenant_id FROM w_orders", TenantLeakKind.OTHER_TENANT),
    ("DELETE FROM w_customers c USING w_orders o WHERE o.customer_id = c.id AND"
        " o.tenant_id = 1", TenantLeakKind.FOREIGN),
    ("UPDATE w_orders o SET amount = c.id FROM w_customers c WHERE c.id = o.customer_id AND c.tenant_id = 1",
     TenantLeakKind.FOREIGN),
    ("UPDATE w_orders SET tenant_id = 2 WHERE id = 3", TenantLeakKind.OTHER_TENANT),
    ("UPDATE w_notes n SET tenant_id = o.tenant_id FROM w_orders o WHERE o.id = n.order_id", TenantLeakKind.SHARED),
    ("INSERT INTO w_notes (id, tenant_id) SELECT id, tenant_id FROM w_orders ON CONFLICT (id) DO NOTHING",
     TenantLeakKind.SHARED),
    ("MERGE INTO w_orders o USING w_customers c ON o.id = c.id WHEN MATCHED THEN UPDATE SET amount = c.tenant_id",
     TenantLeakKind.FOREIGN),
    ("MERGE INTO w_orders o USING (SELECT * FROM w_customers WHERE tenant_id > 1) c ON o.id = c.id + 8"
     " WHEN NOT MATCHED THEN INSERT (tenant_id, id) VALUES (1, c.id)", TenantLeakKind.OTHER_TENANT),
]  # fmt: skip


@pytest.mark.parametrize("statement", CLEAN)
def test_clean(shop_18: Shop, statement: str) -> None:
    proof = shop_18.prove(statement)
    assert proof.verdict is IsolationVerdict.ISOLATED, proof


@pytest.mark.parametrize(("statement", "kind"), LEAKY)
def test_leaky(shop_18: Shop, statement: str, kind: TenantLeakKind) -> None:
    proof = shop_18.prove(statement)
    assert proof.verdict is IsolationVerdict.MIXED, proof
    assert kind in {leak.kind for leak in proof.leaks}, proof.leaks


def test_rows_of_heirs_may_have_the_same_key(shop_18: Shop) -> None:
    shop_18.execute(
        "CREATE TABLE w_parent (tenant_id bigint, id bigint PRIMARY KEY, n bigint);"
        "CREATE TABLE w_heir () INHERITS (w_parent);"
        "INSERT INTO w_parent VALUES (1, 1, 0); INSERT INTO w_heir VALUES (2, 1, 0)"
    )
    update = (
        "UPDATE w_parent p SET tenant_id = o.tenant_id, n = o.amount FROM w_orders o WHERE o.tenant_id = p.tenant_id"
    )
    assert shop_18.standing(update) is IsolationVerdict.ISOLATED
    assert shop_18.kinds(update.replace("o.tenant_id = p.tenant_id", "o.id = p.id"))


def test_sums_of_inexact_numbers_may_differ_in_their_last_digits(shop_18: Shop) -> None:
    shop_18.execute(
        "CREATE TABLE w_weights (tenant_id bigint, weight double precision, small real);"
        "INSERT INTO w_weights SELECT t, sqrt(n * t), sqrt(n) FROM generate_series(1, 3) t, generate_series(1, 500) n;"
        "INSERT INTO w_weights VALUES (1, 'Infinity', 'NaN'), (2, '-0', '-Infinity')"
    )
    by_chance = "CASE WHEN (SELECT count(*) FROM w_weights) > 600 THEN -weight END"
    summed = "SELECT tenant_id, sum(weight ORDER BY {}), sum(small ORDER BY {}) FROM w_weights GROUP BY 1"
    assert shop_18.standing(summed.format("weight", "weight")) is IsolationVerdict.ISOLATED
    in_other_order = summed.format(by_chance, by_chance)
    assert shop_18.standing(in_other_order) is IsolationVerdict.ISOLATED
    whole = "SELECT tenant_id, weight * (SELECT count(*) FROM w_weights) FROM w_weights"
    assert shop_18.standing(whole) is IsolationVerdict.MIXED


def test_sample_says_how_it_was_chosen(shop_18: Shop) -> None:
    shop_18.execute("INSERT INTO w_orders SELECT t, o, 1, 1 FROM generate_series(10, 60) t, generate_series(1, t) o")
    found = shop_18.prove("SELECT tenant_id, id FROM w_orders", tenants=7).sample
    assert found is not None and found.total == 55 and not found.is_complete
    assert found.method == "the 3 largest, the 2 smallest, 2 at random (seed 6)"
    assert found.tenants[:3] == ("60", "59", "58") and found.tenants[-2:] == ("3", "4")
    assert found == shop_18.prove("SELECT tenant_id, id FROM w_orders", tenants=7).sample


def test_one_tenant_and_none(shop_18: Shop) -> None:
    shop_18.execute("DELETE FROM w_orders; DELETE FROM w_customers WHERE tenant_id > 1")
    assert shop_18.standing("SELECT tenant_id, id FROM w_orders") is IsolationVerdict.NO_TENANTS
    one = shop_18.prove(FILL)
    assert one.verdict is IsolationVerdict.ISOLATED and one.sample is not None and one.sample.tenants == ("1",)


def test_more_tenants_than_fit_one_question(shop_18: Shop) -> None:
    shop_18.execute("INSERT INTO w_orders SELECT t, 1, 1, 1 FROM generate_series(10, 130) t")
    proof = shop_18.prove(
        "SELECT o.tenant_id, x.id FROM w_orders o JOIN w_orders x ON x.id = o.id AND x.tenant_id > 120"
    )
    assert proof.sample is not None and proof.sample.total == 125
    assert {leak.tenant for leak in proof.leaks} > {"1", "130"}


@pytest.mark.parametrize(
    ("type_name", "values"),
    [
        ("uuid", ("'11111111-1111-1111-1111-111111111111'", "'22222222-2222-2222-2222-222222222222'")),
        ("text", ("'it''s {one} 100%s'", "'zwei'")),
        ("varchar(10)", ("'a'", "'b'")),
        ("bigint", ("1", "2")),
        ("smallint", ("1", "2")),
    ],
)
def test_types_of_tenants(shop: Shop, type_name: str, values: tuple[str, str]) -> None:
    shop.execute(
        f'CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."Order" (tenant_id {type_name}, "Id" int, "a ""b" text);'
        f"INSERT INTO \"My Shop\".\"Order\" VALUES ({values[0]}, 1, 'x'), ({values[1]}, 1, 'y'), (NULL, 1, 'z')"
    )
    clean = shop.prove('SELECT tenant_id, "Id", "a ""b" FROM "My Shop"."Order"')
    assert clean.verdict is IsolationVerdict.ISOLATED and clean.sample is not None and clean.sample.total == 2, clean
    leaky = shop.prove('SELECT a.tenant_id, b."a ""b" FROM "My Shop"."Order" a JOIN "My Shop"."Order" b USING ("Id")')
    assert leaky.verdict is IsolationVerdict.MIXED and leaky.leaks[0].first_rows[0]['a "b'] is not None


def test_rows_of_no_tenant_are_not_a_tenant_s(shop_18: Shop) -> None:
    shop_18.execute("ALTER TABLE w_orders DROP CONSTRAINT w_orders_pkey, ALTER tenant_id DROP NOT NULL")
    shop_18.execute("INSERT INTO w_orders VALUES (NULL, 1, 1, 5)")
    assert shop_18.standing("SELECT tenant_id, count(*) FROM w_orders GROUP BY 1") is IsolationVerdict.ISOLATED
    query = "SELECT c.tenant_id, o.amount FROM w_customers c JOIN w_orders o ON o.tenant_id = c.tenant_id"
    assert shop_18.standing(query) is IsolationVerdict.ISOLATED
    assert shop_18.kinds(f"{query} OR o.tenant_id IS NULL") == {TenantLeakKind.FOREIGN}


def test_filling_a_tenant_column(shop_18: Shop) -> None:
    """Rows without a tenant are given one: no other tenant may lay claim to them."""
    shop_18.execute("UPDATE w_notes SET order_id = 100 + id")
    shop_18.execute("INSERT INTO w_orders VALUES (1, 101, 1, 1), (2, 102, 1, 1)")
    fill = (
        "UPDATE w_notes n SET tenant_id = o.tenant_id FROM w_orders o WHERE o.id = n.order_id AND n.tenant_id IS NULL"
    )
    assert shop_18.standing(fill) is IsolationVerdict.ISOLATED
    shop_18.execute("INSERT INTO w_orders VALUES (3, 102, 1, 1)")
    (leak,) = shop_18.prove(fill).leaks
    assert (leak.kind, leak.rows) == (TenantLeakKind.SHARED, 1)
    assert leak.first_rows == ({"id": "2", "tenant_id": "2, 3"},)


def test_registry_rows_are_tenants(shop_18: Shop) -> None:
    shop_18.execute(
        "CREATE TABLE tenants (id bigint PRIMARY KEY, plan text);"
        "INSERT INTO tenants SELECT t, 'p' FROM generate_series(1, 5) t;"
        "ALTER TABLE w_orders ADD FOREIGN KEY (tenant_id) REFERENCES tenants"
    )
    good = (
        "SELECT t.id AS tenant_id, count(o.id) FROM tenants t LEFT JOIN w_orders o ON o.tenant_id = t.id GROUP BY t.id"
    )
    proof = shop_18.prove(good)
    assert proof.verdict is IsolationVerdict.ISOLATED and proof.sample is not None and proof.sample.total == 5
    assert shop_18.kinds("SELECT o.tenant_id, t.plan FROM w_orders o CROSS JOIN tenants t") == {TenantLeakKind.FOREIGN}


def test_tables_that_reach_their_tenant_by_key(shop_18: Shop) -> None:
    shop_18.execute(
        "CREATE TABLE w_boxes (id bigint PRIMARY KEY, tenant_id bigint NOT NULL);"
        "CREATE TABLE w_labels (box_id bigint NOT NULL REFERENCES w_boxes, text text);"
        "INSERT INTO w_boxes VALUES (1, 1), (2, 2); INSERT INTO w_labels VALUES (1, 'a'), (2, 'b')"
    )
    shop_18.tenancy = TenancySettings(tables=("w_*",))
    good = "SELECT b.tenant_id, l.text FROM w_boxes b JOIN w_labels l ON l.box_id = b.id"
    assert shop_18.standing(good) is IsolationVerdict.ISOLATED
    assert shop_18.kinds("SELECT b.tenant_id, l.text FROM w_boxes b CROSS JOIN w_labels l") == {TenantLeakKind.FOREIGN}


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("INSERT INTO r_totals (customer_id, total) SELECT customer_id, amount FROM w_orders", "writes no tenant_id"),
        ("INSERT INTO r_static_kinds SELECT id, 'x' FROM w_orders", "writes to r_static_kinds"),
        ("SELECT id FROM w_orders", "returns no tenant_id"),
        ("SELECT tenant_id FROM w_orders WHERE random() < 0.5", "random() is volatile"),
        ("SELECT DISTINCT tenant_id, gen_random_uuid() FROM w_orders", "gen_random_uuid() is volatile"),
        ("SELECT tenant_id FROM w_orders TABLESAMPLE system (10)", "TABLESAMPLE"),
        ("SELECT tenant_id, own(1) FROM w_orders", "own() is not immutable"),
        ("SELECT x.tenant_id FROM r_not_made_yet x", "r_not_made_yet does not exist"),
        ("UPDATE r_not_made_yet SET a = 1", "r_not_made_yet does not exist"),
        ("UPDATE v_names SET called = 'x'", "through the view v_names"),
        ("WITH d AS (DELETE FROM w_orders RETURNING *) SELECT tenant_id FROM d", "a WITH query writes rows"),
        ("SELECT nextval('none')::bigint AS tenant_id, id FROM w_orders", "differs each time"),
        ("SELECT tenant_id, no_such FROM w_orders", "does not exist"),
    ],
)
def test_what_cannot_be_proved_is_not(shop_18: Shop, statement: str, reason: str) -> None:
    shop_18.execute("CREATE FUNCTION own(int) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM w_orders'")
    proof = shop_18.prove(statement)
    assert proof.verdict is IsolationVerdict.NOT_PROVABLE
    assert reason in str(proof.reason)


@pytest.mark.parametrize(
    "statement", ["SELECT 1 AS tenant_id", "INSERT INTO w_notes VALUES (1, 2)", "CREATE TABLE x ()"]
)
def test_nothing_read(shop_18: Shop, statement: str) -> None:
    assert shop_18.standing(statement) is IsolationVerdict.NOTHING_READ


def test_own_functions(shop_18: Shop) -> None:
    shop_18.execute("CREATE FUNCTION f(bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1'")
    shop_18.execute("CREATE SEQUENCE numbers")
    assert shop_18.standing("SELECT tenant_id, f(id) FROM w_orders") is IsolationVerdict.ISOLATED
    proof = shop_18.prove("WITH o AS (SELECT tenant_id, nextval('numbers') n FROM w_orders) SELECT * FROM o")
    assert proof.verdict is IsolationVerdict.ISOLATED
    assert [(one.column, one.reason) for one in proof.skipped_columns] == [("nextval()", "volatile, in a subquery")]
    assert shop_18.database.value("SELECT is_called FROM numbers") is False


def test_batches_and_locks_are_taken_out(shop_18: Shop) -> None:
    fill = FILL.replace("GROUP BY", f"WHERE {BATCH} GROUP BY")
    assert shop_18.standing(fill) is IsolationVerdict.ISOLATED
    assert shop_18.standing("SELECT tenant_id FROM w_orders FOR UPDATE") is IsolationVerdict.ISOLATED


def test_search_path(shop_18: Shop) -> None:
    """Names are looked up as the session does, those in views as the view did."""
    shop_18.execute(
        "CREATE SCHEMA app; CREATE TABLE app.w_orders (tenant_id int, id int); SET search_path = app, public"
    )
    shop_18.execute("INSERT INTO app.w_orders VALUES (7, 1)")
    found = shop_18.prove("SELECT tenant_id, id FROM w_orders").sample
    assert found is not None and found.tenants == ("7",)
    of_view = shop_18.prove("SELECT * FROM v_orders").sample
    assert of_view is not None and of_view.total == 4


def test_row_security_is_not_taken_for_isolation(shop: Shop) -> None:
    shop.execute(
        "ALTER TABLE w_orders ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON w_orders USING (tenant_id = 1);"
        f"CREATE ROLE {shop.database.name}_r; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {shop.database.name}_r;"
        f"SET ROLE {shop.database.name}_r"
    )
    proof = shop.prove("SELECT tenant_id, id FROM w_orders")
    shop.execute(f"RESET ROLE; DROP OWNED BY {shop.database.name}_r; DROP ROLE {shop.database.name}_r")
    assert proof.verdict is IsolationVerdict.NOT_PROVABLE
    assert "row-level security" in str(proof.reason) and "BYPASSRLS" in str(proof.hint)


def test_within_a_transaction_that_goes_on(shop: Shop) -> None:
    """As in a dry run: what it wrote is seen, nothing is taken back, and it can go on writing."""
    with shop.connection.transaction():
        shop.execute("CREATE TABLE w_new (tenant_id bigint, id bigint); INSERT INTO w_new VALUES (1, 1), (2, 1)")
        assert shop.standing("SELECT a.tenant_id, b.id FROM w_new a JOIN w_new b USING (id)") is IsolationVerdict.MIXED
        assert shop.standing("SELECT nothing FROM w_new") is IsolationVerdict.NOT_PROVABLE
        shop.execute("INSERT INTO w_new VALUES (3, 1)")
    assert shop.database.value("SELECT count(*) FROM w_new") == 3


def test_nothing_is_written(shop: Shop) -> None:
    """Not even a transaction id is used up."""
    with shop.connection.transaction():
        for statement in (FILL, CLEAN[-1], "DELETE FROM w_orders", "CREATE TABLE y AS TABLE w_orders"):
            assert shop.prove(statement).sample
        (used,) = shop.connection.execute("SELECT pg_current_xact_id_if_assigned() AS used").fetchall()
        assert used == {"used": None}


def test_tenants_are_asked_one_by_one(shop_18: Shop) -> None:
    """In one query for all, PostgreSQL 18.6 gave a tenant the answer of an EXISTS for another."""
    shop_18.execute(
        "CREATE TABLE b (tenant_id bigint, id bigint PRIMARY KEY, val bigint, UNIQUE (tenant_id, id));"
        "CREATE TABLE d (tenant_id bigint NOT NULL, id bigint, val bigint);"
        "INSERT INTO b SELECT 1 + n % 3, n, n % 4 FROM generate_series(1, 17) n;"
        "INSERT INTO d SELECT 1 + n % 3, n, n % 5 FROM generate_series(1, 12) n"
    )
    found = "EXISTS (SELECT 1 FROM b WHERE b.val = d.val AND b.tenant_id = d.tenant_id)::int"
    query = f"SELECT DISTINCT o.tenant_id, o.id FROM w_orders o JOIN d ON d.tenant_id = o.tenant_id AND o.id = {found}"
    assert shop_18.standing(query) is IsolationVerdict.ISOLATED


def test_time_limit(shop_18: Shop) -> None:
    shop_18.execute("INSERT INTO w_orders SELECT 1, o, 1, 1 FROM generate_series(100, 3000) o")
    slow = "SELECT a.tenant_id, sum(b.id * c.id) FROM w_orders a, w_orders b, w_orders c GROUP BY 1"
    proof = shop_18.prove(slow, timeout_ms=50)
    assert proof.verdict is IsolationVerdict.NOT_PROVABLE
    assert proof.reason == "the proof takes longer than 50 ms"


def test_old_views_of_materialized_rows(shop_18: Shop) -> None:
    """A materialized view that shows the tenant is read as a table; one that does not, as its definition."""
    shop_18.execute(
        "CREATE MATERIALIZED VIEW m_shown AS SELECT tenant_id, count(*) n FROM w_orders GROUP BY 1;"
        "CREATE MATERIALIZED VIEW m_hidden AS SELECT count(*) n FROM w_orders"
    )
    shown = "SELECT c.tenant_id, m.n FROM w_customers c JOIN m_shown m USING (tenant_id)"
    assert shop_18.standing(shown) is IsolationVerdict.ISOLATED
    assert shop_18.kinds("SELECT c.tenant_id, m.n FROM w_customers c, m_hidden m") == {
        TenantLeakKind.FOREIGN,
        TenantLeakKind.LOST,
    }


PROJECT = """
tenancy:
  tables: [w_*, r_*]
  except: [r_static_*]
migrations: migrations
schemas: schemas
"""


def test_command(shop_18: Shop, project) -> None:
    project.environ["DATABASE_URL"] = shop_18.database.url
    project.write("confiture.yaml", PROJECT)
    steps = "".join(f"      {line}\n" for line in FILL.strip().splitlines())
    project.migration("001_fill", f"after_ddl:\n  - name: fill\n    sql: |\n{steps}")
    clean = project.run("tenancy", "prove", "001", "--format", "json")
    (found,) = clean.json["statements"]
    assert (found["standing"], found["target"], found["line"]) == ("isolated", "r_totals", 4)
    assert found["sample"] == {"tenants": ["1", "2", "3", "4"], "total": 4, "how": "all"}
    project.migration("002_mix", f"after_ddl:\n  - sql: |\n{steps.replace(' AND o.tenant_id = c.tenant_id', '')}")
    mixed = project.run("tenancy", "prove", "--tenants", "2", expect=1)
    assert "r_totals mixes tenants" in mixed.out
    assert "2 of 4 tenants were checked: the largest, the smallest." in mixed.out
    assert "that it gets only because of other tenants' rows" in mixed.out
    assert shop_18.database.value("SELECT count(*) FROM r_totals") == 0
    project.run("tenancy", "prove", "--tenants", "2", "--all", expect=2)
    project.run("tenancy", "prove", "009", expect=2)
