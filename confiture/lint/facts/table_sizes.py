"""Tables: how large they are, where a database was asked, which are partitions, and where they are defined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from confiture.lint.engine.context import SchemaContext, StatementContext
from confiture.models.catalog import PUBLIC, Catalog, Persistence, QualifiedName, Table
from confiture.models.source import SourceLocation

SMALL_ROWS = 1_000
"""Below this, whatever a statement does to a table is over at once."""
LARGE_ROWS = 100_000
"""From this on, reading or writing all of a table is work that others notice."""


Parts = Mapping[QualifiedName, list[Table]]
"""The tables that have a table as a parent: its partitions, or what inherits from it."""


def resolve_relation_name(context: StatementContext, range_var: Any) -> QualifiedName:
    """The name of the relation that a name in the tree means; one that the catalog lacks is in `public`."""
    found = context.relation(range_var)
    return found.name if found else QualifiedName(range_var.schemaname or PUBLIC, range_var.relname)


def is_small_table(context: SchemaContext | StatementContext, name: QualifiedName) -> bool:
    """Whether the table is known to be small; one that nobody counted is not."""
    rows = context.target.table_rows.get(name)
    return rows is not None and rows < SMALL_ROWS


def is_large(context: StatementContext, name: QualifiedName) -> bool:
    """Whether the table is known to be large."""
    rows = context.rows(name)
    return rows is not None and rows >= LARGE_ROWS


def children_by_parent(catalog: Catalog) -> Parts:
    """Of each table that is a parent, its children."""
    found: dict[QualifiedName, list[Table]] = {}
    for table in catalog.tables.values():
        for parent in table.parents:
            found.setdefault(parent, []).append(table)
    return found


def permanent_tables(catalog: Catalog) -> Iterator[Table]:
    """All tables but temporary ones."""
    return (table for table in catalog.tables.values() if table.persistence is not Persistence.TEMPORARY)


def non_partition_tables(catalog: Catalog) -> Iterator[Table]:
    """All tables but temporary ones and partitions, which are as the table that they are part of."""
    return (table for table in permanent_tables(catalog) if not table.is_partition)


def column_location(table: Table, column: str) -> SourceLocation | None:
    """Where a column was defined, or else its table."""
    found = table.column(column)
    return (found.location if found else None) or table.location
