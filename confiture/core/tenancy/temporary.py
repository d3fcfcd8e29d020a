"""The temporary tables of our session, which the catalog of a database leaves out: a dry run may have made some."""

from __future__ import annotations

from dataclasses import replace

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.models.catalog import TEMPORARY, Catalog, Persistence, QualifiedName, Table, TableColumn


def add_temporary_tables(connection: Connection, catalog: Catalog) -> Catalog:
    """The catalog with these tables too: their columns, without their keys."""
    rows = connection.execute(query("temporary_tables")).fetchall()
    if not rows:
        return catalog
    tables = [
        Table(
            name=QualifiedName(TEMPORARY, row["name"]),
            persistence=Persistence.TEMPORARY,
            columns=tuple(TableColumn(**column) for column in row["columns"]),
        )
        for row in rows
    ]
    return replace(catalog, tables={**catalog.tables, **{table.name: table for table in tables}})
