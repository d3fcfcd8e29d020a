"""Objects that are created twice."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, SchemaRule, Violation


def _check(context: SchemaContext) -> Iterable[Violation]:
    for issue in context.catalog_issues:
        if issue.code == "duplicate-object":
            where = f": {issue.first.span} creates it" if issue.first else ""
            yield Violation(
                location=issue.location,
                relation=issue.object,
                message=f"{issue.message}{where}",
                also_at=issue.first,
            )


RULE = SchemaRule(
    name="duplicate_object",
    group=Group.SCHEMA,
    severity="error",
    summary="An object is created twice",
    impact="Whichever of the two statements runs second fails.",
    fix_hint="keep one of them, or rename the other",
    check=_check,
    expected_effects=ExpectedEffects(error="42P07"),
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY)",
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz)",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY)",
            "CREATE TABLE w_order_notes (id bigint PRIMARY KEY, written_at timestamptz)",
        ),
    ),
)
