"""Tables have a column."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaSubject
from confiture.lint.engine.rule import Example, Group, Hit, Option, SchemaRule
from confiture.lint.facts.table_sizes import whole_tables
from confiture.lint.facts.types import is_of_type, unmodified
from confiture.lint.remedies.sql_text import qualified
from confiture.models.catalog import PUBLIC, Catalog, Column, Domain, Name, Table
from confiture.sql.tree import identifier


def _check(subject: SchemaSubject) -> Iterable[Hit]:
    name, wanted = subject.options["column"], subject.options["column_type"]
    for table in whole_tables(subject.catalog):
        column = table.column(name)
        if column:
            yield from _compared(subject, table, column)
        elif table.columns:
            addition = f"ALTER TABLE {qualified(table.name)} ADD COLUMN {identifier(name)} {wanted};"
            yield Hit(
                place=table.place,
                relation=str(table.name),
                subject=name,
                message=f"{table.name} has no column {name}",
                remedy=addition if wanted else None,
            )


def _compared(subject: SchemaSubject, table: Table, column: Column) -> Iterable[Hit]:
    """What is wrong with the column that is there."""
    wanted, not_null = subject.options["column_type"], subject.options["not_null"]
    has_type = not wanted or is_of_type(subject.catalog, column.type, wanted)
    may_be_null = not_null and not _refuses_nulls(subject.catalog, column)
    wrong = [*([] if has_type else [f"is {column.type}, not {wanted}"]), *(["may be NULL"] if may_be_null else [])]
    if wrong:
        change = f"ALTER TABLE {qualified(table.name)} ALTER COLUMN {identifier(column.name)}"
        yield Hit(
            place=column.place or table.place,
            relation=str(table.name),
            subject=" ".join([column.name, *([] if has_type else ["type"]), *(["nullable"] if may_be_null else [])]),
            message=f"{table.name}.{column.name} {' and '.join(wrong)}",
            hint=f"make the column {wanted}" if not has_type else "make the column NOT NULL",
            remedy=f"{change} SET NOT NULL;" if has_type else None,
        )


def _refuses_nulls(catalog: Catalog, column: Column) -> bool:
    schema, _, name = unmodified(column.type).rpartition(".")
    domain = catalog.types.get(Name(schema or PUBLIC, name))
    return column.not_null or (isinstance(domain, Domain) and domain.not_null)


RULE = SchemaRule(
    name="requires_column",
    group=Group.SCHEMA,
    severity="error",
    summary="Tables have a column that the settings ask for",
    effect="What relies on the column in every table fails on this one.",
    hint="add the column, or take the table out with `except`",
    options={
        "column": Option(description="The column's name.", required=True),
        "column_type": Option(description="The column's type, in any of PostgreSQL's spellings."),
        "not_null": Option(description="Whether it must be NOT NULL.", kind=bool, default=False),
    },
    optional=True,
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
