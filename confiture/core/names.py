"""Names of relations as SQL has them."""

from __future__ import annotations

from confiture.models.catalog import Name
from confiture.models.plan import TableRef
from confiture.sql.tree import identifier


def quoted(table: TableRef | Name) -> str:
    """A relation's name, quoted where it must be, behind its schema's where that is said: also for `to_regclass`."""
    return ".".join(identifier(part) for part in table if part)
