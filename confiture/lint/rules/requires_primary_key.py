"""Tables without a primary key."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.table_sizes import Parts, children_by_parent, non_partition_tables
from confiture.lint.remedies.sql_text import join_identifiers, qualified_name
from confiture.models.catalog import Catalog, Index, QualifiedName, Table, TableKind
from confiture.sql.parse_tree import quote_identifier


def _check(context: SchemaContext) -> Iterable[Violation]:
    parts = children_by_parent(context.catalog)
    for table in non_partition_tables(context.catalog):
        if table.kind is TableKind.FOREIGN or _has_key(parts, table):
            continue
        key = next((index for index in table.indexes if _can_be_primary_key(table, index)), None)
        yield _violation_with_key(table, key) if key else _violation(context.catalog, table)


def _has_key(parts: Parts, table: Table) -> bool:
    """Whether a table, or each table that stores its rows, has a primary key."""
    if table.primary_key:
        return True
    below = parts.get(table.name, ())
    return bool(below) and all(_has_key(parts, one) for one in below)


def _can_be_primary_key(table: Table, index: Index) -> bool:
    """Whether a unique index identifies every row, so that it can become the primary key."""
    columns = [column and table.column(column) for column in index.columns]
    return (
        index.unique
        and index.valid
        and index.predicate is None
        and not index.nulls_not_distinct
        and all(column and column.not_null for column in columns)
        and not _is_deferrable(table, index.constraint)
    )


def _is_deferrable(table: Table, constraint: str | None) -> bool:
    match = table.constraint(constraint) if constraint else None
    return bool(match and match.deferrable)


def _violation_with_key(table: Table, key: Index) -> Violation:
    columns = [column for column in key.columns if column]
    hint = (
        f"make {join_identifiers(columns)} the primary key: {quote_identifier(key.name)} already keeps"
        f" {'it' if len(columns) == 1 else 'them'} unique and NOT NULL"
    )
    remedy = None
    if key.constraint is None and not any(key.key_options) and not table.parents and table.kind is TableKind.TABLE:
        remedy = (
            f"ALTER TABLE {qualified_name(table.name)}\n"
            f"    ADD CONSTRAINT {quote_identifier(key.name)} PRIMARY KEY USING INDEX {quote_identifier(key.name)};"
        )
    return Violation(
        location=table.location,
        relation=str(table.name),
        message=f"{table.name} has no primary key, only a unique index",
        effect="Once the table is published for logical replication, every UPDATE and DELETE fails until the table"
        " has a replica identity. Features that need a primary key, such as batched backfills, do not work.",
        hint=hint,
        remedy=remedy,
    )


def _violation(catalog: Catalog, table: Table) -> Violation:
    inherits = _find_parent_with_key(catalog, table.parents)
    message = f"{table.name} has no primary key"
    if inherits:
        message += f": it does not inherit the primary key of {inherits}"
    return Violation(location=table.location, relation=str(table.name), message=message)


def _find_parent_with_key(catalog: Catalog, parents: tuple[QualifiedName, ...]) -> QualifiedName | None:
    return next((name for name in parents if name in catalog.tables and catalog.tables[name].primary_key), None)


RULE = SchemaRule(
    name="requires_primary_key",
    group=Group.SCHEMA,
    severity="warning",
    summary="A table has no primary key",
    impact="Rows cannot be identified: batched backfills and upserts have no key to use. Once the table is published"
    " for logical replication, every UPDATE and DELETE fails.",
    fix_hint="add one; without a natural key, add id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    check=_check,
    bad=Example(sql=("CREATE TABLE w_orders (id bigint)",)),
    good=Example(sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY)",)),
)
