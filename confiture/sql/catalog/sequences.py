"""Sequences, and the column defaults that use them."""

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
    """Apply CREATE SEQUENCE."""
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
    """Apply ALTER SEQUENCE ... OWNED BY."""
    sequence = state.names.relation(node.sequence)
    if not isinstance(sequence, Sequence):
        if sequence is None and not node.missing_ok:
            state.names.report_missing(node.sequence, "sequence")
        return
    if any(one.def_elem.defname == "owned_by" for one in node.options):
        owner = _find_owner(state, node)
        state.sequences.remove(sequence.name)
        state.sequences.add(replace(sequence, owner=owner))


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
    """Return the default's text."""
    text = format_type(sequence).replace("'", "''")
    return f"nextval('{text}'::regclass)"


def add_sequence_use(state: CatalogState, table: QualifiedName, default: str | None) -> None:
    """Record that a table depends on the sequence of a default."""
    name_parts = _find_sequence_name(default)
    sequence = state.catalog.relation(*name_parts) if name_parts else None
    if isinstance(sequence, Sequence):
        state.dependencies.add(table, (sequence.name,))


def remove_sequence_use(state: CatalogState, table: QualifiedName, sequence: QualifiedName) -> None:
    """Remove the defaults that use a removed sequence."""
    _replace_defaults(state, table, sequence, None)


def update_sequence_use(state: CatalogState, table: QualifiedName, old: QualifiedName, new: QualifiedName) -> None:
    """Update the name of a sequence in the defaults that use it."""
    _replace_defaults(state, table, old, new)


def _find_sequence_name(default: str | None) -> tuple[str | None, str] | None:
    """Return the schema, if given, and the name of the sequence that a default uses."""
    match = _NEXTVAL.search(default) if default and "nextval(" in default else None
    if match is None:
        return None
    parts = [part.strip('"') for part in match[2].replace("''", "'").split(".")]
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
    type_text = format_type(new).replace("'", "''")
    return _NEXTVAL.sub(lambda match: f"{match[1]}{type_text}{match[3]}", default)
