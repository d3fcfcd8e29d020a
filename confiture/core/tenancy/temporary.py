"""The temporary tables of our session, which the catalog of a database leaves out: a dry run may have made some."""

from __future__ import annotations

from dataclasses import replace

from confiture.core.database import Connection
from confiture.core.queries import query
from confiture.models.catalog import TEMPORARY, Catalog, Column, Name, Persistence, Table


def with_temporary_tables(connection: Connection, catalog: Catalog) -> Catalog:
    """The catalog with these tables too: their columns, without their keys."""
    rows = connection.execute(query("temporary_tables")).fetchall()
    if not rows:
        return catalog
    tables = [
        Table(
            name=Name(TEMPORARY, row["name"]),
            persistence=Persistence.TEMPORARY,
            columns=tuple(Column(**column) for column in row["columns"]),
        )
        for row in rows
    ]
    return replace(catalog, tables={**catalog.tables, **{table.name: table for table in tables}})
