"""Locks and scans caused by ALTER TABLE commands that change a constraint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.models.catalog import ConstraintKind, QualifiedName
from confiture.models.trace import LockMode
from confiture.sql.effects.drop import lock_referenced_tables, lock_referencing
from confiture.sql.effects.recorder import EffectRecorder
from confiture.sql.parse_tree import get_definition, pb, strings
from confiture.sql.proofs import is_proved_not_null


def scan_for_nulls(columns: Iterable[str], members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the scans for columns that become NOT NULL.

    Each table is scanned unless a constraint proves that the column contains no nulls.
    """
    required_columns = tuple(columns)
    for name in members:
        table = recorder.find_table(name)
        if table is None or not all(is_proved_not_null(table, column) for column in required_columns):
            recorder.scan([name])


def add_constraint(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of ADD CONSTRAINT."""
    constraint = get_definition(command).constraint
    if constraint.contype == pb.CONSTR_FOREIGN:
        add_foreign_key(constraint, members, recorder, is_validated=not constraint.skip_validation)
    elif constraint.skip_validation:
        return
    elif constraint.contype == pb.CONSTR_NOTNULL:
        scan_for_nulls(strings(constraint.keys), members, recorder)
    elif constraint.contype == pb.CONSTR_CHECK:
        recorder.scan(members[:1] if constraint.is_no_inherit else members)
    elif constraint.indexname:
        _use_index(constraint, members, recorder)
    else:
        recorder.scan(members)


def _use_index(constraint: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of a key that uses an existing index.

    A primary key also scans for nulls if the columns are nullable.
    """
    index = QualifiedName(members[0].schema, constraint.indexname)
    renamed = constraint.conname not in ("", constraint.indexname)
    recorder.lock([index], LockMode.SHARE_UPDATE_EXCLUSIVE if renamed else LockMode.ACCESS_SHARE)
    table_and_index = recorder.catalog.find_index(*index)
    if constraint.contype == pb.CONSTR_PRIMARY:
        columns = [column for column in table_and_index[1].columns if column] if table_and_index else []
        if columns:
            scan_for_nulls(columns, members, recorder)
        else:
            recorder.scan(members)


def add_foreign_key(
    constraint: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder, *, is_validated: bool
) -> None:
    """Record the effects of a new foreign key. With `is_validated`, both tables are scanned."""
    parents = recorder.with_partitions(recorder.resolve_range_var(constraint.pktable))
    recorder.lock(parents, LockMode.SHARE_ROW_EXCLUSIVE)
    if is_validated:
        recorder.scan(members)
        recorder.scan(parents)


def validate_constraint(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of VALIDATE CONSTRAINT."""
    table = recorder.find_table(members[0])
    constraint = table.constraint(command.name) if table else None
    if constraint is None:
        recorder.scan(members)
    elif not constraint.validated:
        recorder.scan(members)
        if constraint.target:
            parents = recorder.with_partitions(constraint.target)
            recorder.lock(parents, LockMode.ACCESS_SHARE)
            recorder.lock([constraint.target], LockMode.ROW_SHARE)
            recorder.scan(parents)


def drop_constraint(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of DROP CONSTRAINT."""
    table = recorder.find_table(members[0])
    constraint = table.constraint(command.name) if table else None
    if table is None or constraint is None:
        return
    lock_referenced_tables([constraint], recorder)
    recorder.lock(
        [QualifiedName(table.name.schema, one.name) for one in table.indexes if one.constraint == constraint.name],
        LockMode.ACCESS_EXCLUSIVE,
    )
    if command.behavior == pb.DROP_CASCADE and constraint.kind in (ConstraintKind.PRIMARY_KEY, ConstraintKind.UNIQUE):
        lock_referencing(table.name, recorder, columns=constraint.columns)
