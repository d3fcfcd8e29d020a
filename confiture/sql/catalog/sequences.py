"""Sequences, and the defaults of columns that use them."""

from __future__ import annotations

import re
from typing import Any

from confiture.models.catalog import QualifiedName, Sequence, Table
from confiture.models.records import replace
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.type_names import format_type
from confiture.sql.parse_tree import strings

_NEXTVAL = re.compile(r"(nextval\(')((?:[^']|'')+)(')")


def create_sequence(state: CatalogState, node: Any) -> None:
    """CREATE SEQUENCE."""
    name = state.names.new_name(node.sequence)
    if state.names.is_taken(name):
        if not node.if_not_exists:
            state.issues.report_duplicate("relation", name, state.names.find_definition(name), node.sequence.location)
        return
    state.names.require_schema(name.schema, node.sequence.location)
    state.sequences.add(
        Sequence(name=name, owner=_find_owner(state, node), location=state.issues.location(node.sequence.location))
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
        owner = _find_owner(state, node)
        state.sequences.remove(found.name)
        state.sequences.add(replace(found, owner=owner))


def _find_owner(state: CatalogState, node: Any) -> tuple[QualifiedName, str] | None:
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


def nextval_text(sequence: QualifiedName) -> str:
    """The text of the default."""
    text = format_type(sequence).replace("'", "''")
    return f"nextval('{text}'::regclass)"


def add_sequence_use(state: CatalogState, table: QualifiedName, default: str | None) -> None:
    """Notes that a table depends on the sequence of a default."""
    named = _find_sequence_name(default)
    found = state.catalog.relation(*named) if named else None
    if isinstance(found, Sequence):
        state.dependencies.add(table, (found.name,))


def remove_sequence_use(state: CatalogState, table: QualifiedName, sequence: QualifiedName) -> None:
    """Takes the defaults away that use a sequence that went."""
    _replace_defaults(state, table, sequence, None)


def update_sequence_use(state: CatalogState, table: QualifiedName, old: QualifiedName, new: QualifiedName) -> None:
    """Writes the new name of a sequence into the defaults that use it."""
    _replace_defaults(state, table, old, new)


def _find_sequence_name(default: str | None) -> tuple[str | None, str] | None:
    """Schema, where it is said, and name of the sequence of a default."""
    found = _NEXTVAL.search(default) if default and "nextval(" in default else None
    if found is None:
        return None
    parts = [part.strip('"') for part in found[2].replace("''", "'").split(".")]
    return (parts[-2] if len(parts) > 1 else None), parts[-1]


def _replace_defaults(state: CatalogState, name: QualifiedName, old: QualifiedName, new: QualifiedName | None) -> None:
    table = state.tables.get(name)
    if table is None:
        return
    same = ((old.schema, old.name), (None, old.name))
    columns = tuple(
        replace(one, default=_rename_default(one.default, new))
        if one.default and _find_sequence_name(one.default) in same
        else one
        for one in table.columns
    )
    state.tables[name] = replace(table, columns=columns)


def _rename_default(default: str, new: QualifiedName | None) -> str | None:
    if new is None:
        return None
    spelled = format_type(new).replace("'", "''")
    return _NEXTVAL.sub(lambda found: f"{found[1]}{spelled}{found[3]}", default)
