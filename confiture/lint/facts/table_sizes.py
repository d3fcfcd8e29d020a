"""Facts about tables: sizes (if read from a database), partitions, and definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from confiture.lint.engine.context import SchemaContext, StatementContext
from confiture.models.catalog import PUBLIC, Catalog, Persistence, QualifiedName, Table
from confiture.models.source import SourceLocation

SMALL_ROWS = 1_000
"""Below this number of rows, any statement on a table finishes quickly."""
LARGE_ROWS = 100_000
"""From this number of rows on, other sessions notice when the whole table is read or written."""


Parts = Mapping[QualifiedName, list[Table]]
"""The child tables of each parent: its partitions, or tables that inherit from it."""


def resolve_relation_name(context: StatementContext, range_var: Any) -> QualifiedName:
    """Return the relation that a parse tree name refers to; assume `public` if the catalog does not contain it."""
    relation = context.relation(range_var)
    return relation.name if relation else QualifiedName(range_var.schemaname or PUBLIC, range_var.relname)


def is_small_table(context: SchemaContext | StatementContext, name: QualifiedName) -> bool:
    """Whether the table is known to be small; false if its size is unknown."""
    rows = context.target.table_rows.get(name)
    return rows is not None and rows < SMALL_ROWS


def is_large(context: StatementContext, name: QualifiedName) -> bool:
    """Whether the table is known to be large."""
    rows = context.rows(name)
    return rows is not None and rows >= LARGE_ROWS


def children_by_parent(catalog: Catalog) -> Parts:
    """Return the children of each parent table."""
    children: dict[QualifiedName, list[Table]] = {}
    for table in catalog.tables.values():
        for parent in table.parents:
            children.setdefault(parent, []).append(table)
    return children


def permanent_tables(catalog: Catalog) -> Iterator[Table]:
    """Return all tables except temporary ones."""
    return (table for table in catalog.tables.values() if table.persistence is not Persistence.TEMPORARY)


def non_partition_tables(catalog: Catalog) -> Iterator[Table]:
    """Return all tables except temporary tables and partitions. A partition is covered by its parent."""
    return (table for table in permanent_tables(catalog) if not table.is_partition)


def column_location(table: Table, column: str) -> SourceLocation | None:
    """Return the location of a column's definition, or else of its table's definition."""
    definition = table.column(column)
    return (definition.location if definition else None) or table.location
