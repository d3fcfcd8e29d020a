"""Locks, scans, and rewrites caused by ALTER TABLE and related statements."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import ConstraintKind, Persistence, QualifiedName, Table
from confiture.models.trace import LockMode
from confiture.sql.effects.columns import (
    add_column,
    alter_type,
    change_identity,
    drop_column,
    set_expression,
    set_not_null,
)
from confiture.sql.effects.constraints import add_constraint, drop_constraint, validate_constraint
from confiture.sql.effects.drop import lock_sequences
from confiture.sql.effects.partitions import attach_partition, detach_partition
from confiture.sql.effects.recorder import EffectRecorder
from confiture.sql.parse_tree import alter_commands, get_definition, pb

_WEAKER_MODES = {
    pb.AT_SetStatistics: LockMode.SHARE_UPDATE_EXCLUSIVE,
    pb.AT_SetOptions: LockMode.SHARE_UPDATE_EXCLUSIVE,
    pb.AT_ResetOptions: LockMode.SHARE_UPDATE_EXCLUSIVE,
    pb.AT_ClusterOn: LockMode.SHARE_UPDATE_EXCLUSIVE,
    pb.AT_DropCluster: LockMode.SHARE_UPDATE_EXCLUSIVE,
    pb.AT_ValidateConstraint: LockMode.SHARE_UPDATE_EXCLUSIVE,
    pb.AT_AttachPartition: LockMode.SHARE_UPDATE_EXCLUSIVE,
    pb.AT_DetachPartitionFinalize: LockMode.SHARE_UPDATE_EXCLUSIVE,
}
_RELATION_OPTIONS = (pb.AT_SetRelOptions, pb.AT_ResetRelOptions, pb.AT_ReplaceRelOptions)
_STRONG_OPTIONS = frozenset(
    {
        "user_catalog_table",
        "security_barrier",
        "security_invoker",
        "check_option",
        "buffering",
        "fastupdate",
        "gin_pending_list_limit",
        "autosummarize",
        "pages_per_range",
    }
)
"""Storage parameters that require ACCESS EXCLUSIVE; all others require SHARE UPDATE EXCLUSIVE."""
_ALL_DESCENDANTS = frozenset(
    {
        pb.AT_AddColumn,
        pb.AT_ColumnDefault,
        pb.AT_DropNotNull,
        pb.AT_SetNotNull,
        pb.AT_SetStatistics,
        pb.AT_SetStorage,
        pb.AT_DropColumn,
        pb.AT_AddConstraint,
        pb.AT_DropConstraint,
        pb.AT_AlterColumnType,
        pb.AT_ValidateConstraint,
        pb.AT_SetExpression,
        pb.AT_DropExpression,
    }
)
_TRIGGERS = frozenset(
    {
        pb.AT_EnableTrig,
        pb.AT_EnableAlwaysTrig,
        pb.AT_EnableReplicaTrig,
        pb.AT_EnableTrigAll,
        pb.AT_EnableTrigUser,
        pb.AT_DisableTrig,
        pb.AT_DisableTrigAll,
        pb.AT_DisableTrigUser,
    }
)
_PARTITIONS_ONLY = _TRIGGERS | {pb.AT_AlterConstraint}
_IDENTITY = frozenset((pb.AT_AddIdentity, pb.AT_SetIdentity, pb.AT_DropIdentity))
_IDENTITY_OF_PARTITIONS = 17
"""The first version in which partitions inherit their parent's identity columns."""


_NOT_NULL_IS_A_CONSTRAINT = 18
"""The first version in which NOT NULL is stored as a constraint and inherited like a CHECK."""


def alter_table(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of ALTER TABLE, INDEX, VIEW, MATERIALIZED VIEW, SEQUENCE, or FOREIGN TABLE."""
    if node.objtype == pb.OBJECT_TYPE:
        return
    name = recorder.resolve_range_var(node.relation)
    if node.objtype == pb.OBJECT_INDEX:
        _alter_index(node, name, recorder)
        return
    only = not node.relation.inh
    for command in alter_commands(node):
        members = _affected_tables(command, name, recorder, only=only)
        recorder.lock(members, _lock_mode(command))
        if _needs_null_check(command, recorder.version):
            recorder.lock(recorder.with_partitions(name), LockMode.ACCESS_EXCLUSIVE)
        details = _DETAILS.get(command.subtype)
        if details:
            details(command, members, recorder)


def move_all(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of ALTER TABLE ALL IN TABLESPACE. All relations are assumed to be in that tablespace."""
    catalog = recorder.catalog
    if node.objtype == pb.OBJECT_INDEX:
        recorder.lock(catalog.index_owners, LockMode.ACCESS_EXCLUSIVE)
        return
    views = [view.name for view in catalog.views.values() if view.materialized]
    names = views if node.objtype == pb.OBJECT_MATVIEW else list(catalog.tables)
    recorder.lock(names, LockMode.ACCESS_EXCLUSIVE)
    recorder.rewrite_files(names)


def _lock_mode(command: Any) -> LockMode:
    if command.subtype in _WEAKER_MODES:
        return _WEAKER_MODES[command.subtype]
    if command.subtype in _TRIGGERS:
        return LockMode.SHARE_ROW_EXCLUSIVE
    if command.subtype in _RELATION_OPTIONS:
        options = {option.def_elem.defname for option in get_definition(command).list.items}
        return LockMode.ACCESS_EXCLUSIVE if options & _STRONG_OPTIONS else LockMode.SHARE_UPDATE_EXCLUSIVE
    if command.subtype == pb.AT_AddConstraint and get_definition(command).constraint.contype == pb.CONSTR_FOREIGN:
        return LockMode.SHARE_ROW_EXCLUSIVE
    if command.subtype == pb.AT_DetachPartition and get_definition(command).partition_cmd.concurrent:
        return LockMode.SHARE_UPDATE_EXCLUSIVE
    return LockMode.ACCESS_EXCLUSIVE


def _affected_tables(
    command: Any, name: QualifiedName, recorder: EffectRecorder, *, only: bool
) -> tuple[QualifiedName, ...]:
    """Return the table and the descendants that the command affects."""
    partitioned = recorder.is_partitioned(name)
    reaches = command.subtype in _ALL_DESCENDANTS
    if command.subtype == pb.AT_AddConstraint:
        constraint = get_definition(command).constraint
        inherited = constraint.contype in (pb.CONSTR_CHECK, pb.CONSTR_NOTNULL)
        # before that version, children are not opened if nothing is inherited
        is_local_only = constraint.is_no_inherit and recorder.version < _NOT_NULL_IS_A_CONSTRAINT
        reaches = (inherited and not is_local_only) or partitioned
    elif command.subtype == pb.AT_DropConstraint:
        table = recorder.find_table(name)
        constraint_in_catalog = table.constraint(command.name) if table else None
        reaches = constraint_in_catalog is None or constraint_in_catalog.kind is ConstraintKind.CHECK or partitioned
    elif command.subtype in _PARTITIONS_ONLY:
        reaches = partitioned
    elif command.subtype in _IDENTITY:
        reaches = partitioned and recorder.version >= _IDENTITY_OF_PARTITIONS
    return recorder.with_descendants(name, only=only or not reaches)


def _needs_null_check(command: Any, version: int) -> bool:
    """Whether a command opens the partitions to check for NOT NULL, even with ONLY."""
    if command.subtype == pb.AT_AddConstraint:
        return bool(get_definition(command).constraint.contype == pb.CONSTR_PRIMARY)
    return bool(command.subtype == pb.AT_DropNotNull) and version >= _NOT_NULL_IS_A_CONSTRAINT


def _alter_index(node: Any, name: QualifiedName, recorder: EffectRecorder) -> None:
    for command in alter_commands(node):
        if command.subtype == pb.AT_AttachPartition:
            recorder.lock([name], LockMode.SHARE_UPDATE_EXCLUSIVE)
            part = recorder.resolve_range_var(get_definition(command).partition_cmd.name)
            recorder.lock([part], LockMode.ACCESS_EXCLUSIVE)
            owners = (recorder.catalog.index_owners.get(index) for index in (name, part))
            recorder.lock([owner for owner in owners if owner], LockMode.ACCESS_SHARE)
        else:
            recorder.lock([name], _lock_mode(command))


def _change_storage(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    if command.subtype == pb.AT_SetTableSpace:
        recorder.rewrite_files(members)
    elif is_storage_change(command, recorder.find_table(members[0])):
        recorder.rewrite(members)


def is_storage_change(command: Any, table: Table | None) -> bool:
    """Whether SET LOGGED, UNLOGGED, TABLESPACE, or ACCESS METHOD changes the current state."""
    persistence = table.persistence if table else None
    if command.subtype == pb.AT_SetLogged:
        return persistence is not Persistence.PERMANENT
    if command.subtype == pb.AT_SetUnLogged:
        return persistence is not Persistence.UNLOGGED
    return True


def _change_owner(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    lock_sequences(members[0], recorder)


def _change_inheritance(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    adds = command.subtype == pb.AT_AddInherit
    parent = recorder.resolve_range_var(get_definition(command).range_var)
    recorder.lock([parent], LockMode.SHARE_UPDATE_EXCLUSIVE if adds else LockMode.ACCESS_SHARE)


def _cluster_on(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    recorder.lock([QualifiedName(members[0].schema, command.name)], LockMode.SHARE_UPDATE_EXCLUSIVE)


def _replica_identity(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    index = get_definition(command).replica_identity_stmt.name
    recorder.lock([QualifiedName(members[0].schema, index)] if index else [], LockMode.SHARE)


_DETAILS = {
    pb.AT_AddColumn: add_column,
    pb.AT_SetNotNull: set_not_null,
    pb.AT_AddConstraint: add_constraint,
    pb.AT_ValidateConstraint: validate_constraint,
    pb.AT_DropConstraint: drop_constraint,
    pb.AT_DropColumn: drop_column,
    pb.AT_AlterColumnType: alter_type,
    pb.AT_SetLogged: _change_storage,
    pb.AT_SetUnLogged: _change_storage,
    pb.AT_SetTableSpace: _change_storage,
    pb.AT_SetAccessMethod: _change_storage,
    pb.AT_SetExpression: set_expression,
    pb.AT_SetIdentity: change_identity,
    pb.AT_DropIdentity: change_identity,
    pb.AT_AttachPartition: attach_partition,
    pb.AT_DetachPartition: detach_partition,
    pb.AT_ChangeOwner: _change_owner,
    pb.AT_AddInherit: _change_inheritance,
    pb.AT_DropInherit: _change_inheritance,
    pb.AT_ClusterOn: _cluster_on,
    pb.AT_ReplicaIdentity: _replica_identity,
}
