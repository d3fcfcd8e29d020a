"""What commands of ALTER TABLE that work on a constraint lock and scan."""

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
    """Columns become NOT NULL: tables are read where nothing proves it."""
    wanted = tuple(columns)
    for name in members:
        table = recorder.find_table(name)
        if table is None or not all(is_proved_not_null(table, column) for column in wanted):
            recorder.scan([name])


def add_constraint(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """ADD CONSTRAINT."""
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
    """A key over an index that exists; a primary key also looks for NULL where the columns allow it."""
    index = QualifiedName(members[0].schema, constraint.indexname)
    renamed = constraint.conname not in ("", constraint.indexname)
    recorder.lock([index], LockMode.SHARE_UPDATE_EXCLUSIVE if renamed else LockMode.ACCESS_SHARE)
    found = recorder.catalog.find_index(*index)
    if constraint.contype == pb.CONSTR_PRIMARY:
        columns = [column for column in found[1].columns if column] if found else []
        if columns:
            scan_for_nulls(columns, members, recorder)
        else:
            recorder.scan(members)


def add_foreign_key(
    constraint: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder, *, is_validated: bool
) -> None:
    """A new foreign key; `is_validated` says whether it reads both tables."""
    parents = recorder.with_partitions(recorder.resolve_range_var(constraint.pktable))
    recorder.lock(parents, LockMode.SHARE_ROW_EXCLUSIVE)
    if is_validated:
        recorder.scan(members)
        recorder.scan(parents)


def validate_constraint(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """VALIDATE CONSTRAINT."""
    table = recorder.find_table(members[0])
    found = table.constraint(command.name) if table else None
    if found is None:
        recorder.scan(members)
    elif not found.validated:
        recorder.scan(members)
        if found.target:
            parents = recorder.with_partitions(found.target)
            recorder.lock(parents, LockMode.ACCESS_SHARE)
            recorder.lock([found.target], LockMode.ROW_SHARE)
            recorder.scan(parents)


def drop_constraint(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """DROP CONSTRAINT."""
    table = recorder.find_table(members[0])
    found = table.constraint(command.name) if table else None
    if table is None or found is None:
        return
    lock_referenced_tables([found], recorder)
    recorder.lock(
        [QualifiedName(table.name.schema, one.name) for one in table.indexes if one.constraint == found.name],
        LockMode.ACCESS_EXCLUSIVE,
    )
    if command.behavior == pb.DROP_CASCADE and found.kind in (ConstraintKind.PRIMARY_KEY, ConstraintKind.UNIQUE):
        lock_referencing(table.name, recorder, columns=found.columns)
