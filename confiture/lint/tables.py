"""What schema rules ask of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from confiture.lint.sizes import SMALL_ROWS
from confiture.lint.subjects import SchemaSubject
from confiture.models.catalog import Catalog, Name, Persistence, Table
from confiture.models.source import Place

Parts = Mapping[Name, list[Table]]
"""The tables that have a table as a parent: its partitions, or what inherits from it."""


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


def is_small(subject: SchemaSubject, table: Name) -> bool:
    """Whether the table is known to be small; where no database was asked, it is not."""
    rows = subject.surroundings.table_rows.get(table)
    return rows is not None and rows < SMALL_ROWS


def column_place(table: Table, column: str) -> Place | None:
    """Where a column was defined, or else its table."""
    found = table.column(column)
    return (found.place if found else None) or table.place
