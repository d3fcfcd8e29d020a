"""What a schema consists of, as facts that can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import ndiff
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from confiture.models.query_files import QUALIFIED


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """An object: the one that it goes and comes with (empty: none), and what is said of it, by name."""

    parent: str
    facts: Mapping[str, str]


Inventory = Mapping[str, Described]
"""Objects by what PostgreSQL calls them: `table public.r_totals`, `index public.r_totals_idx`."""


def read_inventory(connection: psycopg.Connection[Any]) -> Inventory:
    """What the schema of a database consists of, without data, and without what extensions and Confiture made."""
    statement = (files("confiture.testing") / f"inventory{QUALIFIED}").read_bytes()
    names: dict[tuple[int, int, int], str] = {}
    parents: dict[str, tuple[int, int, int]] = {}
    facts: dict[str, dict[str, str]] = {}
    with connection.transaction(force_rollback=True), connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute("SET LOCAL search_path = ''")
        for kind, number, column, name, parent_kind, parent, fact, value in cursor.execute(statement):
            names[kind, number, column] = name
            facts.setdefault(name, {})[fact] = value
            if parent:
                parents[name] = (parent_kind, parent, 0)
    return {
        name: Described(parent=names.get(parents[name], "") if name in parents else "", facts=known)
        for name, known in facts.items()
    }


def differences(wanted: Inventory, found: Inventory, ignore: tuple[str, ...] = ()) -> tuple[str, ...]:
    """How a schema differs from the one that is wanted, a line or a few for each object. `ignore` are glob patterns."""
    wanted, found = _without(wanted, ignore), _without(found, ignore)
    lines: list[str] = []
    lines += [f"too much: {name}" for name in _alone(found, wanted)]
    lines += [f"missing: {name}" for name in _alone(wanted, found)]
    for name in sorted(set(wanted) & set(found)):
        changes = list(_changes(wanted[name].facts, found[name].facts))
        if changes:
            lines.append(f"different: {name}")
            lines += changes
    return tuple(lines)


def _without(inventory: Inventory, ignore: tuple[str, ...]) -> Inventory:
    def ignored(name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in ignore)

    return {name: one for name, one in inventory.items() if not ignored(name) and not ignored(one.parent)}


def _alone(here: Inventory, there: Inventory) -> list[str]:
    """What is in one only; what goes with an object that is in one only needs no words."""
    alone = {name for name in here if name not in there}
    return sorted(name for name in alone if here[name].parent not in alone)


def _changes(wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for fact in sorted({*wanted, *found}):
        before, after = wanted.get(fact, "none"), found.get(fact, "none")
        if before == after:
            continue
        if "\n" in before + after:
            yield f"  {fact}, wanted (-) and found (+):"
            lines = ndiff(before.strip().splitlines(), after.strip().splitlines())
            yield from (f"    {line}" for line in lines if not line.startswith("?"))
        else:
            yield f"  {fact}: {after}, not {before}"
