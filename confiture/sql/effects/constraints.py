"""What commands of ALTER TABLE that work on a constraint lock and scan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.models.catalog import ConstraintKind, Name
from confiture.models.trace import LockMode
from confiture.sql.effects.dropping import lock_partners, lock_referencing
from confiture.sql.effects.recording import Recorder
from confiture.sql.proofs import proves_not_null
from confiture.sql.tree import definition, pb, strings


def scan_for_nulls(columns: Iterable[str], members: tuple[Name, ...], recorder: Recorder) -> None:
    """Columns become NOT NULL: tables are read where nothing proves it."""
    wanted = tuple(columns)
    for name in members:
        table = recorder.table(name)
        if table is None or not all(proves_not_null(table, column) for column in wanted):
            recorder.scan([name])


def add_constraint(command: Any, members: tuple[Name, ...], recorder: Recorder) -> None:
    """ADD CONSTRAINT."""
    constraint = definition(command).constraint
    if constraint.contype == pb.CONSTR_FOREIGN:
        reference(constraint, members, recorder, checks=not constraint.skip_validation)
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


def _use_index(constraint: Any, members: tuple[Name, ...], recorder: Recorder) -> None:
    """A key over an index that exists; a primary key also looks for NULL where the columns allow it."""
    index = Name(members[0].schema, constraint.indexname)
    renamed = constraint.conname not in ("", constraint.indexname)
    recorder.lock([index], LockMode.SHARE_UPDATE_EXCLUSIVE if renamed else LockMode.ACCESS_SHARE)
    found = recorder.catalog.indexed(*index)
    if constraint.contype == pb.CONSTR_PRIMARY:
        columns = [column for column in found[1].columns if column] if found else []
        if columns:
            scan_for_nulls(columns, members, recorder)
        else:
            recorder.scan(members)


def reference(constraint: Any, members: tuple[Name, ...], recorder: Recorder, *, checks: bool) -> None:
    """A new foreign key; `checks` says whether it reads both tables."""
    parents = recorder.whole(recorder.name(constraint.pktable))
    recorder.lock(parents, LockMode.SHARE_ROW_EXCLUSIVE)
    if checks:
        recorder.scan(members)
        recorder.scan(parents)


def validate(command: Any, members: tuple[Name, ...], recorder: Recorder) -> None:
    """VALIDATE CONSTRAINT."""
    table = recorder.table(members[0])
    found = table.constraint(command.name) if table else None
    if found is None:
        recorder.scan(members)
    elif not found.validated:
        recorder.scan(members)
        if found.target:
            parents = recorder.whole(found.target)
            recorder.lock(parents, LockMode.ACCESS_SHARE)
            recorder.lock([found.target], LockMode.ROW_SHARE)
            recorder.scan(parents)


def drop_constraint(command: Any, members: tuple[Name, ...], recorder: Recorder) -> None:
    """DROP CONSTRAINT."""
    table = recorder.table(members[0])
    found = table.constraint(command.name) if table else None
    if table is None or found is None:
        return
    lock_partners([found], recorder)
    recorder.lock(
        [Name(table.name.schema, one.name) for one in table.indexes if one.constraint == found.name],
        LockMode.ACCESS_EXCLUSIVE,
    )
    if command.behavior == pb.DROP_CASCADE and found.kind in (ConstraintKind.PRIMARY_KEY, ConstraintKind.UNIQUE):
        lock_referencing(table.name, recorder, columns=found.columns)
