"""Schema-qualified operators for generated SQL, so that the search path cannot select other operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.sql.expressions import quote_identifier

CATALOG = "pg_catalog"
FIRST_USER_OID = 16_384
"""The OIDs of built-in objects are below this value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operators:
    """The schemas that contain types' comparison operators: pg_catalog, except for some extension types.

    `schemas` maps these exceptional types to their schemas. The keys are type names with and without schema.
    `base_types` maps domain names to base types in the same way.
    """

    schemas: Mapping[str, str] = field(default_factory=dict)
    base_types: Mapping[str, str] = field(default_factory=dict)

    def schema_for(self, type_name: str) -> str:
        """Return the schema that contains a type's operators. The name must not contain a length."""
        return self.schemas.get(type_name, CATALOG)

    def base_type(self, type_name: str) -> str:
        """Return a domain's base type: casts to the domain run its checks, and its owner can create operators."""
        return self.base_types.get(type_name, type_name)


def read_operators(connection: Connection) -> Operators:
    """Return the operators for the types in the database."""
    rows = connection.execute(query("operator_schemas")).fetchall()
    named = [(row[form], row) for row in rows for form in ("name", "full_name")]
    return Operators(
        schemas={name: row["schema"] for name, row in named if row["schema"]},
        base_types={name: row["base"] for name, row in named if row["base"]},
    )


def qualified_operator(symbol: str, schema: str = CATALOG) -> str:
    """Return a qualified operator as SQL: `OPERATOR(pg_catalog.=)`. All of these have the same precedence."""
    return f"OPERATOR({quote_identifier(schema)}.{symbol})"


def to_text(value: sql.Composable, *, is_builtin: bool) -> sql.Composed:
    """Return SQL that converts a value to text with the output function of its type.

    A plain cast would run the cast functions to text and json that the owner of a user-defined type can define.
    """
    if is_builtin:
        return sql.SQL("{}::pg_catalog.text").format(value)
    # For a composite value, IS NULL checks the fields.
    return sql.SQL("CASE WHEN {} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {}) END").format(value, value)
