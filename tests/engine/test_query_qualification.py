"""Qualified queries mean what the queries as written mean, and what cannot be qualified is refused."""

from __future__ import annotations

import psycopg
import pytest

from confiture.sql.qualification import Unqualifiable, qualify_query
from tests.support.servers import Database

VALUES = "(VALUES (1, 1, 'a', 'a'), (1, 2, 'a', 'b'), (2, 1, 'b%', NULL), (NULL, 1, NULL, 'a'), (NULL, NULL, '', 'a'))"
EXPRESSIONS = {
    "equal": "a = b",
    "minus-and-times": "-a * (b + 1) - 2",
    "times-before-plus": "a + b * 2 > 3 OR NOT a < b AND a <> 1",
    "in": "a IN (1, b, NULL)",
    "not-in": "a NOT IN (1, b)",
    "in-one": "a IN (2)",
    "in-rows": "(a, b) IN ((1, 2), (2, 1))",
    "in-subquery": "a IN (SELECT 1)",
    "rows-not-in-subquery": "(a, s) NOT IN (SELECT 1, 'a')",
    "any": "a = ANY (ARRAY[1, 3])",
    "all-subquery": "a >= ALL (SELECT 1)",
    "between": "a BETWEEN 1 AND b",
    "not-between": "a NOT BETWEEN b AND 1",
    "like": "s LIKE '%b' OR t NOT LIKE 'a_'",
    "like-escape": "s LIKE '%!%' ESCAPE '!'",
    "ilike": "s ILIKE 'A'",
    "similar": "s SIMILAR TO '(a|b)%'",
    "regular": "s ~ '^a' AND t !~* 'B'",
    "distinct": "a IS DISTINCT FROM b",
    "not-distinct": "s IS NOT DISTINCT FROM t",
    "rows-distinct": "(a, s) IS DISTINCT FROM (b, t)",
    "rows-not-distinct": "(a, s) IS NOT DISTINCT FROM (b, t)",
    "rows-smaller": "(a, s) < (b, t)",
    "case-when": "CASE a WHEN 1 THEN 'one' WHEN b THEN 'b' ELSE 'other' END",
    "case": "CASE WHEN a = 1 THEN 'one' END",
    "nullif": "nullif(a, b)",
    "casts": "a::text || b::float8::text || '5'::int8::pg_catalog.text",
    "char": "s::\"char\" = 'a'",
    "function": "coalesce(greatest(length(s), 3), a)",
    "extract": "extract(epoch FROM interval '5 s') + a",
    "reference": "a = 'pg_class'::regclass::int OR a = ANY ('{1}'::int[])",
    "references": "23 = ANY (ARRAY['int4', 'text']::regtype[]::oid[])",
    "reference-of-number": "(CASE WHEN s = 'a' THEN 23 ELSE a END)::regtype::text",
    "schema": "'pg_catalog'::regnamespace::text",
    "collation": 's COLLATE "C" < t',
    "subquery": "(SELECT count(*) FILTER (WHERE u.x = a) FROM unnest(ARRAY[1, 2]) AS u (x))",
    "unnest": "(SELECT max(u.x || u.y) FROM unnest(ARRAY['p'], ARRAY['q']) WITH ORDINALITY AS u (x, y, n))",
    "with": "(WITH pg_class AS (SELECT 7 AS x) SELECT x FROM pg_class)",
    "relation": "(SELECT relname FROM pg_class WHERE oid = 'pg_class'::regclass AND a = 1)",
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_a_qualified_expression_gives_the_same(database: Database, expression: str) -> None:
    query = f"SELECT {expression} FROM {VALUES} AS v (a, b, s, t)"
    with database.connect() as connection:
        wanted = connection.execute(query.encode()).fetchall()
        # by this path, what is not written out would not be found
        connection.execute("SET search_path = information_schema; CREATE TEMP VIEW pg_class AS SELECT 1 AS relname")
        assert connection.execute(qualify_query(query).encode()).fetchall() == wanted


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("SELECT 1 FROM a JOIN b USING (x)", "write ON"),
        ("SELECT 1 FROM a NATURAL JOIN b", "write ON"),
        ("SELECT 1 FROM a ORDER BY x USING <", "write ASC or DESC"),
        ("SELECT (SELECT 1) IN (1, 2)", "FROM"),
        ("SELECT (SELECT 1) IS DISTINCT FROM 2", "FROM"),
        ("SELECT CASE (SELECT 1) WHEN 2 THEN 3 END", "FROM"),
    ],
    ids=["using", "natural", "order-using", "in", "distinct", "case"],
)
def test_what_cannot_be_qualified_is_refused(query: str, advice: str) -> None:
    with pytest.raises(Unqualifiable, match=advice):
        qualify_query(query)


def test_parameters_and_holes_stay() -> None:
    text = "SELECT e.{tenant}, %(n)s FROM ({expected}) AS e WHERE e.x = CAST({literal} AS {type}) AND %(n)s = 'a%%';"
    assert qualify_query(text) == (
        "SELECT e.{tenant}, %(n)s FROM ({expected}) e"
        " WHERE e.x OPERATOR(pg_catalog.=) {literal}::{type} AND %(n)s OPERATOR(pg_catalog.=) 'a%%';"
    )


@pytest.mark.parametrize("cast", ["text AS integer", "name AS bigint", '"char" AS oid'])
def test_an_ordinary_role_makes_no_casts_between_types_of_postgresql(database: Database, cast: str) -> None:
    """That is why casts need no more than their types written out."""
    database.execute(f"CREATE ROLE {database.name}; GRANT CREATE ON SCHEMA public TO {database.name}")
    try:
        with database.connect() as connection:
            connection.execute(f"SET ROLE {database.name}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"CREATE CAST ({cast}) WITH INOUT AS IMPLICIT".encode())
    finally:
        database.execute(f"DROP OWNED BY {database.name}; DROP ROLE {database.name}")
