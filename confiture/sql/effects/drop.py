"""Objects that are dropped along with another object, and the locks that DROP acquires."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from confiture.models.catalog import Constraint, QualifiedName, Table
from confiture.models.trace import LockMode
from confiture.sql.effects.recorder import EffectRecorder
from confiture.sql.parse_tree import pb, strings

_AX = LockMode.ACCESS_EXCLUSIVE
_RELATIONS = (pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_SEQUENCE, pb.OBJECT_FOREIGN_TABLE)
_ON_TABLES = (pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE)


def drop(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of DROP."""
    cascade = node.behavior == pb.DROP_CASCADE
    for item in node.objects:
        parts = _name_parts(item)
        if node.remove_type in _RELATIONS:
            _drop_relation(
                recorder.resolve(parts[-2] if len(parts) > 1 else None, parts[-1]), recorder, cascade=cascade
            )
        elif node.remove_type == pb.OBJECT_INDEX:
            _drop_index(recorder.resolve(parts[-2] if len(parts) > 1 else None, parts[-1]), node, recorder)
        elif node.remove_type in _ON_TABLES:
            table = recorder.resolve(parts[-3] if len(parts) > 2 else None, parts[-2])
            recorder.lock(_with_partition_triggers(table, node, recorder), _AX)
        elif cascade:
            _drop_dependents(node.remove_type, parts, recorder)


def lock_referenced_tables(constraints: Iterable[Constraint], recorder: EffectRecorder) -> None:
    """Lock the tables that foreign keys reference, because dropping a foreign key removes triggers from the referenced
    table.
    """
    for constraint in constraints:
        if constraint.target:
            recorder.lock(recorder.with_partitions(constraint.target), _AX)


def lock_referencing(
    name: QualifiedName, recorder: EffectRecorder, *, columns: tuple[str, ...] = ()
) -> tuple[QualifiedName, ...]:
    """Lock and return the tables with foreign keys that reference a table (or only those that reference one of these
    columns).
    """
    tables = tuple(
        part
        for other in find_referencing_tables(name, recorder, columns=columns)
        for part in recorder.with_partitions(other)
    )
    recorder.lock(tables, _AX)
    return tables


def find_referencing_tables(
    name: QualifiedName, recorder: EffectRecorder, *, columns: tuple[str, ...] = ()
) -> tuple[QualifiedName, ...]:
    """Return the tables with foreign keys that reference a table or one of its ancestors.

    With columns, only foreign keys that reference one of these columns count.
    """
    targets = (name, *recorder.find_ancestors(name))
    return tuple(
        table.name
        for table in recorder.catalog.tables.values()
        for key in table.constraints
        if key.target in targets and (not columns or not key.target_columns or set(columns) & set(key.target_columns))
    )


def lock_sequences(
    table: QualifiedName, recorder: EffectRecorder, *, column: str | None = None, mode: LockMode = _AX
) -> None:
    """Lock the sequences owned by a table or by one of its columns."""
    for sequence in recorder.catalog.sequences.values():
        if sequence.owner and sequence.owner[0] == table and column in (None, sequence.owner[1]):
            recorder.lock([sequence.name], mode)


def find_own_foreign_keys(
    table: Table, recorder: EffectRecorder, *, without: Collection[QualifiedName] = ()
) -> tuple[Constraint, ...]:
    """Return the foreign keys of a table, except those inherited from a partitioned parent that is not in `without`."""
    parents = [recorder.find_table(parent) for parent in table.parents if table.is_partition and parent not in without]
    inherited = {(key.columns, key.target) for parent in parents if parent for key in parent.foreign_keys}
    return tuple(key for key in table.foreign_keys if (key.columns, key.target) not in inherited)


def _name_parts(item: Any) -> tuple[str, ...]:
    match item.WhichOneof("node"):
        case "list":
            return strings(item.list.items)
        case "string":
            return (item.string.sval,)
        case "type_name":
            return strings(item.type_name.names)
        case "object_with_args":
            return strings(item.object_with_args.objname)
    return ("",)


def _drop_relation(name: QualifiedName, recorder: EffectRecorder, *, cascade: bool) -> None:
    relations = _find_dropped_relations(name, recorder, cascade=cascade)
    recorder.lock(relations, _AX)
    for one in relations:
        recorder.lock(recorder.find_indexes(one), _AX)
        sequence = recorder.catalog.sequences.get(one)
        if sequence and sequence.owner and cascade:
            recorder.lock([sequence.owner[0]], _AX)
        table = recorder.find_table(one)
        if table is None:
            continue
        lock_sequences(one, recorder)
        lock_referenced_tables(find_own_foreign_keys(table, recorder, without=relations), recorder)
        if cascade:
            lock_referencing(one, recorder)
        if table.is_partition:
            for parent in table.parents:
                recorder.lock([parent, *recorder.find_default_partition(parent)], _AX)


def _find_dropped_relations(name: QualifiedName, recorder: EffectRecorder, *, cascade: bool) -> list[QualifiedName]:
    """Return a relation and the relations dropped with it.

    Partitions are always dropped; views and inheritance children only with CASCADE.
    """
    relations = [name]
    for one in relations:
        table = recorder.find_table(one)
        if table and (cascade or table.partition_key):
            relations.extend(child for child in recorder.with_descendants(one) if child not in relations)
        if cascade:
            views = recorder.catalog.views.values()
            relations.extend(view.name for view in views if one in view.relations and view.name not in relations)
    return relations


def _drop_index(name: QualifiedName, node: Any, recorder: EffectRecorder) -> None:
    mode = LockMode.SHARE_UPDATE_EXCLUSIVE if node.concurrent else _AX
    recorder.lock([name], mode)
    indexed = recorder.catalog.find_index(*name)
    if indexed:
        recorder.lock(recorder.with_descendants(indexed[0].name), mode)


def _with_partition_triggers(table: QualifiedName, node: Any, recorder: EffectRecorder) -> tuple[QualifiedName, ...]:
    """Return the table and, for DROP TRIGGER, its partitions, because row triggers are cloned to partitions."""
    return recorder.with_partitions(table) if node.remove_type == pb.OBJECT_TRIGGER else (table,)


def _drop_dependents(kind: int, parts: tuple[str, ...], recorder: EffectRecorder) -> None:
    """Record CASCADE from a schema, type or function to the tables that contain or use it."""
    tables = recorder.catalog.tables.values()
    if kind == pb.OBJECT_SCHEMA:
        catalog = recorder.catalog
        relations = (*catalog.tables, *catalog.views, *catalog.sequences)
        names = [name for name in relations if name.schema == parts[-1]]
        for name in names:
            _drop_relation(name, recorder, cascade=True)
    elif kind in (pb.OBJECT_TYPE, pb.OBJECT_DOMAIN):
        types = {str(name) for name in recorder.catalog.types if name.name == parts[-1]}
        recorder.lock((one.name for one in tables if any(column.type in types for column in one.columns)), _AX)
    elif kind in (pb.OBJECT_FUNCTION, pb.OBJECT_ROUTINE):
        for table in tables:
            if any(trigger.function.name == parts[-1] for trigger in table.triggers):
                recorder.lock(recorder.with_partitions(table.name), _AX)
