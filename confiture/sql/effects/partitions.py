"""What attaching and detaching partitions locks and scans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from confiture.models.catalog import Name
from confiture.models.trace import LockMode
from confiture.sql.answers import Answer
from confiture.sql.effects.dropping import own_foreign_keys, referencing
from confiture.sql.effects.recording import Recorder
from confiture.sql.proofs import proves_bound
from confiture.sql.tree import definition

_AX = LockMode.ACCESS_EXCLUSIVE


def attach(command: Any, members: tuple[Name, ...], recorder: Recorder) -> None:
    """ATTACH PARTITION."""
    partition = definition(command).partition_cmd
    child = recorder.name(partition.name)
    family = recorder.family(child)
    recorder.lock(family, _AX)
    parent, table = recorder.table(members[0]), recorder.table(child)
    if table is None or proves_bound(table, parent.partition_key if parent else None, partition.bound) != Answer.YES:
        recorder.scan(family)
    join_partitions(members[0], recorder)
    own = [replace(key, name="", place=None) for key in table.foreign_keys] if table else []
    for key in parent.foreign_keys if parent else ():
        targets = recorder.whole(key.target) if key.target else ()
        if replace(key, name="", place=None) in own:
            recorder.lock(targets, _AX)
        else:
            recorder.scan((*family, *targets))


def join_partitions(parent: Name, recorder: Recorder) -> None:
    """What any new partition opens: its parent's indexes and default partition, and the other side of foreign keys."""
    recorder.lock(recorder.indexes(parent), LockMode.SHARE_UPDATE_EXCLUSIVE)
    default = [part for name in recorder.default_partition(parent) for part in recorder.family(name)]
    recorder.lock(default, _AX)
    recorder.scan(default)
    table = recorder.table(parent)
    for key in table.foreign_keys if table else ():
        recorder.lock(recorder.whole(key.target) if key.target else (), LockMode.SHARE_ROW_EXCLUSIVE)
    for other in referencing(parent, recorder):
        if own_foreign_keys(recorder.catalog.tables[other], recorder):
            recorder.lock([other], LockMode.SHARE_ROW_EXCLUSIVE)


def detach(command: Any, members: tuple[Name, ...], recorder: Recorder) -> None:
    """DETACH PARTITION. What refers to the parent is read for rows that refer to the partition."""
    partition = definition(command).partition_cmd
    child = recorder.name(partition.name)
    recorder.lock(recorder.family(child), _AX)
    recorder.lock(recorder.indexes(child), _AX)
    if not partition.concurrent:
        recorder.lock(recorder.default_partition(members[0]), _AX)
    parent = recorder.table(members[0])
    for key in parent.foreign_keys if parent else ():
        recorder.lock(recorder.whole(key.target) if key.target else (), LockMode.SHARE_ROW_EXCLUSIVE)
    for other in referencing(members[0], recorder):
        if own_foreign_keys(recorder.catalog.tables[other], recorder):
            recorder.lock([other], _AX)
            recorder.scan(recorder.whole(other))
