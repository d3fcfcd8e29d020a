"""Checks: what they compare, and what they show when they fail."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confiture.core.db.checks import CellValue, compare
from tests.support.engine import migrate_up
from tests.support.projects import Project
from tests.support.servers import Database

HOLD = [
    ("SELECT count(*) FROM generate_series(1, 3)", "3"),
    ("SELECT 3::smallint", "3.0"),
    ("SELECT 12345678901234567890.5", "12345678901234567890.5"),
    ("SELECT 0.10", "0.1"),
    ("SELECT 0.1::float8", "0.1"),
    ("SELECT 1e20::float8", "100000000000000000000"),
    ("SELECT true", "true"),
    ("SELECT false", "false"),
    ("SELECT NULL::int", "null"),
    ("SELECT NULL", "{'=': null}"),
    ("SELECT 1", "{'!=': null}"),
    ("SELECT 'null'", "'null'"),
    ("SELECT ''", "''"),
    ("SELECT 'été → 1%'", "'été → 1%'"),
    ("SELECT DATE '2024-02-29'", "2024-02-29"),
    ("SELECT TIMESTAMP '2024-02-29 12:00'", "'2024-02-29 12:00:00'"),
    ("SELECT ARRAY[1, 2]", "'{1,2}'"),
    ("SELECT 5", "{'>': 4}"),
    ("SELECT 5", "{'>=': 5}"),
    ("SELECT 10", "{'>': 9}"),
    ("SELECT 5", "{'<': 5.1}"),
    ("SELECT 5", "{'<=': 5}"),
    ("SELECT 5", "{'!=': 6}"),
    ("SELECT 'NaN'::numeric", "{'>': 1000000}"),
    ("SELECT 'Infinity'::float8", "{'>': 1000000}"),
    ("SELECT 1 WHERE false", "{rows: []}"),
    ("SELECT 1, 'a', NULL UNION ALL SELECT 2, 'b', true ORDER BY 1", "{rows: [[1, a, null], [2, b, true]]}"),
    ("SELECT x FROM generate_series(1, 9) x", "{rows: [1, 2, 3, 4, 5, 6, 7, 8, 9]}"),
    ("VALUES (1)", "1"),
    ("TABLE one", "1"),
    ("WITH w AS (SELECT 7 AS x) SELECT x FROM w -- a remark", "7"),
    ("SELECT x FROM one FOR UPDATE", "1"),
]

FAIL = [
    ("SELECT count(*) FROM one", "0", "0", "1"),
    ("SELECT 2", "{'<': 2}", "< 2", "2"),
    ("SELECT NULL::int", "0", "0", "NULL"),
    ("SELECT NULL::int", "{'>': 0}", "> 0", "NULL"),
    ("SELECT 0", "null", "NULL", "0"),
    ("SELECT 'NaN'::float8", "{'<': 1000}", "< 1000", "NaN"),
    ("SELECT 1", "true", "true", "1"),
    ("SELECT true", "1", "1", "t"),
    ("SELECT '5'::text", "5", "5", "5"),
    ("SELECT 1 WHERE false", "1", "1", "no row"),
    ("SELECT 1 UNION ALL SELECT 1", "1", "1", "more than one row, first 1"),
    ("SELECT 1 AS a, 2 AS b", "1", "1", "2 columns: a, b"),
    ("SELECT x AS id FROM generate_series(1, 2) x", "{rows: []}", "no rows", "2 rows (id): (1); (2)"),
    ("SELECT 2", "{rows: [1]}", "(1)", "1 row (?column?): (2)"),
    ("SELECT 1 WHERE false", "{rows: [[1, a]]}", "(1, a)", "no rows"),
    (
        "SELECT generate_series(1, 1000000000) AS id",
        "{rows: []}",
        "no rows",
        "at least 6 rows (id): (1); (2); (3); (4); (5); ...",
    ),
]


def _migration(shop: Project, query: str, expect: str) -> None:
    shop.migration(
        "001_check",
        f"before_ddl: [sql: CREATE TABLE one AS SELECT 1 AS x]\n"
        f"after_validation:\n  - name: the check\n    check: |\n      {query}\n    expect: {expect}\n",
    )


@pytest.mark.parametrize(("query", "expect"), HOLD)
def test_checks_that_hold(shop_18: Project, query: str, expect: str) -> None:
    _migration(shop_18, query, expect)
    migrate_up(shop_18).expect(0)


@pytest.mark.parametrize(("query", "expect", "expected", "got"), FAIL)
def test_checks_that_fail(
    shop_18: Project, database_18: Database, query: str, expect: str, expected: str, got: str
) -> None:
    _migration(shop_18, query, expect)
    ran = migrate_up(shop_18).expect(1)
    assert ran.diagnostic.detail == (f"expected {expected}", f"got {got}", f"  {query}")
    assert database_18.value("SELECT to_regclass('one')") is None, "rolled back"
    assert ran.outcome == "rolled back"


def test_a_failed_check_is_told_with_its_query_and_place(shop: Project) -> None:
    shop.migration(
        "001_check",
        """
        before_validation:
          - name: nobody is lost
            check: |
              SELECT count(*)
              FROM generate_series(1, 2)
            expect: 0
        """,
    )
    result = shop.run("migrate", "up", expect=1)
    for told in ("nobody is lost", "SELECT count(*)", "FROM generate_series(1, 2)", "expected 0", "got 2", "next: "):
        assert told in result.err
    assert "migrations/001_check.yaml:4:7" in result.err


def test_a_check_may_not_write(shop: Project, database: Database) -> None:
    _migration(shop, "WITH w AS (INSERT INTO one VALUES (2) RETURNING x) SELECT count(*) FROM w", "1")
    assert migrate_up(shop).expect(4).diagnostic.code == "0A000"


def test_dates_are_compared_as_the_database_prints_them(shop: Project, database: Database) -> None:
    _migration(
        shop,
        "SELECT DATE '2024-02-29', TIMESTAMPTZ '2024-02-29 12:00+00'",
        "{rows: [['29.02.2024', '29.02.2024 13:00:00 CET']]}",
    )
    database.execute(f"ALTER DATABASE {database.name} SET datestyle = German")
    database.execute(f"ALTER DATABASE {database.name} SET timezone = 'Europe/Berlin'")
    migrate_up(shop).expect(0)


_NUMERIC = 1700
_numbers = st.decimals(allow_infinity=True, allow_nan=True).filter(lambda value: not value.is_snan())


@given(_numbers, _numbers)
def test_every_two_numbers_stand_in_exactly_one_relation(left: Decimal, right: Decimal) -> None:
    cell = CellValue(text=str(left), type_oid=_NUMERIC)
    holds = {sign: compare(cell, sign, right) for sign in ("=", "!=", "<", "<=", ">", ">=")}
    assert [holds["="], holds["<"], holds[">"]].count(True) == 1
    assert holds["!="] is not holds["="]
    assert holds["<="] is (holds["<"] or holds["="])
    assert holds[">="] is (holds[">"] or holds["="])
