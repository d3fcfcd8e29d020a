"""Other names and schemas for relations and types: whatever refers to them follows."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Name, Table, UserType, View
from confiture.models.values import replace
from confiture.sql.catalog.functions import function_of, rename_function, retype_functions
from confiture.sql.catalog.resolving import named_type, type_names, written
from confiture.sql.catalog.sequences import follow_sequence
from confiture.sql.catalog.state import CatalogState
from confiture.sql.tree import pb

_RELATIONS = frozenset(
    {pb.OBJECT_TABLE, pb.OBJECT_FOREIGN_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_SEQUENCE}
)
_FUNCTIONS = frozenset({pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_ROUTINE})
_TYPES = frozenset({pb.OBJECT_TYPE, pb.OBJECT_DOMAIN})


def set_schema(state: CatalogState, node: Any) -> None:
    """ALTER ... SET SCHEMA."""
    state.names.require_schema(node.newschema)
    if node.object_type in _RELATIONS:
        found = state.names.relation(node.relation)
        if found:
            move(state, found.name, Name(node.newschema, found.name.name))
        elif not node.missing_ok:
            state.names.report_missing(node.relation)
    elif node.object_type in _FUNCTIONS:
        function = function_of(state, node.object.object_with_args)
        if function:
            rename_function(state, function, Name(node.newschema, function.signature.name.name))
    elif node.object_type in _TYPES:
        parts = node.object.list.items if node.object.HasField("list") else node.object.type_name.names
        type_ = named_type(state, parts)
        if type_:
            move_type(state, type_, Name(node.newschema, type_.name.name))


def move(state: CatalogState, old: Name, new: Name) -> None:
    """Gives a relation another name or schema, everywhere."""
    if old == new:
        return
    if state.names.is_taken(new):
        state.issues.report_duplicate("relation", new, state.names.defined_at(new))
        return
    dependents = state.dependencies.pop(old)
    if old in state.tables:
        _move_table(state, old, new)
    elif old in state.views:
        view = replace(state.views.pop(old), name=new)
        state.views[new] = view
        state.view_types[new] = state.view_types.pop(old, ())
        _move_indexes(state, view, old, new)
        state.dependencies.add(new, view.relations)
    elif old in state.sequences.all:
        sequence = state.sequences.all[old]
        state.sequences.remove(old)
        state.sequences.add(replace(sequence, name=new))
    state.grants.move("table", str(old), str(new))
    state.grants.move("sequence", str(old), str(new))
    for dependent in dependents:
        _retarget(state, dependent, old, new)
        _retype(state, dependent, written(old), written(new))
        follow_sequence(state, dependent, old, new)
    retype_functions(state, written(old), written(new))
    if dependents:
        state.dependencies.extend(new, dependents)


def _move_table(state: CatalogState, old: Name, new: Name) -> None:
    table = state.tables.pop(old)
    if old in state.issues.partial:
        state.issues.partial.remove(old)
        state.issues.partial.add(new)
    constraints = tuple(replace(one, target=new) if one.target == old else one for one in table.constraints)
    table = replace(table, name=new, constraints=constraints)
    state.tables[new] = table
    _move_indexes(state, table, old, new)
    if old.schema != new.schema:
        for name in (*(one.name for one in constraints), *(one.not_null_constraint for one in table.columns)):
            if name:
                state.constraints.release(old.schema, name)
                state.constraints.reserve(new.schema, name)
    for sequence in state.sequences.owned_by(old):
        state.sequences.remove(sequence.name)
        moved = Name(new.schema, sequence.name.name)
        state.sequences.add(replace(sequence, name=moved, owner=(new, sequence.owner[1] if sequence.owner else "")))
        users = {new if user == old else user for user in state.dependencies.pop(sequence.name)}
        state.dependencies.extend(moved, users)
        for user in users if moved != sequence.name else ():
            follow_sequence(state, user, sequence.name, moved)
    for trigger in table.triggers:
        state.dependencies.add_trigger(trigger.function, new)
    _move_types(state, old, new)
    state.dependencies.add(new, [one.target for one in constraints if one.target and one.target != new])
    state.dependencies.add(new, table.parents)


def _move_types(state: CatalogState, old: Name, new: Name) -> None:
    """A table's columns keep their types."""
    for column in state.tables[new].columns:
        for name in type_names(column.type):
            if old in state.dependencies.dependents.get(name, ()):
                state.dependencies.add(new, (name,))


def _move_indexes(state: CatalogState, relation: Table | View, old: Name, new: Name) -> None:
    for index in relation.indexes:
        before, after = Name(old.schema, index.name), Name(new.schema, index.name)
        state.indexes.owners.pop(before, None)
        state.indexes.owners[after] = new
        if before in state.indexes.parents:
            state.indexes.parents[after] = state.indexes.parents.pop(before)


def _retarget(state: CatalogState, dependent: Name, old: Name, new: Name) -> None:
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


def move_type(state: CatalogState, type_: UserType, new: Name) -> None:
    """Gives a type another name or schema; the columns of that type follow."""
    other = state.types.get(new)
    if other is type_:
        return
    if other:
        state.issues.report_duplicate("type", new, other.place)
        return
    old = type_.name
    del state.types[old]
    state.types[new] = replace(type_, name=new)
    users = state.dependencies.pop(old)
    state.dependencies.extend(new, users)
    before, after = written(old), written(new)
    for user in users:
        _retype(state, user, before, after)
    retype_functions(state, before, after)
    state.grants.move("type", before, after)


def _retype(state: CatalogState, user: Name, before: str, after: str) -> None:
    """Columns keep their type under its new name."""
    table = state.tables.get(user)
    if table and any(one.type in (before, f"{before}[]") for one in table.columns):
        columns = tuple(
            replace(one, type=one.type.replace(before, after, 1)) if one.type in (before, f"{before}[]") else one
            for one in table.columns
        )
        state.tables[user] = replace(table, columns=columns)
