"""Names of relations as SQL has them."""

from __future__ import annotations

from confiture.models.catalog import QualifiedName
from confiture.models.plan import TableRef
from confiture.sql.parse_tree import quote_identifier


def quote_table(table: TableRef | QualifiedName) -> str:
    """A relation's name, quoted where it must be, behind its schema's where that is said: also for `to_regclass`."""
    return ".".join(quote_identifier(part) for part in table if part)
