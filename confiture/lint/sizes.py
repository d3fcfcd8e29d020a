"""What counts as a small and as a large table, where a database was asked."""

from __future__ import annotations

from typing import Any

from confiture.lint.subjects import StatementSubject
from confiture.models.catalog import PUBLIC, Name

SMALL_ROWS = 1_000
"""Below this, whatever a statement does to a table is over at once."""
LARGE_ROWS = 100_000
"""From this on, reading or writing all of a table is work that others notice."""


def name_of(subject: StatementSubject, range_var: Any) -> Name:
    """The name of the relation that a name in the tree means; one that the catalog lacks is in `public`."""
    found = subject.relation(range_var)
    return found.name if found else Name(range_var.schemaname or PUBLIC, range_var.relname)


def is_small(subject: StatementSubject, name: Name) -> bool:
    """Whether the table is known to be small; one that nobody counted is not."""
    rows = subject.rows(name)
    return rows is not None and rows < SMALL_ROWS


def is_large(subject: StatementSubject, name: Name) -> bool:
    """Whether the table is known to be large."""
    rows = subject.rows(name)
    return rows is not None and rows >= LARGE_ROWS
