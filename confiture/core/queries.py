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
FORMAT = 3
"""The format of our tables that this program writes. Each has a file in formats/, which says what it added."""
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
    """The statements that turn our tables of the format `since`, 0 where there are none, into those of today."""
    folder = files("confiture.core") / "formats"
    return b"\n".join((folder / f"{number}.sql").read_bytes() for number in range(since + 1, FORMAT + 1))
