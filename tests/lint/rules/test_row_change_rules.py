"""Which changes of rows have a bound, and which do not."""

from __future__ import annotations

import pytest

from tests.support.rule_cases import Asked, relations

UNBOUNDED = {
    "no WHERE": ("UPDATE w_orders SET status = 'x'", ["w_orders"]),
    "DELETE without WHERE": ("DELETE FROM w_orders", ["w_orders"]),
    "WHERE true": ("DELETE FROM w_orders WHERE true", ["w_orders"]),
    "WHERE 1 = 1": ("DELETE FROM w_orders WHERE 1 = 1", ["w_orders"]),
    "WHERE false": ("DELETE FROM w_orders WHERE false", []),
    "the key": ("UPDATE w_orders SET status = 'x' WHERE id = 5", []),
    "the key on the right": ("UPDATE w_orders SET status = 'x' WHERE 5 = id", []),
    "the key and more": ("UPDATE w_orders SET status = 'x' WHERE id = 5 AND status IS NULL", []),
    "the key or more": ("UPDATE w_orders SET status = 'x' WHERE id = 5 OR status IS NULL", ["w_orders"]),
    "one key or another": ("UPDATE w_orders SET status = 'x' WHERE id = 5 OR id = 6", []),
    "not the key": ("UPDATE w_orders SET status = 'x' WHERE id <> 5", ["w_orders"]),
    "NOT of the key": ("UPDATE w_orders SET status = 'x' WHERE NOT id = 5", ["w_orders"]),
    "a list of keys": ("DELETE FROM w_orders WHERE id IN (1, 2, 3)", []),
    "all but a list": ("DELETE FROM w_orders WHERE id NOT IN (1, 2, 3)", ["w_orders"]),
    "an array of keys": ("DELETE FROM w_orders WHERE id = ANY ('{1,2,3}')", []),
    "an array constructor": ("DELETE FROM w_orders WHERE id = ANY (ARRAY[1, 2])", []),
    "a key of two columns": ("DELETE FROM w_orders WHERE tenant_id = 1 AND number = 'A'", []),
    "a row of two columns": ("DELETE FROM w_orders WHERE (tenant_id, number) = (1, 'A')", []),
    "rows of two columns": ("DELETE FROM w_orders WHERE (tenant_id, number) IN ((1, 'A'), (1, 'B'))", []),
    "half a key": ("DELETE FROM w_orders WHERE tenant_id = 1", ["w_orders"]),
    "half a key in a range": ("DELETE FROM w_orders WHERE tenant_id = 1 AND number BETWEEN 'A' AND 'B'", []),
    "a column without a key": ("UPDATE w_orders SET status = 'x' WHERE status = 'y'", ["w_orders"]),
    "a range of keys": ("UPDATE w_orders SET status = 'x' WHERE id >= 1 AND id < 1001", []),
    "a range turned round": ("UPDATE w_orders SET status = 'x' WHERE 1 <= id AND 1001 > id", []),
    "BETWEEN": ("UPDATE w_orders SET status = 'x' WHERE id BETWEEN 1 AND 1000", []),
    "NOT BETWEEN": ("UPDATE w_orders SET status = 'x' WHERE id NOT BETWEEN 1 AND 1000", ["w_orders"]),
    "half a range": ("UPDATE w_orders SET status = 'x' WHERE id > 1000", ["w_orders"]),
    "two lower ends": ("UPDATE w_orders SET status = 'x' WHERE id > 1000 AND id > 2000", ["w_orders"]),
    "a range as wide as the table": (
        "UPDATE w_orders SET status = 'x' WHERE id BETWEEN 1 AND 2000000000",
        ["w_orders"],
    ),
    "a range of something else": ("UPDATE w_orders SET status = 'x' WHERE amount BETWEEN 1 AND 2", ["w_orders"]),
    "LIMIT": ("DELETE FROM w_orders WHERE id IN (SELECT id FROM w_orders WHERE status = 'x' LIMIT 1000)", []),
    "LIMIT of millions": ("DELETE FROM w_orders WHERE id IN (SELECT id FROM w_orders LIMIT 5000000)", ["w_orders"]),
    "LIMIT ALL": ("DELETE FROM w_orders WHERE id IN (SELECT id FROM w_orders LIMIT ALL)", ["w_orders"]),
    "LIMIT of other keys": (
        "DELETE FROM w_orders WHERE customer_id IN (SELECT id FROM w_customers LIMIT 10)",
        ["w_orders"],
    ),
    "LIMIT of row addresses": (
        "DELETE FROM w_orders WHERE ctid = ANY (ARRAY(SELECT ctid FROM w_orders WHERE amount = 0 LIMIT 1000))",
        [],
    ),
    "no LIMIT": ("DELETE FROM w_orders WHERE id IN (SELECT id FROM w_orders WHERE status = 'x')", ["w_orders"]),
    "a batch in WITH": (
        "WITH batch AS (SELECT id FROM w_orders WHERE status = 'x' LIMIT 1000 FOR UPDATE SKIP LOCKED)"
        " UPDATE w_orders o SET status = 'y' FROM batch b WHERE b.id = o.id",
        [],
    ),
    "WITH without LIMIT": (
        "WITH batch AS (SELECT id FROM w_orders WHERE status = 'x')"
        " UPDATE w_orders o SET status = 'y' FROM batch b WHERE b.id = o.id",
        ["w_orders"],
    ),
    "a batch that is not joined": (
        "WITH batch AS (SELECT id FROM w_orders LIMIT 10) UPDATE w_orders o SET status = 'y' FROM batch b",
        ["w_orders"],
    ),
    "a scalar subquery": ("UPDATE w_orders SET status = 'x' WHERE id = (SELECT max(id) FROM w_orders)", []),
    "a correlated subquery": (
        "UPDATE w_orders o SET status = 'x'"
        " WHERE id = (SELECT max(i.id) FROM w_orders i WHERE i.tenant_id = o.tenant_id)",
        ["w_orders"],
    ),
    "FROM a table": (
        "UPDATE w_orders o SET status = c.name FROM w_customers c WHERE c.id = o.customer_id",
        ["w_orders"],
    ),
    "FROM a table by our key": ("UPDATE w_orders o SET status = 'x' FROM w_jobs j WHERE j.id = o.id", ["w_orders"]),
    "FROM values": (
        "UPDATE w_orders o SET status = v.s FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, s) WHERE v.id = o.id",
        [],
    ),
    "FROM values by no key": (
        "UPDATE w_orders o SET status = v.s FROM (VALUES ('a', 'b')) AS v (old, s) WHERE v.old = o.status",
        ["w_orders"],
    ),
    "FROM unnest": (
        "UPDATE w_orders o SET status = 'x' FROM unnest('{1,2}'::bigint[]) AS u (id) WHERE u.id = o.id",
        [],
    ),
    "USING a table": ("DELETE FROM w_orders o USING w_customers c WHERE c.id = o.customer_id", ["w_orders"]),
    "USING and our key": ("DELETE FROM w_orders o USING w_customers c WHERE c.id = o.customer_id AND o.id = 7", []),
    "their key": ("DELETE FROM w_orders o USING w_customers c WHERE c.id = 7 AND c.id = o.customer_id", ["w_orders"]),
    "an unknown table": ("DELETE FROM w_legacy WHERE note IS NULL", ["w_legacy"]),
    "one of PostgreSQL's own": ("UPDATE pg_index SET indisvalid = true", []),
    "an unknown table by id": ("DELETE FROM w_legacy WHERE id = 4", []),
    "quoted names": ('UPDATE "w_Odd Names" SET "select" = NULL', ["w_Odd Names"]),
    "a quoted key": ('UPDATE "w_Odd Names" SET "select" = NULL WHERE "Id" = 4', []),
    "another schema": ("DELETE FROM stock.items", ["stock.items"]),
    "a view": ("DELETE FROM v_orders", ["v_orders"]),
    "partitions": ("DELETE FROM w_events WHERE kind = 'x'", ["w_events"]),
    "ONLY of a partitioned table": ("DELETE FROM ONLY w_events", []),
    "a partition": ("DELETE FROM w_events_2026", ["w_events_2026"]),
    "CURRENT OF": ("DELETE FROM w_orders WHERE CURRENT OF some_cursor", []),
    "moved by WITH": (
        "WITH gone AS (DELETE FROM w_orders WHERE status = 'x' RETURNING id)"
        " INSERT INTO w_jobs (id) SELECT id FROM gone",
        ["w_orders"],
    ),
    "selected by WITH": ("WITH gone AS (DELETE FROM w_orders RETURNING id) SELECT count(*) FROM gone", ["w_orders"]),
    "two at once": ("WITH a AS (DELETE FROM w_orders RETURNING id) DELETE FROM w_jobs", ["w_orders", "w_jobs"]),
    "MERGE": (
        "MERGE INTO w_orders o USING w_jobs j ON j.id = o.id WHEN MATCHED THEN UPDATE SET status = j.label",
        ["w_orders"],
    ),
    "MERGE of values": (
        "MERGE INTO w_orders o USING (VALUES (1)) v (id) ON v.id = o.id WHEN MATCHED THEN DELETE",
        [],
    ),
    "MERGE that deletes the rest": (
        "MERGE INTO w_orders o USING (VALUES (1)) v (id) ON v.id = o.id WHEN NOT MATCHED BY SOURCE THEN DELETE",
        ["w_orders"],
    ),
    "MERGE that inserts": (
        "MERGE INTO w_jobs j USING w_orders o ON j.id = o.id WHEN NOT MATCHED THEN INSERT (id) VALUES (o.id)",
        [],
    ),
    "INSERT of values": ("INSERT INTO w_jobs (id) VALUES (1), (2)", []),
    "INSERT ... SELECT of unknown size": ("INSERT INTO w_jobs (id) SELECT id FROM w_orders", []),
    "a new table": ("CREATE TABLE n (id int PRIMARY KEY); UPDATE n SET id = 1; DELETE FROM n", []),
    "a temporary table": ("CREATE TEMP TABLE t AS SELECT * FROM w_orders; DELETE FROM t; UPDATE t SET status = ''", []),
    "a new view of an old table": ("CREATE VIEW nv AS SELECT * FROM w_orders; DELETE FROM nv", ["nv"]),
    "a new view of a new table": ("CREATE TABLE n (id int); CREATE VIEW nv AS SELECT * FROM n; DELETE FROM nv", []),
    "a renamed new table": ("CREATE TABLE n (id int); ALTER TABLE n RENAME TO m; DELETE FROM m", []),
    "a moved new table": ("CREATE TABLE n (id int); ALTER TABLE n SET SCHEMA stock; DELETE FROM stock.n", []),
    "a table that swaps with a new one": (
        "CREATE TABLE n (id int); ALTER TABLE w_jobs RENAME TO w_old; ALTER TABLE n RENAME TO w_jobs;"
        " DELETE FROM w_old; DELETE FROM w_jobs",
        ["w_old"],
    ),
    "a renamed table": ("ALTER TABLE w_orders RENAME TO w_sales; DELETE FROM w_sales", ["w_sales"]),
}


@pytest.mark.parametrize(("text", "found"), UNBOUNDED.values(), ids=UNBOUNDED)
def test_unbounded_dml(text: str, found: list[str]) -> None:
    assert relations("unbounded_dml", text) == found


@pytest.mark.parametrize(
    ("text", "rows", "found"),
    [
        ("UPDATE w_orders SET status = ''", {"w_orders": 999}, []),
        ("UPDATE w_orders SET status = ''", {"w_orders": 1_000}, ["w_orders"]),
        ("DELETE FROM w_events", {"w_events_2026": 10}, []),
        ("INSERT INTO w_jobs (id) SELECT id FROM w_orders", {"w_orders": 99_999}, []),
        ("INSERT INTO w_jobs (id) SELECT id FROM w_orders", {"w_orders": 100_000}, ["w_jobs"]),
        ("INSERT INTO w_jobs (id) SELECT id FROM v_orders", {"w_orders": 100_000}, ["w_jobs"]),
        ("INSERT INTO w_jobs (id) SELECT id FROM w_orders WHERE id = 4", {"w_orders": 100_000}, []),
        ("INSERT INTO w_jobs (id) SELECT id FROM w_orders LIMIT 10", {"w_orders": 100_000}, []),
        ("CREATE TABLE n (id int); INSERT INTO n SELECT id FROM w_orders", {"w_orders": 100_000}, ["n"]),
        ("UPDATE w_orders o SET status = '' FROM w_jobs j WHERE j.id = o.id", {"w_orders": 5_000, "w_jobs": 3}, []),
    ],
)
def test_unbounded_dml_where_the_rows_are_known(text: str, rows: dict[str, int], found: list[str]) -> None:
    assert relations("unbounded_dml", text, rows=rows) == found


@pytest.mark.parametrize(
    ("select", "is_grouped"),
    [("id FROM w_orders", False), ("id FROM w_orders GROUP BY id", True), ("count(*) FROM w_orders", True)],
)
def test_groups_are_not_simply_said_to_fit_into_batches(select: str, is_grouped: bool) -> None:
    (hit,) = Asked((f"INSERT INTO w_jobs (id) SELECT {select}",), rows={"w_orders": 100_000}).hits("unbounded_dml")
    assert (hit.hint is not None and "determines the groups" in hit.hint) is is_grouped


@pytest.mark.parametrize("name", UNBOUNDED)
def test_the_first_batch_is_bounded(name: str) -> None:
    text, _ = UNBOUNDED[name]
    for hit in Asked((text,)).hits("unbounded_dml"):
        if hit.remedy:
            assert relations("unbounded_dml", hit.remedy) == []


def test_there_are_no_batches_by_a_key_that_changes() -> None:
    (hit,) = Asked(("UPDATE w_orders SET id = id + 1000",)).hits("unbounded_dml")
    assert hit.remedy is None


def test_the_first_batch_keeps_the_condition() -> None:
    (hit,) = Asked(("UPDATE w_orders o SET status = 'x' WHERE status = 'y' OR amount IS NULL",)).hits("unbounded_dml")
    assert hit.remedy == (
        "UPDATE w_orders o SET status = 'x' WHERE (status = 'y' OR amount IS NULL) AND o.id >= 1 AND o.id < 10001;"
        " -- and so on, each in its own transaction"
    )
