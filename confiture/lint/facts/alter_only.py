"""ALTER TABLE ONLY that PostgreSQL refuses, since the partitions, or what inherits, must follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from confiture.lint.engine.context import StatementContext
from confiture.models.catalog import ConstraintKind, Table, TableKind
from confiture.sql.parse_tree import alter_commands, get_definition, pb, strings

_DROPS_ALONE = 18
"""The first version that drops CHECK and NOT NULL of a partitioned table and leaves them to its partitions, and whose
NOT NULL is a constraint that partitions cannot have of their own beforehand."""


class OnlyError(NamedTuple):
    """A command (its number, from 0) that fails: what it would do, and the SQLSTATE."""

    command_number: int
    action: str
    sqlstate: str = "42P16"


def only_errors(context: StatementContext) -> Iterator[OnlyError]:
    """The commands of an ALTER TABLE ONLY that fail, as far as the catalog knows the table and its children."""
    node = context.node
    table = context.table(node.relation)
    if node.relation.inh or table is None or node.objtype != pb.OBJECT_TABLE:
        return
    children = context.catalog.partitions(table.name)
    for number, command in enumerate(alter_commands(node)):
        refusal = _find_error(context, number, command, table, children)
        if refusal:
            yield refusal


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
            return None if is_there else OnlyError(number, f"a column {column}")
        case pb.AT_AlterColumnType:
            return OnlyError(number, f"another type of {command.name}")
        case pb.AT_DropColumn if partitioned and table.column(command.name):
            return OnlyError(number, f"the end of {command.name}")
        case pb.AT_SetNotNull if partitioned and _needs_not_null(context.version, command.name, table, children):
            return OnlyError(number, f"NOT NULL of {command.name}")
        case pb.AT_DropNotNull if partitioned and context.version < _DROPS_ALONE:
            return OnlyError(number, f"the end of NOT NULL of {command.name}")
        case pb.AT_DropConstraint if partitioned and context.version < _DROPS_ALONE:
            found = table.constraint(command.name)
            is_check = found is not None and found.kind is ConstraintKind.CHECK
            return OnlyError(number, f"the end of {command.name}") if is_check else None
    return None


def _constraint_error(number: int, constraint: Any, partitioned: bool, has_children: bool) -> OnlyError | None:
    match constraint.contype:
        case pb.CONSTR_FOREIGN if partitioned:
            return OnlyError(number, "a foreign key", "42809")
        case pb.CONSTR_CHECK if has_children and not constraint.is_no_inherit:
            return OnlyError(number, "a CHECK")
        case pb.CONSTR_NOTNULL if has_children and not constraint.is_no_inherit:
            return OnlyError(number, f"NOT NULL of {strings(constraint.keys)[0]}")
    return None


def _needs_not_null(version: int, name: str, table: Table, children: tuple[Table, ...]) -> bool:
    """Whether SET NOT NULL is not there yet, and would have to be made in partitions as well."""
    own = table.column(name)
    if own and own.not_null:
        return False
    if version >= _DROPS_ALONE:
        return True
    return any(column is None or not column.not_null for column in (child.column(name) for child in children))
