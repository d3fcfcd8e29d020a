"""Locks and scans caused by attaching and detaching partitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from confiture.models.catalog import QualifiedName
from confiture.models.trace import LockMode
from confiture.sql.effects.drop import find_own_foreign_keys, find_referencing_tables
from confiture.sql.effects.recorder import EffectRecorder
from confiture.sql.parse_tree import get_definition
from confiture.sql.proofs import implies_partition_bound
from confiture.sql.tristate import Tristate

_AX = LockMode.ACCESS_EXCLUSIVE


def attach_partition(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of ATTACH PARTITION."""
    partition = get_definition(command).partition_cmd
    child = recorder.resolve_range_var(partition.name)
    family = recorder.with_descendants(child)
    recorder.lock(family, _AX)
    parent, table = recorder.find_table(members[0]), recorder.find_table(child)
    if (
        table is None
        or implies_partition_bound(table, parent.partition_key if parent else None, partition.bound) != Tristate.YES
    ):
        recorder.scan(family)
    lock_partition_relatives(members[0], recorder)
    own = [replace(key, name="", location=None) for key in table.foreign_keys] if table else []
    for key in parent.foreign_keys if parent else ():
        targets = recorder.with_partitions(key.target) if key.target else ()
        if replace(key, name="", location=None) in own:
            recorder.lock(targets, _AX)
        else:
            recorder.scan((*family, *targets))


def lock_partition_relatives(parent: QualifiedName, recorder: EffectRecorder) -> None:
    """Record the relations that any new partition opens: the parent's indexes and default partition, and the tables at
    the other end of foreign keys.
    """
    recorder.lock(recorder.find_indexes(parent), LockMode.SHARE_UPDATE_EXCLUSIVE)
    default = [part for name in recorder.find_default_partition(parent) for part in recorder.with_descendants(name)]
    recorder.lock(default, _AX)
    recorder.scan(default)
    table = recorder.find_table(parent)
    for key in table.foreign_keys if table else ():
        recorder.lock(recorder.with_partitions(key.target) if key.target else (), LockMode.SHARE_ROW_EXCLUSIVE)
    for other in find_referencing_tables(parent, recorder):
        if find_own_foreign_keys(recorder.catalog.tables[other], recorder):
            recorder.lock([other], LockMode.SHARE_ROW_EXCLUSIVE)


def detach_partition(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of DETACH PARTITION.

    Tables that reference the parent are scanned for rows that reference the partition.
    """
    partition = get_definition(command).partition_cmd
    child = recorder.resolve_range_var(partition.name)
    recorder.lock(recorder.with_descendants(child), _AX)
    recorder.lock(recorder.find_indexes(child), _AX)
    if not partition.concurrent:
        recorder.lock(recorder.find_default_partition(members[0]), _AX)
    parent = recorder.find_table(members[0])
    for key in parent.foreign_keys if parent else ():
        recorder.lock(recorder.with_partitions(key.target) if key.target else (), LockMode.SHARE_ROW_EXCLUSIVE)
    for other in find_referencing_tables(members[0], recorder):
        if find_own_foreign_keys(recorder.catalog.tables[other], recorder):
            recorder.lock([other], _AX)
            recorder.scan(recorder.with_partitions(other))
