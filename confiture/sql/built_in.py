"""What PostgreSQL brings along, as `built_in.json` holds it: read off real servers by the queries that stand there."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class BuiltInFunctions(NamedTuple):
    """Functions by name, and casts that leave a value's bytes as they are (source and target type)."""

    volatile: frozenset[str]
    not_volatile: frozenset[str]
    binary_casts: frozenset[tuple[str, str]]


@cache
def load_built_in_functions() -> BuiltInFunctions:
    """Of all servers that were asked together: a name is volatile where one function of that name is."""
    data = json.loads((files("confiture.sql") / "built_in.json").read_text())
    casts = (cast.split(" -> ") for cast in data["binary_casts"])
    return BuiltInFunctions(
        volatile=frozenset(" ".join(data["volatile"]).split()),
        not_volatile=frozenset(" ".join(data["not_volatile"]).split()),
        binary_casts=frozenset((source, target) for source, target in casts),
    )
