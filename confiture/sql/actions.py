"""The actions that statements perform on tables, classified for advice."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from confiture.sql.parser import parse_sql, pb
from confiture.sql.traversal import find_nodes
from confiture.text import double_quote


class StatementAction(StrEnum):
    """The action of a statement, or of a command in an ALTER TABLE."""

    CREATE_INDEX = "create index"
    ADD_CHECK = "add check"
    ADD_FOREIGN_KEY = "add foreign key"
    ADD_UNIQUE = "add unique"
    SET_NOT_NULL = "set not null"
    ALTER_TYPE = "alter type"
    ADD_COLUMN = "add column"
    VALIDATE = "validate constraint"
    ATTACH = "attach partition"
    REFRESH = "refresh"
    REINDEX = "reindex"
    DROP_INDEX = "drop index"
    CREATE_TABLE = "create table"
    UPDATE = "update"
    DELETE = "delete"
    OTHER = "other"


_COMMANDS = {
    pb.AT_SetNotNull: StatementAction.SET_NOT_NULL,
    pb.AT_AlterColumnType: StatementAction.ALTER_TYPE,
    pb.AT_AddColumn: StatementAction.ADD_COLUMN,
    pb.AT_ValidateConstraint: StatementAction.VALIDATE,
    pb.AT_AttachPartition: StatementAction.ATTACH,
}
_CONSTRAINTS = {
    pb.CONSTR_CHECK: StatementAction.ADD_CHECK,
    pb.CONSTR_FOREIGN: StatementAction.ADD_FOREIGN_KEY,
    pb.CONSTR_UNIQUE: StatementAction.ADD_UNIQUE,
    pb.CONSTR_PRIMARY: StatementAction.ADD_UNIQUE,
}
_STATEMENTS = {
    "index_stmt": StatementAction.CREATE_INDEX,
    "refresh_mat_view_stmt": StatementAction.REFRESH,
    "reindex_stmt": StatementAction.REINDEX,
    "create_stmt": StatementAction.CREATE_TABLE,
    "update_stmt": StatementAction.UPDATE,
    "delete_stmt": StatementAction.DELETE,
}


def find_actions(sql: str) -> tuple[StatementAction, ...]:
    """Return the actions of one statement; an ALTER TABLE has one action per command.

    Adding a constraint as NOT VALID, or from an existing index, reads no rows and counts as `OTHER`.
    """
    node = parse_sql(sql).stmts[0].stmt
    kind = node.WhichOneof("node")
    if kind == "alter_table_stmt":
        return tuple(_command_action(command.alter_table_cmd) for command in node.alter_table_stmt.cmds)
    if kind == "drop_stmt" and node.drop_stmt.remove_type == pb.OBJECT_INDEX:
        return (StatementAction.DROP_INDEX,)
    return (_STATEMENTS.get(kind, StatementAction.OTHER),)


def relations_named_in(statements: Iterable[str]) -> tuple[str, ...]:
    """Return the quoted names of the tables, views, and indexes that statements name, each once, with the schema if
    given.
    """
    names: set[str] = set()
    for text in statements:
        tree = parse_sql(text)
        for relation in find_nodes(tree, pb.RangeVar):
            names.add(_quote_parts([relation.schemaname, relation.relname]))
        for item in tree.stmts[0].stmt.drop_stmt.objects:
            names.add(_quote_parts([part.string.sval for part in item.list.items]))
    return tuple(sorted(names - {""}))


def is_same_relation(name: str, other_name: str) -> bool:
    """Whether two names refer to the same relation. Each name may be quoted and may omit the schema."""
    name, other_name = name.replace('"', ""), other_name.replace('"', "")
    return name == other_name or name.endswith(f".{other_name}") or other_name.endswith(f".{name}")


def _quote_parts(parts: Iterable[str]) -> str:
    return ".".join(double_quote(part) for part in parts if part)


def _command_action(command: Any) -> StatementAction:
    if command.subtype != pb.AT_AddConstraint:
        return _COMMANDS.get(command.subtype, StatementAction.OTHER)
    constraint = getattr(command, "def").constraint
    if constraint.skip_validation or constraint.indexname:
        return StatementAction.OTHER
    return _CONSTRAINTS.get(constraint.contype, StatementAction.OTHER)
