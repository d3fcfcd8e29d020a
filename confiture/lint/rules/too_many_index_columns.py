"""Indexes with many key columns."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, Option, SchemaRule, Violation
from confiture.lint.facts.table_sizes import non_partition_tables

_MAX_COLUMNS_OPTION = "max_columns"


def _check(context: SchemaContext) -> Iterable[Violation]:
    most = context.options[_MAX_COLUMNS_OPTION]
    for table in non_partition_tables(context.catalog):
        for index in table.indexes:
            if index.method == "btree" and not index.unique and len(index.columns) > most:
                yield Violation(
                    location=index.location,
                    relation=str(table.name),
                    subject=index.name,
                    message=f"{index.name} of {table.name} has {len(index.columns)} key columns; the limit is {most}",
                )


RULE = SchemaRule(
    name="too_many_index_columns",
    aliases=("wide_index",),
    group=Group.INDEXES,
    severity="info",
    summary="An index has too many key columns",
    impact="The index becomes almost as large as the table and slows down every write; its last columns rarely help.",
    fix_hint="keep the columns that narrow the search, and move columns that queries only return to INCLUDE",
    options={_MAX_COLUMNS_OPTION: Option(description="The maximum number of key columns.", kind=int, default=4)},
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint, customer_id bigint, status text,\n"
            "    placed_at timestamptz, amount numeric);\n"
            "CREATE INDEX w_orders_list_idx ON w_orders (tenant_id, customer_id, status, placed_at, amount)",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint, customer_id bigint, status text,\n"
            "    placed_at timestamptz, amount numeric);\n"
            "CREATE INDEX w_orders_list_idx ON w_orders (tenant_id, customer_id, placed_at) INCLUDE (status, amount)",
        ),
    ),
)
