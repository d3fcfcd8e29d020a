"""ALTER TABLE ONLY that PostgreSQL refuses, since the partitions, or what inherits, must follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from confiture.lint.engine.context import StatementSubject
from confiture.models.catalog import ConstraintKind, Table, TableKind
from confiture.sql.tree import alter_commands, definition, pb, strings

_DROPS_ALONE = 18
"""The first version that drops CHECK and NOT NULL of a partitioned table and leaves them to its partitions, and whose
NOT NULL is a constraint that partitions cannot have of their own beforehand."""


class Refusal(NamedTuple):
    """A command (its number, from 0) that fails: what it would do, and the SQLSTATE."""

    command: int
    what: str
    sqlstate: str = "42P16"


def refusals(subject: StatementSubject) -> Iterator[Refusal]:
    """The commands of an ALTER TABLE ONLY that fail, as far as the catalog knows the table and its children."""
    node = subject.node
    table = subject.table(node.relation)
    if node.relation.inh or table is None or node.objtype != pb.OBJECT_TABLE:
        return
    children = subject.catalog.partitions(table.name)
    for number, command in enumerate(alter_commands(node)):
        refusal = _refusal(subject, number, command, table, children)
        if refusal:
            yield refusal


def _refusal(
    subject: StatementSubject, number: int, command: Any, table: Table, children: tuple[Table, ...]
) -> Refusal | None:
    partitioned = table.kind is TableKind.PARTITIONED
    if command.subtype == pb.AT_AddConstraint:
        return _of_constraint(number, definition(command).constraint, partitioned, bool(children))
    if not children:
        return None
    match command.subtype:
        case pb.AT_AddColumn:
            column = definition(command).column_def.colname
            is_there = command.missing_ok and table.column(column)
            return None if is_there else Refusal(number, f"a column {column}")
        case pb.AT_AlterColumnType:
            return Refusal(number, f"another type of {command.name}")
        case pb.AT_DropColumn if partitioned and table.column(command.name):
            return Refusal(number, f"the end of {command.name}")
        case pb.AT_SetNotNull if partitioned and _wants_not_null(subject.version, command.name, table, children):
            return Refusal(number, f"NOT NULL of {command.name}")
        case pb.AT_DropNotNull if partitioned and subject.version < _DROPS_ALONE:
            return Refusal(number, f"the end of NOT NULL of {command.name}")
        case pb.AT_DropConstraint if partitioned and subject.version < _DROPS_ALONE:
            found = table.constraint(command.name)
            is_check = found is not None and found.kind is ConstraintKind.CHECK
            return Refusal(number, f"the end of {command.name}") if is_check else None
    return None


def _of_constraint(number: int, constraint: Any, partitioned: bool, has_children: bool) -> Refusal | None:
    match constraint.contype:
        case pb.CONSTR_FOREIGN if partitioned:
            return Refusal(number, "a foreign key", "42809")
        case pb.CONSTR_CHECK if has_children and not constraint.is_no_inherit:
            return Refusal(number, "a CHECK")
        case pb.CONSTR_NOTNULL if has_children and not constraint.is_no_inherit:
            return Refusal(number, f"NOT NULL of {strings(constraint.keys)[0]}")
    return None


def _wants_not_null(version: int, name: str, table: Table, children: tuple[Table, ...]) -> bool:
    """Whether SET NOT NULL is not there yet, and would have to be made in partitions as well."""
    own = table.column(name)
    if own and own.not_null:
        return False
    if version >= _DROPS_ALONE:
        return True
    return any(column is None or not column.not_null for column in (child.column(name) for child in children))
