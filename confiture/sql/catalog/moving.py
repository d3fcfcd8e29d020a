"""Other names and schemas for relations and types: whatever refers to them follows."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Name, Table, UserType, View
from confiture.models.values import replace
from confiture.sql.catalog.defaults import follow_sequence
from confiture.sql.catalog.functions import function_of, rename_function, retype_functions
from confiture.sql.catalog.resolving import named_type, type_names, written
from confiture.sql.catalog.work import Work
from confiture.sql.tree import pb

_RELATIONS = frozenset(
    {pb.OBJECT_TABLE, pb.OBJECT_FOREIGN_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_SEQUENCE}
)
_FUNCTIONS = frozenset({pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_ROUTINE})
_TYPES = frozenset({pb.OBJECT_TYPE, pb.OBJECT_DOMAIN})


def set_schema(work: Work, node: Any) -> None:
    """ALTER ... SET SCHEMA."""
    work.require_schema(node.newschema)
    if node.object_type in _RELATIONS:
        found = work.relation(node.relation)
        if found:
            move(work, found.name, Name(node.newschema, found.name.name))
        elif not node.missing_ok:
            work.missing_relation(node.relation)
    elif node.object_type in _FUNCTIONS:
        function = function_of(work, node.object.object_with_args)
        if function:
            rename_function(work, function, Name(node.newschema, function.signature.name.name))
    elif node.object_type in _TYPES:
        parts = node.object.list.items if node.object.HasField("list") else node.object.type_name.names
        type_ = named_type(work, parts)
        if type_:
            move_type(work, type_, Name(node.newschema, type_.name.name))


def move(work: Work, old: Name, new: Name) -> None:
    """Gives a relation another name or schema, everywhere."""
    if old == new:
        return
    if work.is_taken(new):
        work.duplicate("relation", new, work.holder(new))
        return
    dependents = work.dependents.pop(old, set())
    if old in work.tables:
        _move_table(work, old, new)
    elif old in work.views:
        view = replace(work.views.pop(old), name=new)
        work.views[new] = view
        work.view_types[new] = work.view_types.pop(old, ())
        _move_indexes(work, view, old, new)
        work.depend(new, view.relations)
    elif old in work.sequences:
        sequence = work.sequences[old]
        work.remove_sequence(old)
        work.add_sequence(replace(sequence, name=new))
    work.move_grants("table", str(old), str(new))
    work.move_grants("sequence", str(old), str(new))
    for dependent in dependents:
        _retarget(work, dependent, old, new)
        _retype(work, dependent, written(old), written(new))
        follow_sequence(work, dependent, old, new)
    retype_functions(work, written(old), written(new))
    if dependents:
        work.dependents.setdefault(new, set()).update(dependents)


def _move_table(work: Work, old: Name, new: Name) -> None:
    table = work.tables.pop(old)
    if old in work.partial:
        work.partial.remove(old)
        work.partial.add(new)
    constraints = tuple(replace(one, target=new) if one.target == old else one for one in table.constraints)
    table = replace(table, name=new, constraints=constraints)
    work.tables[new] = table
    _move_indexes(work, table, old, new)
    if old.schema != new.schema:
        for name in (*(one.name for one in constraints), *(one.not_null_constraint for one in table.columns)):
            if name:
                work.forget_constraint(Name(old.schema, name))
                work.constraint_names[Name(new.schema, name)] += 1
    for sequence in work.owned_by(old):
        work.remove_sequence(sequence.name)
        moved = Name(new.schema, sequence.name.name)
        work.add_sequence(replace(sequence, name=moved, owner=(new, sequence.owner[1] if sequence.owner else "")))
        users = {new if user == old else user for user in work.dependents.pop(sequence.name, ())}
        work.dependents.setdefault(moved, set()).update(users)
        for user in users if moved != sequence.name else ():
            follow_sequence(work, user, sequence.name, moved)
    for trigger in table.triggers:
        work.trigger_tables.setdefault(trigger.function, set()).add(new)
    _move_types(work, old, new)
    work.depend(new, [one.target for one in constraints if one.target and one.target != new])
    work.depend(new, table.parents)


def _move_types(work: Work, old: Name, new: Name) -> None:
    """A table's columns keep their types."""
    for column in work.tables[new].columns:
        for name in type_names(column.type):
            if old in work.dependents.get(name, ()):
                work.depend(new, (name,))


def _move_indexes(work: Work, relation: Table | View, old: Name, new: Name) -> None:
    for index in relation.indexes:
        before, after = Name(old.schema, index.name), Name(new.schema, index.name)
        work.index_owners.pop(before, None)
        work.index_owners[after] = new
        if before in work.index_parents:
            work.index_parents[after] = work.index_parents.pop(before)


def _retarget(work: Work, dependent: Name, old: Name, new: Name) -> None:
    view = work.views.get(dependent)
    if view and old in view.relations:
        work.views[dependent] = replace(view, relations=tuple(new if one == old else one for one in view.relations))
    table = work.tables.get(dependent)
    if table:
        work.tables[dependent] = replace(
            table,
            parents=tuple(new if one == old else one for one in table.parents),
            constraints=tuple(replace(one, target=new) if one.target == old else one for one in table.constraints),
        )


def move_type(work: Work, type_: UserType, new: Name) -> None:
    """Gives a type another name or schema; the columns of that type follow."""
    other = work.types.get(new)
    if other is type_:
        return
    if other:
        work.duplicate("type", new, other.place)
        return
    old = type_.name
    del work.types[old]
    work.types[new] = replace(type_, name=new)
    users = work.dependents.pop(old, set())
    work.dependents.setdefault(new, set()).update(users)
    before, after = written(old), written(new)
    for user in users:
        _retype(work, user, before, after)
    retype_functions(work, before, after)
    work.move_grants("type", before, after)


def _retype(work: Work, user: Name, before: str, after: str) -> None:
    """Columns keep their type under its new name."""
    table = work.tables.get(user)
    if table and any(one.type in (before, f"{before}[]") for one in table.columns):
        columns = tuple(
            replace(one, type=one.type.replace(before, after, 1)) if one.type in (before, f"{before}[]") else one
            for one in table.columns
        )
        work.tables[user] = replace(table, columns=columns)
