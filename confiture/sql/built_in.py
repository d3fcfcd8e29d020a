"""PostgreSQL's built-in functions and casts, from `built_in.json`.

That file also contains the queries that generated it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class BuiltInFunctions(NamedTuple):
    """Functions by name, and binary-coercible casts (source and target type)."""

    volatile: frozenset[str]
    not_volatile: frozenset[str]
    binary_casts: frozenset[tuple[str, str]]


@cache
def load_built_in_functions() -> BuiltInFunctions:
    """Return the functions from all queried server versions.

    A name is volatile if any function with that name is volatile.
    """
    data = json.loads((files("confiture.sql") / "built_in.json").read_text())
    casts = (cast.split(" -> ") for cast in data["binary_casts"])
    return BuiltInFunctions(
        volatile=frozenset(" ".join(data["volatile"]).split()),
        not_volatile=frozenset(" ".join(data["not_volatile"]).split()),
        binary_casts=frozenset((source, target) for source, target in casts),
    )
