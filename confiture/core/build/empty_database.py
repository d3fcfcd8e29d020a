"""The check that a database is empty before it is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.errors import Diagnostic, InputError
from confiture.text import pluralize

_LOCKS = 1_669_427_322
"""The class of the advisory locks for builds."""
_MOST_NAMES = 10


def require_empty_database(connection: Connection, label: str) -> None:
    """Raise InputError if the connected database contains objects of its own.

    Lock the database for other builds until the transaction ends. The database is called `label` in the message.
    """
    connection.execute(query("lock_build"), {"locks": _LOCKS})
    rows = connection.execute(query("existing_objects")).fetchall()
    if rows:
        raise InputError(_not_empty(label, [(row["type"], row["identity"]) for row in rows]))


def _not_empty(label: str, objects: Sequence[tuple[str, str]]) -> Diagnostic:
    kinds = Counter(kind for kind, _ in objects)
    numbers = ", ".join(pluralize(number, kind) for kind, number in sorted(kinds.items(), key=_size))
    names = [f"{kind} {identity}" for kind, identity in objects[:_MOST_NAMES]]
    if len(objects) > _MOST_NAMES:
        names.append(f"and {len(objects) - _MOST_NAMES:,} more")
    return Diagnostic(
        code="not-empty",
        message=f"{label} is not empty: it contains {numbers}",
        detail=tuple(names),
        hint="name an empty database with --database; `confiture build --check` builds in a throwaway database",
    )


def _size(item: tuple[str, int]) -> tuple[int, str]:
    kind, number = item
    return -number, kind
