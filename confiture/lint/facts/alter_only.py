"""ALTER TABLE ONLY commands that PostgreSQL rejects because partitions or child tables must change too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from confiture.lint.engine.context import StatementContext
from confiture.models.catalog import ConstraintKind, Table, TableKind
from confiture.sql.parse_tree import alter_commands, get_definition, pb, strings

_DROPS_ALONE = 18
"""The first version that can drop CHECK and NOT NULL from a partitioned table and keep the constraints on its
partitions.

From this version on, NOT NULL is a constraint, and partitions cannot have it before their parent does.
"""


class OnlyError(NamedTuple):
    """A command that fails: its number (from 0), its intended action, and its SQLSTATE.

    `action` completes "ALTER TABLE ONLY t cannot ...".
    """

    command_number: int
    action: str
    sqlstate: str = "42P16"


def only_errors(context: StatementContext) -> Iterator[OnlyError]:
    """Return the commands in an ALTER TABLE ONLY that fail, if the catalog contains the table and its children."""
    node = context.node
    table = context.table(node.relation)
    if node.relation.inh or table is None or node.objtype != pb.OBJECT_TABLE:
        return
    children = context.catalog.partitions(table.name)
    for number, command in enumerate(alter_commands(node)):
        error = _find_error(context, number, command, table, children)
        if error:
            yield error


def _find_error(
    context: StatementContext, number: int, command: Any, table: Table, children: tuple[Table, ...]
) -> OnlyError | None:
    partitioned = table.kind is TableKind.PARTITIONED
    if command.subtype == pb.AT_AddConstraint:
        return _constraint_error(number, get_definition(command).constraint, partitioned, bool(children))
    if not children:
        return None
    match command.subtype:
        case pb.AT_AddColumn:
            column = get_definition(command).column_def.colname
            is_there = command.missing_ok and table.column(column)
            return None if is_there else OnlyError(number, f"add column {column}")
        case pb.AT_AlterColumnType:
            return OnlyError(number, f"change the type of {command.name}")
        case pb.AT_DropColumn if partitioned and table.column(command.name):
            return OnlyError(number, f"drop column {command.name}")
        case pb.AT_SetNotNull if partitioned and _needs_not_null(context.version, command.name, table, children):
            return OnlyError(number, f"set {command.name} to NOT NULL")
        case pb.AT_DropNotNull if partitioned and context.version < _DROPS_ALONE:
            return OnlyError(number, f"drop NOT NULL from {command.name}")
        case pb.AT_DropConstraint if partitioned and context.version < _DROPS_ALONE:
            constraint = table.constraint(command.name)
            is_check = constraint is not None and constraint.kind is ConstraintKind.CHECK
            return OnlyError(number, f"drop constraint {command.name}") if is_check else None
    return None


def _constraint_error(number: int, constraint: Any, partitioned: bool, has_children: bool) -> OnlyError | None:
    match constraint.contype:
        case pb.CONSTR_FOREIGN if partitioned:
            return OnlyError(number, "add a foreign key", "42809")
        case pb.CONSTR_CHECK if has_children and not constraint.is_no_inherit:
            return OnlyError(number, "add a CHECK constraint")
        case pb.CONSTR_NOTNULL if has_children and not constraint.is_no_inherit:
            return OnlyError(number, f"add NOT NULL to {strings(constraint.keys)[0]}")
    return None


def _needs_not_null(version: int, name: str, table: Table, children: tuple[Table, ...]) -> bool:
    """Whether the column is still nullable, so that SET NOT NULL would have to change partitions as well."""
    own = table.column(name)
    if own and own.not_null:
        return False
    if version >= _DROPS_ALONE:
        return True
    return any(column is None or not column.not_null for column in (child.column(name) for child in children))
