"""Operators with their schemas, for statements of ours around tables of users.

An operator without a schema is looked up by the search path: a role that may create in a schema on it can offer one
that fits a type better than PostgreSQL's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg import sql

from confiture.core.database import Connection
from confiture.core.queries import query

CATALOG = "pg_catalog"


def operator_schemas(connection: Connection, types: Iterable[str]) -> Mapping[str, str]:
    """For each type, as PostgreSQL writes it, the schema of the operators that compare its values."""
    rows = connection.execute(query("operator_schemas"), {"types": sorted({*types})})
    return {row["type"]: row["schema"] for row in rows}


def operator(sign: str, schema: str = CATALOG) -> sql.Composed:
    """An operator such as `=` of a schema, as SQL."""
    return sql.SQL("OPERATOR({}.{})").format(sql.Identifier(schema), sql.SQL(sign))
