"""Defaults that take the next value of a sequence: they follow it to another name, and go with it."""

from __future__ import annotations

import re

from confiture.models.catalog import Name, Sequence
from confiture.models.values import replace
from confiture.sql.catalog.resolving import written
from confiture.sql.catalog.work import Work

_NEXTVAL = re.compile(r"(nextval\(')((?:[^']|'')+)(')")


def next_value(sequence: Name) -> str:
    """The text of the default."""
    text = written(sequence).replace("'", "''")
    return f"nextval('{text}'::regclass)"


def note_sequence(work: Work, table: Name, default: str | None) -> None:
    """Notes that a table depends on the sequence of a default."""
    named = _named(default)
    found = work.catalog.relation(*named) if named else None
    if isinstance(found, Sequence):
        work.depend(table, (found.name,))


def forget_sequence(work: Work, table: Name, sequence: Name) -> None:
    """Takes the defaults away that use a sequence that went."""
    _replace(work, table, sequence, None)


def follow_sequence(work: Work, table: Name, old: Name, new: Name) -> None:
    """Writes the new name of a sequence into the defaults that use it."""
    _replace(work, table, old, new)


def _named(default: str | None) -> tuple[str | None, str] | None:
    """Schema, where it is said, and name of the sequence of a default."""
    found = _NEXTVAL.search(default) if default and "nextval(" in default else None
    if found is None:
        return None
    parts = [part.strip('"') for part in found[2].replace("''", "'").split(".")]
    return (parts[-2] if len(parts) > 1 else None), parts[-1]


def _replace(work: Work, name: Name, old: Name, new: Name | None) -> None:
    table = work.tables.get(name)
    if table is None:
        return
    same = ((old.schema, old.name), (None, old.name))
    columns = tuple(
        replace(one, default=_renamed(one.default, new)) if one.default and _named(one.default) in same else one
        for one in table.columns
    )
    work.tables[name] = replace(table, columns=columns)


def _renamed(default: str, new: Name | None) -> str | None:
    if new is None:
        return None
    spelled = written(new).replace("'", "''")
    return _NEXTVAL.sub(lambda found: f"{found[1]}{spelled}{found[3]}", default)
