"""Formatting of names and statements for messages and remedies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confiture.models.catalog import PUBLIC, QualifiedName
from confiture.sql.parse_tree import quote_identifier

NEXT = "-- and so on, each in its own transaction"
"""The comment after the first of several batches."""


def qualified_name(name: QualifiedName) -> str:
    """Return an object's quoted name, with its schema unless the schema is `public`."""
    bare = quote_identifier(name.name)
    return bare if name.schema == PUBLIC else f"{quote_identifier(name.schema)}.{bare}"


def join_identifiers(names: Iterable[str]) -> str:
    """Return the quoted names, separated by commas."""
    return ", ".join(map(quote_identifier, names))


def join_and_truncate(names: Sequence[str], longest: int = 4) -> str:
    """Join names into a list for a sentence; shorten the list if there are more than `longest`."""
    if len(names) > longest:
        return f"{', '.join(names[: longest - 1])} and {len(names) - longest + 1} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
