"""Inheritance and partitions: what of a parent its children have too."""

from __future__ import annotations

from confiture.models.catalog import Column, Constraint, ConstraintKind, Index, Name, Table, Trigger
from confiture.models.values import replace
from confiture.sql.catalog.defaults import note_sequence
from confiture.sql.catalog.names import of_columns, told_apart
from confiture.sql.catalog.resolving import type_names
from confiture.sql.catalog.work import TableDraft, Work, thawed
from confiture.sql.tree import result_name_of

_LABELS = {ConstraintKind.PRIMARY_KEY: "pkey", ConstraintKind.UNIQUE: "key", ConstraintKind.EXCLUSION: "excl"}


def inherit(work: Work, parent: Table, draft: TableDraft, *, partition: bool) -> None:
    """Gives a new child the columns and checks of a parent."""
    draft.parents.append(parent.name)
    work.depend(draft.name, (parent.name,))
    if parent.name in work.partial:
        work.partial.add(draft.name)
    for column in parent.columns:
        _inherit_column(work, draft, column, partition=partition)
    for constraint in parent.constraints:
        _inherit_check(work, draft, constraint)


def _inherit_column(work: Work, draft: TableDraft, column: Column, *, partition: bool) -> None:
    """A column of the parent; one of that name that is there already is merged with it."""
    work.depend(draft.name, [one for one in type_names(column.type) if one in work.types])
    note_sequence(work, draft.name, column.default)
    old = draft.columns.get(column.name)
    name = old.not_null_constraint if old else None
    if column.not_null_constraint and not name:
        name = column.not_null_constraint
        work.constraint_names[Name(draft.name.schema, name)] += 1
    if old:
        draft.columns[column.name] = replace(old, not_null=old.not_null or column.not_null, not_null_constraint=name)
    else:
        draft.columns[column.name] = replace(
            column, identity=column.identity if partition else None, not_null_constraint=name, comment=None
        )


def _inherit_check(work: Work, draft: TableDraft, constraint: Constraint) -> None:
    if constraint.kind is not ConstraintKind.CHECK or constraint.no_inherit:
        return
    if constraint.name not in draft.constraints:
        validated = constraint.validated or draft.name not in work.tables
        work.add_constraint(draft, replace(constraint, comment=None, validated=validated))


def descends(work: Work, name: Name, other: Name) -> bool:
    """Whether a table is another one, or descends from it."""
    if name == other:
        return True
    table = work.tables.get(name)
    return table is not None and any(descends(work, parent, other) for parent in table.parents)


def clone_keys(work: Work, parent: Table, draft: TableDraft) -> None:
    """Gives a partition the indexes and foreign keys of the partitioned table."""
    for index in parent.indexes:
        clone_or_match(work, parent, index, draft)
    for key in parent.foreign_keys:
        clone_foreign_key(work, key, draft)
    for trigger in parent.triggers:
        _clone_trigger(work, trigger, draft)


def _clone_trigger(work: Work, trigger: Trigger, draft: TableDraft) -> None:
    """Partitions have the row triggers of the partitioned table."""
    if trigger.for_each_row:
        draft.triggers.setdefault(trigger.name, trigger)
        work.trigger_tables.setdefault(trigger.function, set()).add(draft.name)


def clone_or_match(work: Work, parent: Table, index: Index, draft: TableDraft) -> None:
    """An index of the partition becomes part of the parent's; it is made where there is none like it."""
    whole = Name(parent.name.schema, index.name)
    for own in draft.indexes.values():
        key = Name(draft.name.schema, own.name)
        if key not in work.index_parents and _alike(own, index) and bool(own.constraint) >= bool(index.constraint):
            work.index_parents[key] = whole
            return
    made = clone_index(work, parent, index, draft)
    work.index_parents[Name(draft.name.schema, made.name)] = whole


def _alike(one: Index, other: Index) -> bool:
    same = replace(one, name=other.name, constraint=other.constraint, valid=other.valid, comment=other.comment)
    return same == other


def clone_index(work: Work, source: Table, index: Index, draft: TableDraft, *, commented: bool = False) -> Index:
    """Gives a table an index like one of another table, with the constraint that it serves."""
    constraint = source.constraint(index.constraint) if index.constraint else None
    label = _LABELS[constraint.kind] if constraint else "idx"
    expressions = iter(index.expressions)
    columns = [one or result_name_of(next(expressions, "")) or "expr" for one in index.columns]
    second = None if label == "pkey" else of_columns(told_apart([*columns, *index.included]))
    schema = draft.name.schema
    name = work.index_name(schema, draft.name.name, second, label, constraint=constraint is not None)
    made = replace(
        index,
        name=name,
        constraint=name if constraint else None,
        valid=True,
        comment=index.comment if commented else None,
        place=draft.place,
    )
    if constraint:
        work.add_constraint(draft, replace(constraint, name=name, place=draft.place, comment=None))
    work.add_index(draft, made)
    work.made(Name(schema, name))
    return made


def clone_foreign_key(work: Work, key: Constraint, draft: TableDraft) -> None:
    """Gives a partition a foreign key of the partitioned table, unless it has one like it."""
    for own in draft.constraints.values():
        if _same_key(own, key) and (draft.name, own.name) not in work.key_parents:
            work.key_parents[draft.name, own.name] = key.name
            return
    name = key.name
    if name in draft.constraints:
        name = work.constraint_name(draft.name.schema, draft.name.name, of_columns(key.columns), "fkey")
    work.add_constraint(draft, replace(key, name=name, comment=None))
    work.key_parents[draft.name, name] = key.name


def _same_key(one: Constraint, other: Constraint) -> bool:
    return (one.kind, one.columns, one.target, one.target_columns) == (
        other.kind,
        other.columns,
        other.target,
        other.target_columns,
    )


def follow(work: Work, before: Table, after: Table) -> None:
    """Does to the children of a table what was done to it."""
    for child in work.catalog.partitions(after.name):
        draft = thawed(child)
        _follow_columns(work, before, after, draft)
        _follow_constraints(work, before, after, draft)
        if draft.partition_bound is not None:
            _follow_triggers(work, before, after, draft)
        work.put(draft)
        follow(work, child, work.tables[child.name])


def _follow_columns(work: Work, before: Table, after: Table, draft: TableDraft) -> None:
    old = {column.name: column for column in before.columns}
    new = {column.name: column for column in after.columns}
    for name in old.keys() - new.keys():
        if name in draft.columns:
            remove_column(work, draft, name)
    for column in after.columns:
        earlier = old.get(column.name)
        if earlier is column:
            continue
        own = draft.columns.get(column.name)
        if own is None or earlier is None:
            _inherit_column(work, draft, column, partition=draft.partition_bound is not None)
            continue
        changes = {
            name: getattr(column, name)
            for name in ("type", "not_null", "default", "generated", "collation", "not_null_constraint")
            if getattr(column, name) != getattr(earlier, name)
        }
        if "not_null_constraint" in changes:
            _rename_not_null(work, draft, own.not_null_constraint, column.not_null_constraint)
        draft.columns[column.name] = replace(own, **changes)


def _rename_not_null(work: Work, draft: TableDraft, old: str | None, new: str | None) -> None:
    if old:
        work.forget_constraint(Name(draft.name.schema, old))
    if new:
        work.constraint_names[Name(draft.name.schema, new)] += 1


def _follow_constraints(work: Work, before: Table, after: Table, draft: TableDraft) -> None:
    old = {one.name: one for one in before.constraints}
    new = {one.name: one for one in after.constraints}
    partition = draft.partition_bound is not None
    for name in old.keys() - new.keys():
        _drop_inherited(work, draft, old[name])
    for one in after.constraints:
        earlier = old.get(one.name)
        if earlier is None and one.kind is ConstraintKind.FOREIGN_KEY and partition:
            clone_foreign_key(work, one, draft)
        elif earlier is None:
            _inherit_check(work, draft, one)
        elif earlier.validated != one.validated and one.name in draft.constraints:
            draft.constraints[one.name] = replace(draft.constraints[one.name], validated=one.validated)
    if partition:
        known = {index.name for index in before.indexes}
        for index in after.indexes:
            if index.name not in known:
                clone_or_match(work, after, index, draft)
        drop_parts(work, known - {index.name for index in after.indexes}, after, draft)


def _follow_triggers(work: Work, before: Table, after: Table, draft: TableDraft) -> None:
    kept = {one.name for one in after.triggers}
    for trigger in before.triggers:
        if trigger.name not in kept and trigger.for_each_row:
            draft.triggers.pop(trigger.name, None)
    for trigger in after.triggers:
        if trigger not in before.triggers:
            _clone_trigger(work, trigger, draft)


def _drop_inherited(work: Work, draft: TableDraft, gone: Constraint) -> None:
    if gone.kind is ConstraintKind.CHECK and not gone.no_inherit and gone.name in draft.constraints:
        work.remove_constraint(draft, gone.name)
    elif gone.kind is ConstraintKind.FOREIGN_KEY and draft.partition_bound is not None:
        for one in list(draft.constraints.values()):
            if work.key_parents.get((draft.name, one.name)) == gone.name:
                work.remove_constraint(draft, one.name)


def drop_parts(work: Work, gone: set[str], parent: Table, draft: TableDraft) -> None:
    """Takes the indexes of a partition away that were part of indexes of the parent that are gone."""
    for index in list(draft.indexes.values()):
        whole = work.index_parents.get(Name(draft.name.schema, index.name))
        if whole and whole.schema == parent.name.schema and whole.name in gone:
            remove_index(work, draft, index)


def remove_index(work: Work, draft: TableDraft, index: Index) -> None:
    """Takes an index away with the constraint that it serves."""
    if index.constraint and index.constraint in draft.constraints:
        work.remove_constraint(draft, index.constraint)
    elif index.name in draft.indexes:
        work.remove_index(draft, index.name)


def remove_column(work: Work, draft: TableDraft, name: str) -> None:
    """Takes a column away with the constraints, indexes and sequences that are about it."""
    column = draft.columns.pop(name)
    for constraint in list(draft.constraints.values()):
        if name in constraint.columns:
            work.remove_constraint(draft, constraint.name)
    for index in list(draft.indexes.values()):
        if name in index.included or name in (index.reads or index.columns):
            remove_index(work, draft, index)
    if column.not_null_constraint:
        work.forget_constraint(Name(draft.name.schema, column.not_null_constraint))
    for sequence in work.owned_by(draft.name, name):
        work.remove_sequence(sequence.name)
