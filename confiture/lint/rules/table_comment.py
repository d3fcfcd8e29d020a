"""Tables without a comment."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.table_sizes import non_partition_tables
from confiture.lint.remedies.sql_text import qualified_name


def _check(context: SchemaContext) -> Iterable[Violation]:
    for table in non_partition_tables(context.catalog):
        if not table.comment:
            yield Violation(
                location=table.location,
                relation=str(table.name),
                message=f"{table.name} has no comment",
                remedy=f"COMMENT ON TABLE {qualified_name(table.name)} IS 'What one row is';",
            )


RULE = SchemaRule(
    name="table_comment",
    group=Group.SCHEMA,
    severity="info",
    summary="A table has no comment",
    impact="Readers of the table in psql or in a diagram have to guess what a row represents.",
    fix_hint="describe what a row represents with COMMENT ON TABLE",
    off_by_default=True,
    check=_check,
    bad=Example(sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY)",)),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY);\n"
            "COMMENT ON TABLE w_orders IS 'What a customer ordered, one row a job'",
        ),
    ),
)
