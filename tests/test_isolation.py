"""The isolation proof on real servers: planted leaks are found, clean statements are proved, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from confiture.core.live_catalog import read_catalog
from confiture.core.tenancy.proving import prove_statement
from confiture.models.isolation import IsolationProof, LeakKind, Standing
from confiture.models.plan import BATCH
from confiture.models.settings import TenancySettings
from confiture.models.source import SourceFile, SourceText
from confiture.plan.rendering import verbatim
from confiture.sql.tree import parsed
from tests.fix_servers import Database

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
        statement = parsed(verbatim(SourceText(text=text, file=SourceFile(path="x.sql", text=text))))[0]
        catalog = read_catalog(self.connection)
        return prove_statement(self.connection, statement, catalog, self.tenancy, tenants, timeout_ms=timeout_ms)

    def standing(self, text: str) -> Standing:
        return self.prove(text).standing

    def kinds(self, text: str) -> set[LeakKind]:
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
    assert proof.standing is Standing.ISOLATED, proof
    assert proof.sample is not None and proof.sample.is_whole and proof.sample.total == 4
    assert proof.rows == 20
    assert [(one.column, one.reason) for one in proof.left_out] == [("id", "gen_random_uuid() is volatile")]
    assert proof.compared == ("tenant_id", "customer_id", "total", "orders")


def test_join_by_id_only(shop: Shop) -> None:
    proof = shop.prove(FILL.replace(" AND o.tenant_id = c.tenant_id", ""))
    assert proof.standing is Standing.MIXED
    assert {leak.kind for leak in proof.leaks} == {LeakKind.FOREIGN, LeakKind.LOST}
    assert {leak.tenant for leak in proof.leaks} == {"1", "2", "3", "4"}
    first = proof.leaks[0]
    assert first.rows == 5 and len(first.shown) == 3 and first.shown[0]["tenant_id"] == "1"


CLEAN = [
    "SELECT tenant_id, row_number() OVER (PARTITION BY tenant_id ORDER BY amount) FROM w_orders",
    "SELECT tenant_id, count(*) FROM w_orders GROUP BY tenant_id",
    "WITH o AS (SELECT * FROM w_orders WHERE amount > 2) SELECT tenant_id, sum(amount) FROM o GROUP BY 1",
    "WITH w_orders AS (SELECT * FROM w_orders) SELECT tenant_id, id FROM w_orders",
    "WITH RECURSIVE r AS (SELECT tenant_id, id FROM w_orders WHERE id = 1 UNION ALL SELECT o.tenant_id, o.id FROM r"
    " JOIN w_orders o ON o.tenant_id = r.tenant_id AND o.id = r.id + 1) SELECT * FROM r",
    "SELECT * FROM v_orders",
    "SELECT c.tenant_id, c.name, v.total FROM w_customers c JOIN v_orders v USING (tenant_id) WHERE v.customer_id = c.id",
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
    ("SELECT tenant_id, row_number() OVER (ORDER BY amount, tenant_id, id) FROM w_orders", LeakKind.FOREIGN),
    ("SELECT min(tenant_id) AS tenant_id, customer_id, sum(amount) FROM w_orders GROUP BY customer_id", LeakKind.FOREIGN),
    ("SELECT tenant_id, (SELECT count(*) FROM w_customers) FROM w_orders", LeakKind.FOREIGN),
    ("SELECT tenant_id, id FROM w_orders o WHERE NOT EXISTS (SELECT 1 FROM w_customers c WHERE c.id = o.id"
     " AND c.tenant_id <> o.tenant_id)", LeakKind.LOST),
    ("WITH c AS (SELECT id, name FROM w_customers) SELECT o.tenant_id, c.name FROM w_orders o JOIN c USING (id)",
     LeakKind.FOREIGN),
    ("SELECT o.tenant_id, v.called FROM w_orders o JOIN v_names v ON v.customer = o.id", LeakKind.FOREIGN),
    ("SELECT 1 AS tenant_id, id FROM w_orders", LeakKind.ASTRAY),
    ("SELECT NULL::bigint AS tenant_id, id FROM w_orders", LeakKind.ASTRAY),
    ("SELECT c.tenant_id, o.id FROM w_orders o LEFT JOIN w_customers c ON c.tenant_id = o.tenant_id AND c.id = o.id",
     LeakKind.ASTRAY),
    ("SELECT tenant_id, id FROM w_orders ORDER BY id LIMIT 3", LeakKind.LOST),
    ("SELECT id AS tenant_id FROM w_orders", LeakKind.ASTRAY),
    ("DELETE FROM w_customers c USING w_orders o WHERE o.customer_id = c.id AND o.tenant_id = 1", LeakKind.FOREIGN),
    ("UPDATE w_orders o SET amount = c.id FROM w_customers c WHERE c.id = o.customer_id AND c.tenant_id = 1",
     LeakKind.FOREIGN),
    ("UPDATE w_orders SET tenant_id = 2 WHERE id = 3", LeakKind.ASTRAY),
    ("UPDATE w_notes n SET tenant_id = o.tenant_id FROM w_orders o WHERE o.id = n.order_id", LeakKind.SHARED),
    ("INSERT INTO w_notes (id, tenant_id) SELECT id, tenant_id FROM w_orders ON CONFLICT (id) DO NOTHING",
     LeakKind.SHARED),
    ("MERGE INTO w_orders o USING w_customers c ON o.id = c.id WHEN MATCHED THEN UPDATE SET amount = c.tenant_id",
     LeakKind.FOREIGN),
    ("MERGE INTO w_orders o USING (SELECT * FROM w_customers WHERE tenant_id > 1) c ON o.id = c.id + 8"
     " WHEN NOT MATCHED THEN INSERT (tenant_id, id) VALUES (1, c.id)", LeakKind.ASTRAY),
]  # fmt: skip


@pytest.mark.parametrize("statement", CLEAN)
def test_clean(shop_18: Shop, statement: str) -> None:
    proof = shop_18.prove(statement)
    assert proof.standing is Standing.ISOLATED, proof


@pytest.mark.parametrize(("statement", "kind"), LEAKY)
def test_leaky(shop_18: Shop, statement: str, kind: LeakKind) -> None:
    proof = shop_18.prove(statement)
    assert proof.standing is Standing.MIXED, proof
    assert kind in {leak.kind for leak in proof.leaks}, proof.leaks
