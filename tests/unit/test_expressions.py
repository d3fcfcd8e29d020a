"""Expressions as SQL: what is written here is what libpg_query writes."""

from __future__ import annotations

from typing import Any

import pytest

from confiture.sql.expressions import format_expression, quote_identifier
from confiture.sql.parser import postgast

EXPRESSIONS = """
1
-1
1.5
'it''s'
E'a\\\\b'
true
NULL
a
t.a
"Order"
"order"."Total"
now()
public.now()
pg_catalog.now()
count(*)
count(DISTINCT a)
sum(a) FILTER (WHERE b > 1)
f(VARIADIC a)
f(a, b + 1)
lower(trim(a))
current_timestamp
current_timestamp(3)
current_date
session_user
'{}'::jsonb
'{}'::text[]
'{}'::text[][]
ARRAY[]::text[]
a::numeric(3, 1)
a::varchar(3)
(a + b)::int
'x'::bool
't'::bool
interval '1 day'
'x'::"Stage"
'x'::shop.stage
a + b
a + b * c
(a + b) * c
a - -1
-a
a || ' ' || b
a ->> 'x' = 'y'
a OPERATOR(pg_catalog.+) b
a IN (1, 2)
a NOT IN ('x', 'y')
a IN (SELECT 1)
a = ANY (ARRAY['x'])
a BETWEEN 1 AND 2
a LIKE 'x%'
a ~ '^x'
a IS NULL
a + b IS NOT NULL
(a IS NULL) = (b IS NULL)
a IS DISTINCT FROM b
a AND b
a > 1 AND b IS NULL
a > 1 AND (b OR c = 2)
a OR b AND c
NOT a
a IS TRUE
extract(day FROM a)
a AT TIME ZONE 'UTC'
COALESCE(a, 0)
CASE WHEN a THEN 1 ELSE 2 END
(SELECT current_tenant())
tenant_id = (SELECT current_tenant())
(SELECT a FROM t)
(SELECT f() AS x)
EXISTS (SELECT 1)
a[1]
(a).b
a COLLATE "C"
""".strip().splitlines()


def tree_of(text: str) -> Any:
    return postgast.parse(f"SELECT {text}").stmts[0].stmt.select_stmt.target_list[0].res_target.val


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_it_is_what_libpg_query_writes(text: str) -> None:
    written = postgast.deparse(postgast.parse(f"SELECT {text}")).removeprefix("SELECT ")
    assert format_expression(tree_of(text)) == written


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_it_means_the_same(text: str) -> None:
    again = format_expression(tree_of(text))
    assert format_expression(tree_of(again)) == again


def test_a_condition_that_is_tested_for_null_keeps_its_parentheses() -> None:
    assert format_expression(tree_of("(a OR b) IS NULL")) == "(a OR b) IS NULL"
    assert format_expression(tree_of("(NOT a) IS NOT NULL")) == "(NOT a) IS NOT NULL"


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a1",
        "order",
        "Order",
        "position",
        "a b",
        'a"b',
        "1a",
        "über",
        "current_timestamp",
        "x" * 63,
        "x" * 62 + "Y",
    ],
)
def test_names_are_quoted_where_they_must_be(name: str) -> None:
    quoted = quote_identifier(name)
    assert tree_of(quoted).column_ref.fields[0].string.sval == name
    assert (quoted == name) is (name in ("a", "a1", "x" * 63))
