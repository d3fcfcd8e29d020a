"""Comparing a table with a query: types, tenants, duplicates, and that random mutations are found and named exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from confiture.core.reconcile import reconciliation
from confiture.core.reconcile.ad_hoc import AdHocReconcile, ad_hoc_step
from confiture.core.reconcile.reconciliation import reconcile
from confiture.models.reconcile_results import ReconcileResult
from tests.support.properties import examples
from tests.support.servers import Database


@contextmanager
def _transaction(database: Database) -> Iterator:
    with database.connect(row_factory=dict_row) as connection, connection.transaction(force_rollback=True):
        yield connection


def _held(connection, table: str, query: str, tenant: str = "tenant_id", **more: Any) -> ReconcileResult:
    step = ad_hoc_step(AdHocReconcile(table=table, sql=query, origin="--sql", **more), tenant)
    assert step.reconcile
    return reconcile(connection, step, step.reconcile)


EQUAL = [
    ("numeric", "7::int", "7"),
    ("numeric", "'1.00'::numeric", "'1.0'"),
    ("numeric(10,2)", "3.14159", "3.14159"),
    ("bigint", "1::smallint", "1"),
    ("text", "'a'::varchar(5)", "'a'"),
    ("varchar(3)", "'abc'::text", "'abc'"),
    ("char(5)", "'ab'", "'ab'"),
    ("text", "'a' COLLATE \"C\"", "'a'"),
    ("float8", "0.1::numeric", "0.1"),
    ("float8", "'-0'::float8", "0"),
    ("float8", "'NaN'::float8", "'NaN'"),
    ("float4", "0.1::float8", "0.1"),
    ("jsonb", '\'{"b": 1.0, "a": [2]}\'::jsonb', '\'{"a":[2],"b":1.00}\''),
    ("int[]", "ARRAY[1, NULL, 3]::bigint[]", "'{1,NULL,3}'"),
    ("text[]", "ARRAY['a', 'é']", "'{a,é}'"),
    ("timestamptz", "'2026-01-01 12:00+02'::timestamptz", "'2026-01-01 10:00+00'"),
    ("date", "'2026-01-01 12:00'::timestamp", "'2026-01-01'"),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    ("bytea", "'\\x00ff'::bytea", "'\\x00ff'"),
    ("mood", "'sad'", "'sad'"),
    ("inet", "'10.0.0.1'::inet", "'10.0.0.1/32'"),
    ("interval", "'1 day'::interval", "'24 hours'"),
    ("int4range", "'[1,3]'::int4range", "'[1,4)'"),
    ("positive", "5", "5"),
    ("pair", "ROW(1, 'x')::pair", "ROW(1, 'x')"),
    ("int", "NULL::int", "NULL"),
    ("oid", "7::oid", "7"),
]
AS_TEXT = [
    ("json", "'[1]'::json", "'[1]'"),
    ("xml", "'<a/>'::xml", "'<a/>'"),
    ("point", "point(1, 2)", "point(1, 2)"),
    ("json[]", "ARRAY['[1]'::json]", "ARRAY['[1]'::json]"),
    ("tsvector", "'a b'::tsvector", "'b a'"),
    ("bit(3)", "B'101'", "B'101'"),
    ("money", "1.5::numeric::money", "1.5::numeric::money"),
    ("spot", "ROW(1, point(1, 2))::spot", "ROW(1, point(1, 2))"),
]
TYPES = """\
CREATE TYPE mood AS ENUM ('ok', 'sad');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE spot AS (a int, b point);
CREATE DOMAIN positive AS int CHECK (value > 0);
"""


@pytest.fixture
def typed(database) -> Database:
    database.execute(TYPES)
    return database


def test_types_are_made_equal_and_those_without_a_hash_compared_as_text(typed):
    wrong: list[tuple[str, str, object]] = []
    with _transaction(typed) as connection:
        for type_, expected, stored in EQUAL + AS_TEXT:
            if type_ == "xml" and typed.server.version == 18:
                continue  # the wheel is built without libxml
            connection.execute(f"CREATE TABLE r (id int, x {type_}); INSERT INTO r VALUES (1, {stored})".encode())
            query = f"SELECT 1 AS id, {expected} AS x"
            found = _held(connection, "r", query)
            if not found.is_equal or found.columns_compared_as_text != (
                ("x",) if (type_, expected, stored) in AS_TEXT else ()
            ):
                wrong.append((type_, expected, found))
            connection.execute(b"UPDATE r SET x = NULL")
            if _held(connection, "r", query).is_equal != (stored == "NULL"):
                wrong.append((type_, expected, "equals NULL"))
            connection.execute(b"DROP TABLE r")
    assert wrong == []


def test_texts_that_a_collation_holds_to_be_equal_differ(server_15):
    """The wheel of 18 is built without ICU, whose collations do so."""
    with psycopg.connect(server_15.admin_url, row_factory=dict_row) as connection:
        connection.execute(
            b"CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
            b"CREATE TEMP TABLE r (id int PRIMARY KEY, x text COLLATE loose); INSERT INTO r VALUES (1, 'ABC')"
        )
        found = _held(connection, "r", "SELECT 1 AS id, 'abc' COLLATE loose AS x")
        connection.rollback()
    assert found.differences
    assert (found.differences.changed, found.differences.missing) == (1, 0)


def test_values_that_change_places_between_rows_are_seen(database_18):
    """hash_record_extended alone is a weighted sum of its columns: two thirds of these pairs would go unseen."""
    with _transaction(database_18) as connection:
        connection.execute(
            b"CREATE TABLE r AS SELECT n / 2 AS pair, n, -(n # 1) AS value, 0.0::float8 AS zero"
            b" FROM generate_series(0, 3999) AS n"
        )
        found = _held(connection, "r", "SELECT pair, n, -n AS value FROM r", by="pair")
        nulls = _held(connection, "r", "SELECT pair, n, NULL::float8 AS zero FROM r", by="pair")
    assert (found.groups, found.differing_group_count) == (2000, 2000)
    assert (nulls.groups, nulls.differing_group_count) == (2000, 2000)


def test_duplicates_nulls_and_empty_sides(database):
    with _transaction(database) as connection:
        connection.execute(b"CREATE TABLE r (tenant_id int, x int)")
        empty = _held(connection, "r", "SELECT 1 AS tenant_id, 1 AS x WHERE false")
        assert (empty.is_equal, empty.rows, empty.groups) == (True, 0, 0)
        connection.execute(b"INSERT INTO r VALUES (NULL, 1), (NULL, 1), (1, NULL), (1, NULL), (2, 5)")
        query = "SELECT * FROM (VALUES (1, NULL), (NULL, 1), (NULL, 1), (1, NULL), (2, 5)) AS v (tenant_id, x)"
        assert _held(connection, "r", query).is_equal
        # twice two rows less: an exclusive or would not see it
        connection.execute(b"DELETE FROM r WHERE tenant_id IS NULL OR x IS NULL")
        found = _held(connection, "r", query)
        assert found.differing_groups == ("1", None)
        assert found.differences
        assert (found.differences.missing, found.differences.extra, found.differences.changed) == (4, 0, 0)
        assert [row.expected for row in found.differences.rows] == [
            {"tenant_id": "1", "x": None},
            {"tenant_id": "1", "x": None},
            {"tenant_id": None, "x": "1"},
            {"tenant_id": None, "x": "1"},
        ]
        nothing = _held(connection, "r", "SELECT 1 AS tenant_id, 1 AS x WHERE false")
        assert nothing.differences
        assert nothing.differences.extra == 1


def test_what_comes_out_anew_is_left_out_and_named(database):
    database.execute(
        "CREATE TABLE r (a uuid, b timestamptz, c timestamptz, d int, e int, f uuid, g int, h date, tenant_id int);"
        "CREATE FUNCTION drawn(int) RETURNS int LANGUAGE sql AS 'SELECT 1';"  # volatile, as nobody says otherwise
        "CREATE FUNCTION fixed(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'"
    )
    query = (
        "WITH n AS (SELECT gen_random_uuid() AS fresh, 1 AS tenant_id) SELECT gen_random_uuid() AS a,"
        " coalesce(NULL, now()) AS b, CURRENT_TIMESTAMP AS c, drawn(1) AS d, fixed(1) AS e, m.fresh AS f,"
        " m.tenant_id AS g, now()::date AS h, m.tenant_id FROM n AS m WHERE now() > '2000-01-01'"
    )
    with _transaction(database) as connection:
        found = _held(connection, "r", query)
    assert {omitted.column: omitted.reason for omitted in found.skipped_columns} == {
        "a": "the query calls gen_random_uuid() for it",
        "b": "the query calls now() for it",
        "c": "the query calls CURRENT_TIMESTAMP for it",
        "d": "the query calls drawn() for it",
        "f": "the query calls gen_random_uuid() for it",
        "h": "the query calls now() for it",
    }
    assert found.compared_columns == ("e", "g", "tenant_id")


@pytest.mark.parametrize(
    ("query", "left_out"),
    [
        ("SELECT * FROM (SELECT random() AS x, 1 AS id) AS s", {"x"}),
        ("WITH a AS (SELECT random() AS x), b AS (SELECT * FROM a) SELECT b.x, 1 AS id FROM b", {"x"}),
        ("SELECT 1 AS id, 1.5 AS x UNION ALL SELECT 2, random()", {"x"}),
        ("SELECT y AS x, z AS id FROM (SELECT 1, random()) AS s (z, y)", {"x"}),
        ("SELECT s.x, t.id FROM (SELECT 1 AS x) s, (SELECT random() AS x, 2 AS id) t", set()),
        ("SELECT (SELECT random()) AS x, 1 AS id", {"x"}),
        ("SELECT 1 AS id, count(*) AS x FROM generate_series(1, 9)", set()),
        ("SELECT 1 AS id, age(now()) IS NULL AS flag", {"x", "flag"}),
        ("SELECT 1 AS id, date_trunc('day', '2026-01-01'::timestamptz) IS NULL AS flag", {"x"}),
    ],
)
def test_columns_are_followed_to_where_they_come_from(database_18, query, left_out):
    database_18.execute("CREATE TABLE r (id int, x float8, flag boolean)")
    with _transaction(database_18) as connection:
        found = _held(connection, "r", query)
    assert {omitted.column for omitted in found.skipped_columns} - {"flag"} == left_out - {"flag"}
    assert ("flag" in found.compared_columns) == ("flag" in query and "flag" not in left_out)


def test_rows_that_row_security_hides_cannot_be_proved(roles):
    roles.database.execute(
        "CREATE TABLE r (id int); ALTER TABLE r ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON r USING (false);"
        f"CREATE TABLE w (id int); GRANT SELECT ON r, w TO {roles.reader}"
    )
    with Database(roles.database.server, roles.database.name).connect(row_factory=dict_row) as connection:
        connection.execute(f"SET ROLE {roles.reader}".encode())
        with connection.transaction(), pytest.raises(Exception, match="row security hides rows in r"):
            _held(connection, "r", "SELECT id FROM w")
        with connection.transaction(), pytest.raises(Exception, match="row-level security policy"):
            _held(connection, "w", "SELECT id FROM r")


_VALUES = {
    "id": st.integers(0, 12),
    "tenant_id": st.none() | st.integers(0, 3),
    "note": st.none() | st.text(alphabet="ab'\\{}%é ", max_size=3),
    "amount": st.none() | st.sampled_from(["1", "1.0", "1.00", "2.5", "-3"]),
}
_ROW = st.tuples(*_VALUES.values())


@examples(40)
@given(
    rows=st.dictionaries(_VALUES["id"], _ROW, max_size=12),
    more=st.dictionaries(_VALUES["id"], st.none() | _ROW, max_size=4),
    limit=st.sampled_from([0, 200_000]),
)
def test_random_mutations_are_found_and_named_exactly(database_18, rows, more, limit):
    """A table with a key, and a copy of it in which some rows are added, changed, or (None) taken away."""
    expected = {key: (key, *row[1:]) for key, row in rows.items()}
    actual = dict(expected)
    for key, row in more.items():
        if row is None:
            actual.pop(key, None)
        else:
            actual[key] = (key, *row[1:])
    with _transaction(database_18) as connection, pytest.MonkeyPatch.context() as patched:
        patched.setattr(reconciliation, "_MOST_ROWS", limit)
        for table, content in (("w", expected), ("r", actual)):
            connection.execute(f"CREATE TABLE {table} (id int, tenant_id int, note text, amount numeric)".encode())
            for row in content.values():
                values = sql.SQL(", ").join(map(sql.Literal, row))
                connection.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(table), values))
        found = _held(connection, "r", "TABLE w", key=("id",))
    wanted = {
        key: "missing" if key not in actual else "extra" if key not in expected else "changed"
        for key in expected.keys() | actual.keys()
        if _as_numbers(expected.get(key)) != _as_numbers(actual.get(key))
    }
    assert found.is_equal == (not wanted)
    if found.differences and found.differences.is_exact:
        told = {int(row.key["id"] or 0): row.kind.value for row in found.differences.rows}
        assert told == dict(sorted(wanted.items())[:10])
        counts = Counter(wanted.values())
        assert found.differences.missing == counts["missing"]
        assert found.differences.extra == counts["extra"]
        assert found.differences.changed == counts["changed"]
    elif found.differences:
        assert {int(row.key["id"] or 0): row.kind.value for row in found.differences.rows}.items() <= wanted.items()


def _as_numbers(row: tuple | None) -> tuple | None:
    return row and (*row[:3], row[3] and float(row[3]))
