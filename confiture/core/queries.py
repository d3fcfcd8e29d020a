"""Our own SQL: named statements of queries.sql, catalog.sql and trace.sql, and the tables of state.sql."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def _queries() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for file in ("queries.sql", "catalog.sql", "dry_run/trace.sql"):
        _, *parts = _HEADING.split((files("confiture.core") / file).read_text(encoding="utf-8"))
        found |= {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return found


def query(name: str) -> bytes:
    """The statement of that name in our SQL files. Raises KeyError where there is none."""
    return _queries()[name]


def state_ddl() -> bytes:
    """The statements that make our own tables."""
    return (files("confiture.core") / "state.sql").read_bytes()
