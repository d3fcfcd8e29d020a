"""The operators of types, written out for SQL that we put together, so that no search path chooses others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.sql.expressions import quote_identifier

CATALOG = "pg_catalog"
FIRST_USER_OID = 16_384
"""What PostgreSQL came with has smaller OIDs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operators:
    """Where the comparison operators of types are: in pg_catalog, but for some types of extensions.

    `schemas` holds those types by their names, with and without their schemas. So does `base_types` the domains, with
    the types below them.
    """

    schemas: Mapping[str, str] = field(default_factory=dict)
    base_types: Mapping[str, str] = field(default_factory=dict)

    def schema_for(self, type_name: str) -> str:
        """The schema of a type's operators. The name is without a length."""
        return self.schemas.get(type_name, CATALOG)

    def base_type(self, type_name: str) -> str:
        """A type without its domain: a cast to a domain runs its checks, and its owner may give it operators."""
        return self.base_types.get(type_name, type_name)


def read_operators(connection: Connection) -> Operators:
    """The operators of the types that the database has."""
    rows = connection.execute(query("operator_schemas")).fetchall()
    named = [(row[form], row) for row in rows for form in ("name", "full_name")]
    return Operators(
        schemas={name: row["schema"] for name, row in named if row["schema"]},
        base_types={name: row["base"] for name, row in named if row["base"]},
    )


def qualified_operator(symbol: str, schema: str = CATALOG) -> str:
    """An operator as SQL has it, written out: `OPERATOR(pg_catalog.=)`. All such operators bind alike."""
    return f"OPERATOR({quote_identifier(schema)}.{symbol})"


def to_text(value: sql.Composable, *, is_builtin: bool) -> sql.Composed:
    """The text of a value, as its output function prints it. The owner of a type that PostgreSQL did not come with may
    give it a cast to text, and one to json: it is their function that would run.
    """
    if is_builtin:
        return sql.SQL("{}::pg_catalog.text").format(value)
    # of a composite value, IS NULL says whether its fields are
    return sql.SQL("CASE WHEN {} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {}) END").format(value, value)
