"""Schema snapshots, stored as comparable facts."""

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
class ObjectDescription:
    """A database object: the parent it depends on (empty: none), and its facts by name."""

    parent: str
    facts: Mapping[str, str]


SchemaSnapshot = Mapping[str, ObjectDescription]
"""Objects by their names in PostgreSQL's format: `table public.r_totals`, `index public.r_totals_idx`."""


def read_schema_snapshot(connection: psycopg.Connection[Any]) -> SchemaSnapshot:
    """Return a database's schema without data and without objects that belong to extensions or Confiture."""
    statement = (files("confiture.testing") / f"schema_snapshot{QUALIFIED}").read_bytes()
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
        name: ObjectDescription(parent=names.get(parents[name], "") if name in parents else "", facts=object_facts)
        for name, object_facts in facts.items()
    }


def format_differences(
    expected: SchemaSnapshot, actual: SchemaSnapshot, ignore: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return the differences from the expected schema as lines. `ignore` contains glob patterns for objects."""
    expected, actual = _apply_ignore(expected, ignore), _apply_ignore(actual, ignore)
    lines: list[str] = []
    lines += [f"unexpected: {name}" for name in _only_in(actual, expected)]
    lines += [f"missing: {name}" for name in _only_in(expected, actual)]
    for name in sorted(set(expected) & set(actual)):
        changes = list(_property_changes(expected[name].facts, actual[name].facts))
        if changes:
            lines.append(f"different: {name}")
            lines += changes
    return tuple(lines)


def _apply_ignore(snapshot: SchemaSnapshot, ignore: tuple[str, ...]) -> SchemaSnapshot:
    def is_ignored(name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in ignore)

    return {name: one for name, one in snapshot.items() if not is_ignored(name) and not is_ignored(one.parent)}


def _only_in(snapshot: SchemaSnapshot, other: SchemaSnapshot) -> list[str]:
    """Return the objects that exist only in `snapshot`, except those whose parent also exists only in `snapshot`."""
    names = {name for name in snapshot if name not in other}
    return sorted(name for name in names if snapshot[name].parent not in names)


def _property_changes(expected: Mapping[str, str], actual: Mapping[str, str]) -> Iterator[str]:
    for fact in sorted({*expected, *actual}):
        before, after = expected.get(fact, "none"), actual.get(fact, "none")
        if before == after:
            continue
        if "\n" in before + after:
            yield f"  {fact}, expected (-) and actual (+):"
            lines = ndiff(before.strip().splitlines(), after.strip().splitlines())
            yield from (f"    {line}" for line in lines if not line.startswith("?"))
        else:
            yield f"  {fact}: {after}, not {before}"
