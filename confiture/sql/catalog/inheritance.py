"""Inheritance and partitions: the objects that children get from their parent."""

from __future__ import annotations

from confiture.models.catalog import Constraint, ConstraintKind, Index, QualifiedName, Table, TableColumn, Trigger
from confiture.models.records import replace
from confiture.sql.catalog.object_names import dedupe_column_names, index_name_columns
from confiture.sql.catalog.sequences import add_sequence_use
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.catalog.type_names import find_user_types
from confiture.sql.parse_tree import parse_result_name

_LABELS = {ConstraintKind.PRIMARY_KEY: "pkey", ConstraintKind.UNIQUE: "key", ConstraintKind.EXCLUSION: "excl"}


def inherit(state: CatalogState, parent: Table, draft: TableBuilder, *, partition: bool) -> None:
    """Add the columns and checks of a parent to a new child."""
    draft.parents.append(parent.name)
    state.dependencies.add(draft.name, (parent.name,))
    if parent.name in state.issues.partial:
        state.issues.partial.add(draft.name)
    for column in parent.columns:
        _inherit_column(state, draft, column, partition=partition)
    for constraint in parent.constraints:
        _inherit_check(state, draft, constraint)


def _inherit_column(state: CatalogState, draft: TableBuilder, column: TableColumn, *, partition: bool) -> None:
    """Add a column from the parent, or merge it with an existing column of the same name."""
    state.dependencies.add(draft.name, [one for one in find_user_types(column.type) if one in state.types])
    add_sequence_use(state, draft.name, column.default)
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


def is_descendant(state: CatalogState, name: QualifiedName, ancestor: QualifiedName) -> bool:
    """Whether a table is `ancestor` or one of its descendants."""
    if name == ancestor:
        return True
    table = state.tables.get(name)
    return table is not None and any(is_descendant(state, parent, ancestor) for parent in table.parents)


def clone_indexes_and_keys(state: CatalogState, parent: Table, draft: TableBuilder) -> None:
    """Add the partitioned table's indexes, foreign keys, and row triggers to a partition."""
    for index in parent.indexes:
        attach_or_clone_index(state, parent, index, draft)
    for key in parent.foreign_keys:
        clone_foreign_key(state, key, draft)
    for trigger in parent.triggers:
        _clone_trigger(state, trigger, draft)


def _clone_trigger(state: CatalogState, trigger: Trigger, draft: TableBuilder) -> None:
    """Add the partitioned table's row trigger to a partition."""
    if trigger.for_each_row:
        draft.triggers.setdefault(trigger.name, trigger)
        state.dependencies.add_trigger(trigger.function, draft.name)


def attach_or_clone_index(state: CatalogState, parent: Table, index: Index, draft: TableBuilder) -> None:
    """Attach a matching index on the partition to the parent's index, or create one."""
    whole = QualifiedName(parent.name.schema, index.name)
    for own in draft.indexes.values():
        key = QualifiedName(draft.name.schema, own.name)
        if (
            key not in state.indexes.parents
            and _is_same_index(own, index)
            and bool(own.constraint) >= bool(index.constraint)
        ):
            state.indexes.parents[key] = whole
            return
    clone = clone_index(state, parent, index, draft)
    state.indexes.parents[QualifiedName(draft.name.schema, clone.name)] = whole


def _is_same_index(index: Index, other_index: Index) -> bool:
    same = replace(
        index,
        name=other_index.name,
        constraint=other_index.constraint,
        valid=other_index.valid,
        comment=other_index.comment,
    )
    return same == other_index


def clone_index(
    state: CatalogState, source: Table, index: Index, draft: TableBuilder, *, has_comment: bool = False
) -> Index:
    """Copy another table's index to a table, with the constraint that the index backs."""
    constraint = source.constraint(index.constraint) if index.constraint else None
    label = _LABELS[constraint.kind] if constraint else "idx"
    expressions = iter(index.expressions)
    columns = [one or parse_result_name(next(expressions, "")) or "expr" for one in index.columns]
    second = None if label == "pkey" else index_name_columns(dedupe_column_names([*columns, *index.include_columns]))
    schema = draft.name.schema
    name = state.constraints.free_index_name(schema, draft.name.name, second, label, constraint=constraint is not None)
    clone = replace(
        index,
        name=name,
        constraint=name if constraint else None,
        valid=True,
        comment=index.comment if has_comment else None,
        location=draft.location,
    )
    if constraint:
        state.constraints.add(draft, replace(constraint, name=name, location=draft.location, comment=None))
    state.indexes.add(draft, clone)
    state.created.add(QualifiedName(schema, name))
    return clone


def clone_foreign_key(state: CatalogState, key: Constraint, draft: TableBuilder) -> None:
    """Add the partitioned table's foreign key to a partition, unless the partition has an equal one."""
    for own in draft.constraints.values():
        if _is_same_foreign_key(own, key) and (draft.name, own.name) not in state.constraints.key_parents:
            state.constraints.key_parents[draft.name, own.name] = key.name
            return
    name = key.name
    if name in draft.constraints:
        name = state.constraints.free_name(draft.name.schema, draft.name.name, index_name_columns(key.columns), "fkey")
    state.constraints.add(draft, replace(key, name=name, comment=None))
    state.constraints.key_parents[draft.name, name] = key.name


def _is_same_foreign_key(key: Constraint, other_key: Constraint) -> bool:
    return (key.kind, key.columns, key.target, key.target_columns) == (
        other_key.kind,
        other_key.columns,
        other_key.target,
        other_key.target_columns,
    )


def propagate_to_children(state: CatalogState, before: Table, after: Table) -> None:
    """Apply changes to a table to its children."""
    for child in state.catalog.partitions(after.name):
        draft = TableBuilder.from_table(child)
        _propagate_columns(state, before, after, draft)
        _propagate_constraints(state, before, after, draft)
        if draft.partition_bound is not None:
            _propagate_triggers(state, before, after, draft)
        state.put_table(draft)
        propagate_to_children(state, child, state.tables[child.name])


def _propagate_columns(state: CatalogState, before: Table, after: Table, draft: TableBuilder) -> None:
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


def _propagate_constraints(state: CatalogState, before: Table, after: Table, draft: TableBuilder) -> None:
    old = {one.name: one for one in before.constraints}
    new = {one.name: one for one in after.constraints}
    partition = draft.partition_bound is not None
    for name in old.keys() - new.keys():
        _drop_inherited_constraint(state, draft, old[name])
    for one in after.constraints:
        earlier = old.get(one.name)
        if earlier is None and one.kind is ConstraintKind.FOREIGN_KEY and partition:
            clone_foreign_key(state, one, draft)
        elif earlier is None:
            _inherit_check(state, draft, one)
        elif earlier.validated != one.validated and one.name in draft.constraints:
            draft.constraints[one.name] = replace(draft.constraints[one.name], validated=one.validated)
    if partition:
        index_names = {index.name for index in before.indexes}
        for index in after.indexes:
            if index.name not in index_names:
                attach_or_clone_index(state, after, index, draft)
        drop_partition_indexes(state, index_names - {index.name for index in after.indexes}, after, draft)


def _propagate_triggers(state: CatalogState, before: Table, after: Table, draft: TableBuilder) -> None:
    names = {one.name for one in after.triggers}
    for trigger in before.triggers:
        if trigger.name not in names and trigger.for_each_row:
            draft.triggers.pop(trigger.name, None)
    for trigger in after.triggers:
        if trigger not in before.triggers:
            _clone_trigger(state, trigger, draft)


def _drop_inherited_constraint(state: CatalogState, draft: TableBuilder, removed: Constraint) -> None:
    if removed.kind is ConstraintKind.CHECK and not removed.no_inherit and removed.name in draft.constraints:
        state.constraints.remove(draft, removed.name)
    elif removed.kind is ConstraintKind.FOREIGN_KEY and draft.partition_bound is not None:
        for one in list(draft.constraints.values()):
            if state.constraints.key_parents.get((draft.name, one.name)) == removed.name:
                state.constraints.remove(draft, one.name)


def drop_partition_indexes(state: CatalogState, removed: set[str], parent: Table, draft: TableBuilder) -> None:
    """Remove a partition's indexes that are attached to removed indexes of the parent."""
    for index in list(draft.indexes.values()):
        whole = state.indexes.parents.get(QualifiedName(draft.name.schema, index.name))
        if whole and whole.schema == parent.name.schema and whole.name in removed:
            remove_index(state, draft, index)


def remove_index(state: CatalogState, draft: TableBuilder, index: Index) -> None:
    """Remove an index and the constraint that it backs."""
    if index.constraint and index.constraint in draft.constraints:
        state.constraints.remove(draft, index.constraint)
    elif index.name in draft.indexes:
        state.indexes.remove(draft, index.name)


def remove_column(state: CatalogState, draft: TableBuilder, name: str) -> None:
    """Remove a column and the constraints, indexes, and sequences that use it."""
    column = draft.columns.pop(name)
    for constraint in list(draft.constraints.values()):
        if name in constraint.columns:
            state.constraints.remove(draft, constraint.name)
    for index in list(draft.indexes.values()):
        if name in index.include_columns or name in (index.expression_columns or index.columns):
            remove_index(state, draft, index)
    if column.not_null_constraint:
        state.constraints.release(draft.name.schema, column.not_null_constraint)
    for sequence in state.sequences.find_owned(draft.name, name):
        state.sequences.remove(sequence.name)
