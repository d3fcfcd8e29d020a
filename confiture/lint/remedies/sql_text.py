"""Writes names and statements for messages and remedies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confiture.models.catalog import PUBLIC, QualifiedName
from confiture.sql.parse_tree import quote_identifier

NEXT = "-- and so on, each committed by itself"
"""Follows the first of several batches."""


def qualified_name(name: QualifiedName) -> str:
    """The name of an object as SQL writes it, with its schema unless that is `public`."""
    bare = quote_identifier(name.name)
    return bare if name.schema == PUBLIC else f"{quote_identifier(name.schema)}.{bare}"


def join_identifiers(names: Iterable[str]) -> str:
    """Names as SQL writes them, with commas between them."""
    return ", ".join(map(quote_identifier, names))


def join_and_truncate(names: Sequence[str], longest: int = 4) -> str:
    """Names in a sentence, the first of them where they are many."""
    if len(names) > longest:
        return f"{', '.join(names[: longest - 1])} and {len(names) - longest + 1} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
