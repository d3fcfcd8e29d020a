"""Renames and schema changes of relations and types, including all references to them."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import QualifiedName, Table, UserType, View
from confiture.models.records import replace
from confiture.sql.catalog.functions import find_function, rename_argument_type, rename_function
from confiture.sql.catalog.sequences import update_sequence_use
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.type_names import find_user_types, format_type, resolve_type
from confiture.sql.parse_tree import pb

_RELATIONS = frozenset(
    {pb.OBJECT_TABLE, pb.OBJECT_FOREIGN_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_SEQUENCE}
)
_FUNCTIONS = frozenset({pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_ROUTINE})
_TYPES = frozenset({pb.OBJECT_TYPE, pb.OBJECT_DOMAIN})


def set_schema(state: CatalogState, node: Any) -> None:
    """Apply ALTER ... SET SCHEMA."""
    state.names.require_schema(node.newschema)
    if node.object_type in _RELATIONS:
        relation = state.names.relation(node.relation)
        if relation:
            set_name_or_schema(state, relation.name, QualifiedName(node.newschema, relation.name.name))
        elif not node.missing_ok:
            state.names.report_missing(node.relation)
    elif node.object_type in _FUNCTIONS:
        function = find_function(state, node.object.object_with_args)
        if function:
            rename_function(state, function, QualifiedName(node.newschema, function.signature.name.name))
    elif node.object_type in _TYPES:
        parts = node.object.list.items if node.object.HasField("list") else node.object.type_name.names
        type_ = resolve_type(state, parts)
        if type_:
            rename_type(state, type_, QualifiedName(node.newschema, type_.name.name))


def set_name_or_schema(state: CatalogState, old: QualifiedName, new: QualifiedName) -> None:
    """Change a relation's name or schema, and update all references."""
    if old == new:
        return
    if state.names.is_taken(new):
        state.issues.report_duplicate("relation", new, state.names.find_definition(new))
        return
    dependents = state.dependencies.pop(old)
    if old in state.tables:
        _rename_table(state, old, new)
    elif old in state.views:
        view = replace(state.views.pop(old), name=new)
        state.views[new] = view
        state.view_types[new] = state.view_types.pop(old, ())
        _rename_indexes(state, view, old, new)
        state.dependencies.add(new, view.relations)
    elif old in state.sequences.all:
        sequence = state.sequences.all[old]
        state.sequences.remove(old)
        state.sequences.add(replace(sequence, name=new))
    state.grants.move("table", str(old), str(new))
    state.grants.move("sequence", str(old), str(new))
    for dependent in dependents:
        _update_references(state, dependent, old, new)
        _update_column_types(state, dependent, format_type(old), format_type(new))
        update_sequence_use(state, dependent, old, new)
    rename_argument_type(state, format_type(old), format_type(new))
    if dependents:
        state.dependencies.extend(new, dependents)


def _rename_table(state: CatalogState, old: QualifiedName, new: QualifiedName) -> None:
    table = state.tables.pop(old)
    if old in state.issues.partial:
        state.issues.partial.remove(old)
        state.issues.partial.add(new)
    constraints = tuple(replace(one, target=new) if one.target == old else one for one in table.constraints)
    table = replace(table, name=new, constraints=constraints)
    state.tables[new] = table
    _rename_indexes(state, table, old, new)
    if old.schema != new.schema:
        for name in (*(one.name for one in constraints), *(one.not_null_constraint for one in table.columns)):
            if name:
                state.constraints.release(old.schema, name)
                state.constraints.reserve(new.schema, name)
    for sequence in state.sequences.find_owned(old):
        state.sequences.remove(sequence.name)
        new_sequence_name = QualifiedName(new.schema, sequence.name.name)
        state.sequences.add(
            replace(sequence, name=new_sequence_name, owner=(new, sequence.owner[1] if sequence.owner else ""))
        )
        tables = {new if user == old else user for user in state.dependencies.pop(sequence.name)}
        state.dependencies.extend(new_sequence_name, tables)
        for user in tables if new_sequence_name != sequence.name else ():
            update_sequence_use(state, user, sequence.name, new_sequence_name)
    for trigger in table.triggers:
        state.dependencies.add_trigger(trigger.function, new)
    _rename_row_type(state, old, new)
    state.dependencies.add(new, [one.target for one in constraints if one.target and one.target != new])
    state.dependencies.add(new, table.parents)


def _rename_row_type(state: CatalogState, old: QualifiedName, new: QualifiedName) -> None:
    """Move the table's dependencies on column types to its new name."""
    for column in state.tables[new].columns:
        for name in find_user_types(column.type):
            if old in state.dependencies.dependents.get(name, ()):
                state.dependencies.add(new, (name,))


def _rename_indexes(state: CatalogState, relation: Table | View, old: QualifiedName, new: QualifiedName) -> None:
    for index in relation.indexes:
        before, after = QualifiedName(old.schema, index.name), QualifiedName(new.schema, index.name)
        state.indexes.owners.pop(before, None)
        state.indexes.owners[after] = new
        if before in state.indexes.parents:
            state.indexes.parents[after] = state.indexes.parents.pop(before)


def _update_references(state: CatalogState, dependent: QualifiedName, old: QualifiedName, new: QualifiedName) -> None:
    view = state.views.get(dependent)
    if view and old in view.relations:
        state.views[dependent] = replace(view, relations=tuple(new if one == old else one for one in view.relations))
    table = state.tables.get(dependent)
    if table:
        state.tables[dependent] = replace(
            table,
            parents=tuple(new if one == old else one for one in table.parents),
            constraints=tuple(replace(one, target=new) if one.target == old else one for one in table.constraints),
        )


def rename_type(state: CatalogState, type_: UserType, new: QualifiedName) -> None:
    """Change a type's name or schema, and update the columns of that type."""
    other = state.types.get(new)
    if other is type_:
        return
    if other:
        state.issues.report_duplicate("type", new, other.location)
        return
    old = type_.name
    del state.types[old]
    state.types[new] = replace(type_, name=new)
    users = state.dependencies.pop(old)
    state.dependencies.extend(new, users)
    before, after = format_type(old), format_type(new)
    for user in users:
        _update_column_types(state, user, before, after)
    rename_argument_type(state, before, after)
    state.grants.move("type", before, after)


def _update_column_types(state: CatalogState, user: QualifiedName, before: str, after: str) -> None:
    """Update a type's name in a relation's columns."""
    table = state.tables.get(user)
    if table and any(one.type in (before, f"{before}[]") for one in table.columns):
        columns = tuple(
            replace(one, type=one.type.replace(before, after, 1)) if one.type in (before, f"{before}[]") else one
            for one in table.columns
        )
        state.tables[user] = replace(table, columns=columns)
