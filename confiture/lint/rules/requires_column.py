"""Tables without a column that the settings require."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, Option, SchemaRule, Violation
from confiture.lint.facts.table_sizes import non_partition_tables
from confiture.lint.facts.types import is_of_type, without_typmod
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import PUBLIC, Catalog, DomainType, QualifiedName, Table, TableColumn
from confiture.sql.parse_tree import quote_identifier


def _check(context: SchemaContext) -> Iterable[Violation]:
    name, column_type = context.options["column"], context.options["column_type"]
    for table in non_partition_tables(context.catalog):
        column = table.column(name)
        if column:
            yield from _compare_column(context, table, column)
        elif table.columns:
            addition = f"ALTER TABLE {qualified_name(table.name)} ADD COLUMN {quote_identifier(name)} {column_type};"
            yield Violation(
                location=table.location,
                relation=str(table.name),
                subject=name,
                message=f"{table.name} has no column {name}",
                remedy=addition if column_type else None,
            )


def _compare_column(context: SchemaContext, table: Table, column: TableColumn) -> Iterable[Violation]:
    """Report differences between an existing column and the settings."""
    column_type, not_null = context.options["column_type"], context.options["not_null"]
    has_type = not column_type or is_of_type(context.catalog, column.type, column_type)
    may_be_null = not_null and not _is_not_null(context.catalog, column)
    problems = [
        *([] if has_type else [f"is {column.type}, not {column_type}"]),
        *(["is nullable"] if may_be_null else []),
    ]
    if problems:
        change = f"ALTER TABLE {qualified_name(table.name)} ALTER COLUMN {quote_identifier(column.name)}"
        yield Violation(
            location=column.location or table.location,
            relation=str(table.name),
            subject=" ".join([column.name, *([] if has_type else ["type"]), *(["nullable"] if may_be_null else [])]),
            message=f"{table.name}.{column.name} {' and '.join(problems)}",
            hint=f"change the column to {column_type}" if not has_type else "make the column NOT NULL",
            remedy=f"{change} SET NOT NULL;" if has_type else None,
        )


def _is_not_null(catalog: Catalog, column: TableColumn) -> bool:
    schema, _, name = without_typmod(column.type).rpartition(".")
    domain = catalog.types.get(QualifiedName(schema or PUBLIC, name))
    return column.not_null or (isinstance(domain, DomainType) and domain.not_null)


RULE = SchemaRule(
    name="requires_column",
    group=Group.SCHEMA,
    severity="error",
    summary="A table lacks a column that the settings require",
    impact="Code that expects the column in every table fails on this table.",
    fix_hint="add the column, or exclude the table with `except`",
    options={
        "column": Option(description="The name of the column.", required=True),
        "column_type": Option(description="The type of the column, in any spelling that PostgreSQL accepts."),
        "not_null": Option(description="Whether the column must be NOT NULL.", kind=bool, default=False),
    },
    off_by_default=True,
    check=_check,
    bad=Example(
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY, created_at date)",),
        options={"column": "created_at", "column_type": "timestamptz", "not_null": True},
    ),
    good=Example(
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY, created_at timestamp with time zone NOT NULL)",),
        options={"column": "created_at", "column_type": "timestamptz", "not_null": True},
    ),
)
