"""Schema-qualified operators for generated SQL, so that a search path cannot select others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.sql.expressions import quote_identifier

CATALOG = "pg_catalog"
FIRST_USER_OID = 16_384
"""Built-in objects have smaller OIDs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operators:
    """The schemas of the types' comparison operators: pg_catalog, except for some types of extensions.

    `schemas` maps the exceptions to their schemas, by their names with and without schema. `base_types` maps the names
    of domains to their base types in the same way.
    """

    schemas: Mapping[str, str] = field(default_factory=dict)
    base_types: Mapping[str, str] = field(default_factory=dict)

    def schema_for(self, type_name: str) -> str:
        """Return the schema of a type's operators. The name must not contain a length."""
        return self.schemas.get(type_name, CATALOG)

    def base_type(self, type_name: str) -> str:
        """Return the base type of a domain: casts to a domain run its checks, and its owner can create operators."""
        return self.base_types.get(type_name, type_name)


def read_operators(connection: Connection) -> Operators:
    """Return the operators of the database's types."""
    rows = connection.execute(query("operator_schemas")).fetchall()
    named = [(row[form], row) for row in rows for form in ("name", "full_name")]
    return Operators(
        schemas={name: row["schema"] for name, row in named if row["schema"]},
        base_types={name: row["base"] for name, row in named if row["base"]},
    )


def qualified_operator(symbol: str, schema: str = CATALOG) -> str:
    """Return a qualified operator as SQL: `OPERATOR(pg_catalog.=)`. All such operators have the same precedence."""
    return f"OPERATOR({quote_identifier(schema)}.{symbol})"


def to_text(value: sql.Composable, *, is_builtin: bool) -> sql.Composed:
    """Return the text of a value, as its output function prints it.

    The owner of a user-defined type can define casts to text and json, whose functions would run.
    """
    if is_builtin:
        return sql.SQL("{}::pg_catalog.text").format(value)
    # For a composite value, IS NULL checks its fields.
    return sql.SQL("CASE WHEN {} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {}) END").format(value, value)
