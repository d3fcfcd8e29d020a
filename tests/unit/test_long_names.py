"""Names that PostgreSQL cuts: found where they stand, counted in bytes."""

from __future__ import annotations

import pytest

from confiture.lint.registry import built_in_rules
from confiture.lint.rule import Example
from confiture.models.findings import Finding
from tests.support.rule_examples import lint_example

_LONG = "w" * 64


def found(sql: str) -> list[Finding]:
    rule = built_in_rules()["identifier_too_long"]
    return [one for one in lint_example(rule, Example(sql=(sql,)), 18) if one.rule == rule.name]


@pytest.mark.parametrize(
    "sql",
    [
        f"CREATE TABLE {'w' * 63} (id bigint PRIMARY KEY)",
        f"CREATE TABLE t (id bigint PRIMARY KEY DEFAULT length('{_LONG}'))",
        f"CREATE TABLE t (id bigint PRIMARY KEY) -- {_LONG}",
        f"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '{_LONG}' $$",
        f'CREATE TABLE "{"ö" * 31}" (id bigint PRIMARY KEY)',
    ],
)
def test_what_is_no_name_or_short_enough_is_left_alone(sql: str) -> None:
    assert found(sql) == []


@pytest.mark.parametrize(
    ("sql", "column", "length"),
    [
        (f"CREATE TABLE {_LONG} (id bigint PRIMARY KEY)", 14, 64),
        (f'CREATE TABLE "{"ö" * 32}" (id bigint PRIMARY KEY)', 14, 64),
        (f"CREATE TABLE öö (id bigint PRIMARY KEY, {_LONG}x int)", 41, 65),
        (f"CREATE TABLE t (id bigint CONSTRAINT {_LONG} PRIMARY KEY)", 38, 64),
    ],
)
def test_a_long_name_is_found_where_it_stands(sql: str, column: int, length: int) -> None:
    (finding,) = found(sql)
    assert finding.span
    assert (finding.span.line, finding.span.column) == (1, column)
    assert f"is {length} bytes long" in finding.message
