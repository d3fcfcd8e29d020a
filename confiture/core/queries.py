"""Our own SQL: named statements, and the definitions of our tables."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_FILES = (
    "queries.sql",
    "catalog.sql",
    "dry_run/trace.sql",
    "backfill/backfill.sql",
    "reconcile/reconcile.sql",
    "tenancy/tenancy.sql",
)
_STATE = (("state.sql",), ("reconcile/state.sql", "backfill/state.sql"))
"""What each format of our tables added, from the first on."""
_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def _queries() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for file in _FILES:
        _, *parts = _HEADING.split((files("confiture.core") / file).read_text(encoding="utf-8"))
        found |= {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return found


def query(name: str) -> bytes:
    """The statement of that name in our SQL files. Raises KeyError where there is none."""
    return _queries()[name]


def state_ddl(since: int) -> bytes:
    """The statements that make our own tables, or what a format of them has more than the format `since`."""
    added = (file for files_of_format in _STATE[since:] for file in files_of_format)
    return b"\n".join((files("confiture.core") / file).read_bytes() for file in added)
