"""The operators of types, written out for SQL that we put together, so that no search path chooses others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.sql.expressions import quote_identifier

CATALOG = "pg_catalog"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operators:
    """Where the comparison operators of types are: in pg_catalog, but for some types of extensions.

    `schemas` holds those types by their names, with and without their schemas.
    """

    schemas: Mapping[str, str] = field(default_factory=dict)

    def schema_for(self, type_name: str) -> str:
        """The schema of a type's operators. The name is without a length."""
        return self.schemas.get(type_name, CATALOG)


def read_operators(connection: Connection) -> Operators:
    """The operators of the types that the database has."""
    rows = connection.execute(query("operator_schemas")).fetchall()
    return Operators(schemas={row[form]: row["schema"] for row in rows for form in ("name", "full_name")})


def qualified_operator(symbol: str, schema: str = CATALOG) -> str:
    """An operator as SQL has it, written out: `OPERATOR(pg_catalog.=)`. All such operators bind alike."""
    return f"OPERATOR({quote_identifier(schema)}.{symbol})"
