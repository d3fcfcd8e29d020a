"""Tables: how large they are, where a database was asked, which are partitions, and where they are defined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from confiture.lint.engine.context import SchemaSubject, StatementSubject
from confiture.models.catalog import PUBLIC, Catalog, Name, Persistence, Table
from confiture.models.source import Place

SMALL_ROWS = 1_000
"""Below this, whatever a statement does to a table is over at once."""
LARGE_ROWS = 100_000
"""From this on, reading or writing all of a table is work that others notice."""


Parts = Mapping[Name, list[Table]]
"""The tables that have a table as a parent: its partitions, or what inherits from it."""


def name_of(subject: StatementSubject, range_var: Any) -> Name:
    """The name of the relation that a name in the tree means; one that the catalog lacks is in `public`."""
    found = subject.relation(range_var)
    return found.name if found else Name(range_var.schemaname or PUBLIC, range_var.relname)


def is_small(subject: SchemaSubject | StatementSubject, name: Name) -> bool:
    """Whether the table is known to be small; one that nobody counted is not."""
    rows = subject.surroundings.table_rows.get(name)
    return rows is not None and rows < SMALL_ROWS


def is_large(subject: StatementSubject, name: Name) -> bool:
    """Whether the table is known to be large."""
    rows = subject.rows(name)
    return rows is not None and rows >= LARGE_ROWS


def parts_of(catalog: Catalog) -> Parts:
    """Of each table that is a parent, its children."""
    found: dict[Name, list[Table]] = {}
    for table in catalog.tables.values():
        for parent in table.parents:
            found.setdefault(parent, []).append(table)
    return found


def lasting_tables(catalog: Catalog) -> Iterator[Table]:
    """All tables but temporary ones."""
    return (table for table in catalog.tables.values() if table.persistence is not Persistence.TEMPORARY)


def whole_tables(catalog: Catalog) -> Iterator[Table]:
    """All tables but temporary ones and partitions, which are as the table that they are part of."""
    return (table for table in lasting_tables(catalog) if not table.is_partition)


def column_place(table: Table, column: str) -> Place | None:
    """Where a column was defined, or else its table."""
    found = table.column(column)
    return (found.place if found else None) or table.place
