"""Inheritance and partitions: what of a parent its children have too."""

from __future__ import annotations

from confiture.models.catalog import Column, Constraint, ConstraintKind, Index, Name, Table, Trigger
from confiture.models.values import replace
from confiture.sql.catalog.names import of_columns, told_apart
from confiture.sql.catalog.resolving import type_names
from confiture.sql.catalog.sequences import note_sequence
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.tree import result_name_of

_LABELS = {ConstraintKind.PRIMARY_KEY: "pkey", ConstraintKind.UNIQUE: "key", ConstraintKind.EXCLUSION: "excl"}


def inherit(state: CatalogState, parent: Table, draft: TableBuilder, *, partition: bool) -> None:
    """Gives a new child the columns and checks of a parent."""
    draft.parents.append(parent.name)
    state.dependencies.add(draft.name, (parent.name,))
    if parent.name in state.issues.partial:
        state.issues.partial.add(draft.name)
    for column in parent.columns:
        _inherit_column(state, draft, column, partition=partition)
    for constraint in parent.constraints:
        _inherit_check(state, draft, constraint)


def _inherit_column(state: CatalogState, draft: TableBuilder, column: Column, *, partition: bool) -> None:
    """A column of the parent; one of that name that is there already is merged with it."""
    state.dependencies.add(draft.name, [one for one in type_names(column.type) if one in state.types])
    note_sequence(state, draft.name, column.default)
    old = draft.columns.get(column.name)
    name = old.not_null_constraint if old else None
    if column.not_null_constraint and not name:
        name = column.not_null_constraint
        state.constraints.reserve(draft.name.schema, name)
    if old:
        draft.columns[column.name] = replace(old, not_null=old.not_null or column.not_null, not_null_constraint=name)
    else:
        draft.columns[column.name] = replace(
            column, identity=column.identity if partition else None, not_null_constraint=name, comment=None
        )


def _inherit_check(state: CatalogState, draft: TableBuilder, constraint: Constraint) -> None:
    if constraint.kind is not ConstraintKind.CHECK or constraint.no_inherit:
        return
    if constraint.name not in draft.constraints:
        validated = constraint.validated or draft.name not in state.tables
        state.constraints.add(draft, replace(constraint, comment=None, validated=validated))


def descends(state: CatalogState, name: Name, other: Name) -> bool:
    """Whether a table is another one, or descends from it."""
    if name == other:
        return True
    table = state.tables.get(name)
    return table is not None and any(descends(state, parent, other) for parent in table.parents)


def clone_keys(state: CatalogState, parent: Table, draft: TableBuilder) -> None:
    """Gives a partition the indexes and foreign keys of the partitioned table."""
    for index in parent.indexes:
        clone_or_match(state, parent, index, draft)
    for key in parent.foreign_keys:
        clone_foreign_key(state, key, draft)
    for trigger in parent.triggers:
        _clone_trigger(state, trigger, draft)


def _clone_trigger(state: CatalogState, trigger: Trigger, draft: TableBuilder) -> None:
    """Partitions have the row triggers of the partitioned table."""
    if trigger.for_each_row:
        draft.triggers.setdefault(trigger.name, trigger)
        state.dependencies.add_trigger(trigger.function, draft.name)


def clone_or_match(state: CatalogState, parent: Table, index: Index, draft: TableBuilder) -> None:
    """An index of the partition becomes part of the parent's; it is made where there is none like it."""
    whole = Name(parent.name.schema, index.name)
    for own in draft.indexes.values():
        key = Name(draft.name.schema, own.name)
        if key not in state.indexes.parents and _alike(own, index) and bool(own.constraint) >= bool(index.constraint):
            state.indexes.parents[key] = whole
            return
    made = clone_index(state, parent, index, draft)
    state.indexes.parents[Name(draft.name.schema, made.name)] = whole


def _alike(one: Index, other: Index) -> bool:
    same = replace(one, name=other.name, constraint=other.constraint, valid=other.valid, comment=other.comment)
    return same == other


def clone_index(
    state: CatalogState, source: Table, index: Index, draft: TableBuilder, *, commented: bool = False
) -> Index:
    """Gives a table an index like one of another table, with the constraint that it serves."""
    constraint = source.constraint(index.constraint) if index.constraint else None
    label = _LABELS[constraint.kind] if constraint else "idx"
    expressions = iter(index.expressions)
    columns = [one or result_name_of(next(expressions, "")) or "expr" for one in index.columns]
    second = None if label == "pkey" else of_columns(told_apart([*columns, *index.included]))
    schema = draft.name.schema
    name = state.constraints.free_index_name(schema, draft.name.name, second, label, constraint=constraint is not None)
    made = replace(
        index,
        name=name,
        constraint=name if constraint else None,
        valid=True,
        comment=index.comment if commented else None,
        place=draft.place,
    )
    if constraint:
        state.constraints.add(draft, replace(constraint, name=name, place=draft.place, comment=None))
    state.indexes.add(draft, made)
    state.created.add(Name(schema, name))
    return made


def clone_foreign_key(state: CatalogState, key: Constraint, draft: TableBuilder) -> None:
    """Gives a partition a foreign key of the partitioned table, unless it has one like it."""
    for own in draft.constraints.values():
        if _same_key(own, key) and (draft.name, own.name) not in state.constraints.key_parents:
            state.constraints.key_parents[draft.name, own.name] = key.name
            return
    name = key.name
    if name in draft.constraints:
        name = state.constraints.free_name(draft.name.schema, draft.name.name, of_columns(key.columns), "fkey")
    state.constraints.add(draft, replace(key, name=name, comment=None))
    state.constraints.key_parents[draft.name, name] = key.name


def _same_key(one: Constraint, other: Constraint) -> bool:
    return (one.kind, one.columns, one.target, one.target_columns) == (
        other.kind,
        other.columns,
        other.target,
        other.target_columns,
    )


def follow(state: CatalogState, before: Table, after: Table) -> None:
    """Does to the children of a table what was done to it."""
    for child in state.catalog.partitions(after.name):
        draft = TableBuilder.from_table(child)
        _follow_columns(state, before, after, draft)
        _follow_constraints(state, before, after, draft)
        if draft.partition_bound is not None:
            _follow_triggers(state, before, after, draft)
        state.put_table(draft)
        follow(state, child, state.tables[child.name])


def _follow_columns(state: CatalogState, before: Table, after: Table, draft: TableBuilder) -> None:
    old = {column.name: column for column in before.columns}
    new = {column.name: column for column in after.columns}
    for name in old.keys() - new.keys():
        if name in draft.columns:
            remove_column(state, draft, name)
    for column in after.columns:
        earlier = old.get(column.name)
        if earlier is column:
            continue
        own = draft.columns.get(column.name)
        if own is None or earlier is None:
            _inherit_column(state, draft, column, partition=draft.partition_bound is not None)
            continue
        changes = {
            name: getattr(column, name)
            for name in ("type", "not_null", "default", "generated", "collation", "not_null_constraint")
            if getattr(column, name) != getattr(earlier, name)
        }
        if "not_null_constraint" in changes:
            _rename_not_null(state, draft, own.not_null_constraint, column.not_null_constraint)
        draft.columns[column.name] = replace(own, **changes)


def _rename_not_null(state: CatalogState, draft: TableBuilder, old: str | None, new: str | None) -> None:
    if old:
        state.constraints.release(draft.name.schema, old)
    if new:
        state.constraints.reserve(draft.name.schema, new)


def _follow_constraints(state: CatalogState, before: Table, after: Table, draft: TableBuilder) -> None:
    old = {one.name: one for one in before.constraints}
    new = {one.name: one for one in after.constraints}
    partition = draft.partition_bound is not None
    for name in old.keys() - new.keys():
        _drop_inherited(state, draft, old[name])
    for one in after.constraints:
        earlier = old.get(one.name)
        if earlier is None and one.kind is ConstraintKind.FOREIGN_KEY and partition:
            clone_foreign_key(state, one, draft)
        elif earlier is None:
            _inherit_check(state, draft, one)
        elif earlier.validated != one.validated and one.name in draft.constraints:
            draft.constraints[one.name] = replace(draft.constraints[one.name], validated=one.validated)
    if partition:
        known = {index.name for index in before.indexes}
        for index in after.indexes:
            if index.name not in known:
                clone_or_match(state, after, index, draft)
        drop_parts(state, known - {index.name for index in after.indexes}, after, draft)


def _follow_triggers(state: CatalogState, before: Table, after: Table, draft: TableBuilder) -> None:
    kept = {one.name for one in after.triggers}
    for trigger in before.triggers:
        if trigger.name not in kept and trigger.for_each_row:
            draft.triggers.pop(trigger.name, None)
    for trigger in after.triggers:
        if trigger not in before.triggers:
            _clone_trigger(state, trigger, draft)


def _drop_inherited(state: CatalogState, draft: TableBuilder, gone: Constraint) -> None:
    if gone.kind is ConstraintKind.CHECK and not gone.no_inherit and gone.name in draft.constraints:
        state.constraints.remove(draft, gone.name)
    elif gone.kind is ConstraintKind.FOREIGN_KEY and draft.partition_bound is not None:
        for one in list(draft.constraints.values()):
            if state.constraints.key_parents.get((draft.name, one.name)) == gone.name:
                state.constraints.remove(draft, one.name)


def drop_parts(state: CatalogState, gone: set[str], parent: Table, draft: TableBuilder) -> None:
    """Takes the indexes of a partition away that were part of indexes of the parent that are gone."""
    for index in list(draft.indexes.values()):
        whole = state.indexes.parents.get(Name(draft.name.schema, index.name))
        if whole and whole.schema == parent.name.schema and whole.name in gone:
            remove_index(state, draft, index)


def remove_index(state: CatalogState, draft: TableBuilder, index: Index) -> None:
    """Takes an index away with the constraint that it serves."""
    if index.constraint and index.constraint in draft.constraints:
        state.constraints.remove(draft, index.constraint)
    elif index.name in draft.indexes:
        state.indexes.remove(draft, index.name)


def remove_column(state: CatalogState, draft: TableBuilder, name: str) -> None:
    """Takes a column away with the constraints, indexes and sequences that are about it."""
    column = draft.columns.pop(name)
    for constraint in list(draft.constraints.values()):
        if name in constraint.columns:
            state.constraints.remove(draft, constraint.name)
    for index in list(draft.indexes.values()):
        if name in index.included or name in (index.reads or index.columns):
            remove_index(state, draft, index)
    if column.not_null_constraint:
        state.constraints.release(draft.name.schema, column.not_null_constraint)
    for sequence in state.sequences.owned_by(draft.name, name):
        state.sequences.remove(sequence.name)
