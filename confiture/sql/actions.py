"""What a statement does to tables, in a few words that advice can be given by."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from confiture.sql.grammar import parse_sql, pb
from confiture.sql.walking import nodes_of


class Action(StrEnum):
    """What a statement, or a command of an ALTER TABLE, does."""

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
    pb.AT_SetNotNull: Action.SET_NOT_NULL,
    pb.AT_AlterColumnType: Action.ALTER_TYPE,
    pb.AT_AddColumn: Action.ADD_COLUMN,
    pb.AT_ValidateConstraint: Action.VALIDATE,
    pb.AT_AttachPartition: Action.ATTACH,
}
_CONSTRAINTS = {
    pb.CONSTR_CHECK: Action.ADD_CHECK,
    pb.CONSTR_FOREIGN: Action.ADD_FOREIGN_KEY,
    pb.CONSTR_UNIQUE: Action.ADD_UNIQUE,
    pb.CONSTR_PRIMARY: Action.ADD_UNIQUE,
}
_STATEMENTS = {
    "index_stmt": Action.CREATE_INDEX,
    "refresh_mat_view_stmt": Action.REFRESH,
    "reindex_stmt": Action.REINDEX,
    "create_stmt": Action.CREATE_TABLE,
    "update_stmt": Action.UPDATE,
    "delete_stmt": Action.DELETE,
}


def actions(sql: str) -> tuple[Action, ...]:
    """What one statement does; an ALTER TABLE gives one action for each of its commands.

    A constraint that is added NOT VALID, or from an index that exists, reads nothing and counts as `OTHER`.
    """
    node = parse_sql(sql).stmts[0].stmt
    kind = node.WhichOneof("node")
    if kind == "alter_table_stmt":
        return tuple(_command(command.alter_table_cmd) for command in node.alter_table_stmt.cmds)
    if kind == "drop_stmt" and node.drop_stmt.remove_type == pb.OBJECT_INDEX:
        return (Action.DROP_INDEX,)
    return (_STATEMENTS.get(kind, Action.OTHER),)


def named_relations(statements: Iterable[str]) -> tuple[str, ...]:
    """The tables, views and indexes that statements name, each once, quoted, with their schema where it is said."""
    found: set[str] = set()
    for text in statements:
        tree = parse_sql(text)
        for relation in nodes_of(tree, pb.RangeVar):
            found.add(_quoted([relation.schemaname, relation.relname]))
        for dropped in tree.stmts[0].stmt.drop_stmt.objects:
            found.add(_quoted([part.string.sval for part in dropped.list.items]))
    return tuple(sorted(found - {""}))


def same_relation(one: str, other: str) -> bool:
    """Whether two names are of one relation, quoted or not, where either may leave out the schema."""
    one, other = one.replace('"', ""), other.replace('"', "")
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _quoted(parts: Iterable[str]) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)


def _command(command: Any) -> Action:
    if command.subtype != pb.AT_AddConstraint:
        return _COMMANDS.get(command.subtype, Action.OTHER)
    constraint = getattr(command, "def").constraint
    if constraint.skip_validation or constraint.indexname:
        return Action.OTHER
    return _CONSTRAINTS.get(constraint.contype, Action.OTHER)
