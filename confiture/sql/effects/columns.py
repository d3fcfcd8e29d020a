"""Locks, scans, and rewrites caused by ALTER TABLE commands that change a column."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import QualifiedName, Table
from confiture.models.trace import LockMode
from confiture.sql.catalog.types import is_serial
from confiture.sql.effects.constraints import add_foreign_key, scan_for_nulls
from confiture.sql.effects.drop import lock_referenced_tables, lock_referencing, lock_sequences
from confiture.sql.effects.recorder import EffectRecorder
from confiture.sql.parse_tree import get_definition, pb
from confiture.sql.tristate import Tristate
from confiture.sql.type_changes import (
    format_type_name,
    is_index_on_column,
    needs_rewrite,
    objects_rescanned_for,
    preserves_sort_order,
)
from confiture.sql.volatility import find_domain_of_type, is_domain_default_volatile, is_volatile

_AX = LockMode.ACCESS_EXCLUSIVE


def add_column(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of ADD COLUMN."""
    column = get_definition(command).column_def
    if command.missing_ok and _has_column(recorder.find_table(members[0]), column.colname):
        return
    if needs_column_rewrite(column, recorder) is not Tristate.NO:
        recorder.rewrite(members)
    kinds = {one.constraint.contype: one.constraint for one in column.constraints}
    default = kinds.get(pb.CONSTR_DEFAULT)
    filled = default is not None or pb.CONSTR_GENERATED in kinds or pb.CONSTR_IDENTITY in kinds
    for kind, constraint in kinds.items():
        if kind in (pb.CONSTR_CHECK, pb.CONSTR_UNIQUE, pb.CONSTR_PRIMARY) or (
            kind == pb.CONSTR_NOTNULL and (default is None or is_virtual(column))
        ):
            recorder.scan(members)
        elif kind == pb.CONSTR_FOREIGN:
            add_foreign_key(constraint, members, recorder, is_validated=filled and not constraint.skip_validation)


def needs_column_rewrite(column: Any, recorder: EffectRecorder) -> Tristate:
    """Return whether adding a column (a ColumnDef node) writes a value into each row."""
    catalog = recorder.catalog
    kinds = {one.constraint.contype: one.constraint for one in column.constraints}
    if is_virtual(column):
        return Tristate.NO
    if pb.CONSTR_IDENTITY in kinds or pb.CONSTR_GENERATED in kinds or is_serial(column):
        return Tristate.YES
    text = format_type_name(column.type_name, catalog)
    domain = find_domain_of_type(text, catalog)
    constrained = domain is not None and (domain.not_null or domain.checks)
    default = kinds.get(pb.CONSTR_DEFAULT)
    volatile = is_volatile(default.raw_expr, catalog) if default else is_domain_default_volatile(text, catalog)
    return Tristate.YES if constrained else volatile


def is_virtual(column: Any) -> bool:
    """Whether a ColumnDef node defines a virtual generated column."""
    return any(
        one.constraint.contype == pb.CONSTR_GENERATED and one.constraint.generated_kind == "v"
        for one in column.constraints
    )


def set_not_null(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of SET NOT NULL."""
    scan_for_nulls([command.name], members, recorder)


def drop_column(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of DROP COLUMN."""
    for name in members:
        table = recorder.find_table(name)
        if table is None:
            continue
        lock_referenced_tables([key for key in table.foreign_keys if command.name in key.columns], recorder)
        lock_sequences(name, recorder, column=command.name)
        indexes = [one for one in table.indexes if is_index_on_column(one, command.name)]
        recorder.lock([QualifiedName(name.schema, index.name) for index in indexes], _AX)
        if command.behavior == pb.DROP_CASCADE:
            lock_referencing(name, recorder, columns=(command.name,))


def alter_type(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of SET DATA TYPE."""
    column = get_definition(command).column_def
    using = column.raw_default if column.HasField("raw_default") else None
    new = format_type_name(column.type_name, recorder.catalog)
    for name in members:
        table = recorder.find_table(name)
        column_in_catalog = table.column(command.name) if table else None
        stays = (
            needs_rewrite(
                command.name, column_in_catalog.type if column_in_catalog else None, new, using, recorder.catalog
            )
            is Tristate.NO
        )
        if not stays:
            recorder.rewrite([name])
        if table and column_in_catalog and column_in_catalog.identity:
            lock_sequences(name, recorder, column=command.name, mode=LockMode.SHARE_ROW_EXCLUSIVE)
        if table and column_in_catalog:
            collates = column.HasField("coll_clause")
            _rebuild_dependents(
                table,
                command.name,
                recorder,
                is_order_kept=stays and preserves_sort_order(column_in_catalog.type, new) and not collates,
            )


def _rebuild_dependents(table: Table, column: str, recorder: EffectRecorder, *, is_order_kept: bool) -> None:
    """Record the rebuild of indexes, checks, and foreign keys on a column whose type changes."""
    if objects_rescanned_for(table, column, is_order_kept=is_order_kept):
        recorder.scan([table.name])
    indexes = [index.name for index in table.indexes if is_index_on_column(index, column)]
    recorder.lock([QualifiedName(table.name.schema, index) for index in indexes], _AX)
    own = [key for key in table.foreign_keys if column in key.columns]
    lock_referenced_tables(own, recorder)
    others = lock_referencing(table.name, recorder, columns=(column,))
    if not is_order_kept:
        recorder.scan([key.target for key in own if key.target])
        recorder.scan([*others, *([table.name] if others else [])])


def change_identity(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of SET GENERATED and DROP IDENTITY, which also lock the identity column's sequence."""
    is_drop = command.subtype == pb.AT_DropIdentity
    mode = LockMode.ACCESS_EXCLUSIVE if is_drop else LockMode.SHARE_ROW_EXCLUSIVE
    lock_sequences(members[0], recorder, column=command.name, mode=mode)


def set_expression(command: Any, members: tuple[QualifiedName, ...], recorder: EffectRecorder) -> None:
    """Record the effects of SET EXPRESSION on a generated column."""
    table = recorder.find_table(members[0])
    column = table.column(command.name) if table else None
    if column is None or column.generated != "virtual":
        recorder.rewrite(members)


def _has_column(table: Table | None, column: str) -> bool:
    return table is not None and table.column(column) is not None
