"""Sequences, and the defaults of columns that use them."""

from __future__ import annotations

import re
from typing import Any

from confiture.models.catalog import Name, Sequence, Table
from confiture.models.values import replace
from confiture.sql.catalog.resolving import written
from confiture.sql.catalog.state import CatalogState
from confiture.sql.tree import strings

_NEXTVAL = re.compile(r"(nextval\(')((?:[^']|'')+)(')")


def create_sequence(state: CatalogState, node: Any) -> None:
    """CREATE SEQUENCE."""
    name = state.names.new_name(node.sequence)
    if state.names.is_taken(name):
        if not node.if_not_exists:
            state.issues.report_duplicate("relation", name, state.names.defined_at(name), node.sequence.location)
        return
    state.names.require_schema(name.schema, node.sequence.location)
    state.sequences.add(
        Sequence(name=name, owner=_owner(state, node), place=state.issues.location(node.sequence.location))
    )
    state.created.add(name)


def alter_sequence(state: CatalogState, node: Any) -> None:
    """ALTER SEQUENCE ... OWNED BY."""
    found = state.names.relation(node.sequence)
    if not isinstance(found, Sequence):
        if found is None and not node.missing_ok:
            state.names.report_missing(node.sequence, "sequence")
        return
    if any(one.def_elem.defname == "owned_by" for one in node.options):
        owner = _owner(state, node)
        state.sequences.remove(found.name)
        state.sequences.add(replace(found, owner=owner))


def _owner(state: CatalogState, node: Any) -> tuple[Name, str] | None:
    for option in node.options:
        if option.def_elem.defname == "owned_by":
            parts = strings(option.def_elem.arg.list.items)
            if len(parts) < 2:
                return None
            table = state.catalog.relation(parts[-3] if len(parts) > 2 else None, parts[-2])
            if not isinstance(table, Table):
                state.issues.report_missing("table", ".".join(parts[:-1]))
                return None
            if table.column(parts[-1]) is None:
                state.issues.report_missing_column(table.name, parts[-1])
            return table.name, parts[-1]
    return None


def next_value(sequence: Name) -> str:
    """The text of the default."""
    text = written(sequence).replace("'", "''")
    return f"nextval('{text}'::regclass)"


def note_sequence(state: CatalogState, table: Name, default: str | None) -> None:
    """Notes that a table depends on the sequence of a default."""
    named = _named(default)
    found = state.catalog.relation(*named) if named else None
    if isinstance(found, Sequence):
        state.dependencies.add(table, (found.name,))


def forget_sequence(state: CatalogState, table: Name, sequence: Name) -> None:
    """Takes the defaults away that use a sequence that went."""
    _replace(state, table, sequence, None)


def follow_sequence(state: CatalogState, table: Name, old: Name, new: Name) -> None:
    """Writes the new name of a sequence into the defaults that use it."""
    _replace(state, table, old, new)


def _named(default: str | None) -> tuple[str | None, str] | None:
    """Schema, where it is said, and name of the sequence of a default."""
    found = _NEXTVAL.search(default) if default and "nextval(" in default else None
    if found is None:
        return None
    parts = [part.strip('"') for part in found[2].replace("''", "'").split(".")]
    return (parts[-2] if len(parts) > 1 else None), parts[-1]


def _replace(state: CatalogState, name: Name, old: Name, new: Name | None) -> None:
    table = state.tables.get(name)
    if table is None:
        return
    same = ((old.schema, old.name), (None, old.name))
    columns = tuple(
        replace(one, default=_renamed(one.default, new)) if one.default and _named(one.default) in same else one
        for one in table.columns
    )
    state.tables[name] = replace(table, columns=columns)


def _renamed(default: str, new: Name | None) -> str | None:
    if new is None:
        return None
    spelled = written(new).replace("'", "''")
    return _NEXTVAL.sub(lambda found: f"{found[1]}{spelled}{found[3]}", default)
