"""Changes that remove or weaken a replica identity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.objects import dropped_objects
from confiture.lint.facts.row_changes import has_no_users, is_new_name
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Table
from confiture.models.source import SourceLocation
from confiture.sql.parse_tree import alter_commands, get_definition, pb
from confiture.sql.tokens import command_offsets

_NOTHING, _FULL = "n", "f"
_FULL_EFFECT = (
    "Every UPDATE and DELETE writes the whole old row to the WAL, and a subscriber without a suitable index scans its"
    " whole table for each change."
)


def _check(context: StatementContext) -> Iterable[Violation]:
    if context.statement.kind == "drop_stmt":
        yield from _check_dropped_indexes(context)
        return
    node = context.node
    if has_no_users(context, node.relation):
        return
    table = context.table(node.relation)
    for number, command in enumerate(alter_commands(node)):
        if command.subtype == pb.AT_ReplicaIdentity:
            place = command_offsets(context.statement)[number]
            yield from _check_new_identity(
                context, table, place, get_definition(command).replica_identity_stmt.identity_type
            )
        elif table and _is_identity_dropped(table, command) and not _has_replacement(context):
            yield _lost_identity_violation(table, command_offsets(context.statement)[number])


def _check_new_identity(
    context: StatementContext, table: Table | None, location: SourceLocation, identity: str
) -> Iterator[Violation]:
    table_name = context.name(context.node.relation)
    default = (
        f"ALTER TABLE {qualified_name(table.name)} REPLICA IDENTITY DEFAULT;" if table and table.primary_key else None
    )
    if identity == _NOTHING:
        message = f"logical replication can no longer identify rows of {table_name}"
        yield Violation(location=location, relation=table_name, message=message, remedy=default)
    elif identity == _FULL and (table is None or table.primary_key):
        yield Violation(
            location=location,
            relation=table_name,
            message=f"logical replication identifies rows of {table_name} by comparing all columns",
            effect=_FULL_EFFECT,
            remedy=default,
        )


def _check_dropped_indexes(context: StatementContext) -> Iterator[Violation]:
    if context.node.remove_type == pb.OBJECT_INDEX:
        for schema, name in dropped_objects(context.node):
            owner = (context.catalog.find_index(schema, name) or (None,))[0]
            if not isinstance(owner, Table) or is_new_name(context, owner.name):
                continue
            if owner.replica_identity == f"index {name}":
                yield _lost_identity_violation(owner, context.location)


def _lost_identity_violation(table: Table, location: SourceLocation) -> Violation:
    what = "primary key" if table.replica_identity == "default" else "index"
    return Violation(
        location=location,
        relation=str(table.name),
        message=f"{table.name} loses the {what} by which logical replication identifies its rows",
        hint="add the new key in the same transaction, or set another index with REPLICA IDENTITY USING INDEX",
    )


def _is_identity_dropped(table: Table, command: Any) -> bool:
    """Whether a command drops the key or index of the replica identity, or one of its columns."""
    key = table.primary_key.name if table.primary_key else None
    identity_index = f"index {key}" if table.replica_identity == "default" else table.replica_identity
    index = next((one for one in table.indexes if identity_index == f"index {one.name}"), None)
    if index is None:
        return False
    if command.subtype == pb.AT_DropColumn:
        return command.name in index.columns
    return bool(command.subtype == pb.AT_DropConstraint and command.name == index.name)


def _has_replacement(context: StatementContext) -> bool:
    """Whether the same transaction adds a primary key or sets another replica identity."""
    table_name = context.name(context.node.relation)
    following = [
        one.node for one in context.later_of_kind("alter_table_stmt") if context.name(one.node.relation) == table_name
    ]
    return any(
        command.subtype == pb.AT_ReplicaIdentity
        or (command.subtype == pb.AT_AddConstraint and get_definition(command).constraint.contype == pb.CONSTR_PRIMARY)
        or (command.subtype == pb.AT_AddColumn and _is_primary_key(get_definition(command).column_def))
        for node in (context.node, *following)
        for command in alter_commands(node)
    )


def _is_primary_key(column: Any) -> bool:
    return any(one.constraint.contype == pb.CONSTR_PRIMARY for one in column.constraints)


_BEFORE = """CREATE TABLE w_orders (
    id bigint PRIMARY KEY, code text NOT NULL, CONSTRAINT w_orders_code_key UNIQUE (code)
);
INSERT INTO w_orders (id, code) VALUES (1, 'A-1');
CREATE PUBLICATION shop_events FOR TABLE w_orders"""
_CLIENT = "UPDATE w_orders SET code = 'A-2' WHERE id = 1"

RULE = StatementRule(
    name="replica_identity",
    group=Group.DATA,
    severity="warning",
    summary="The replica identity of a table is removed or weakened",
    impact="If the table is published, every UPDATE and DELETE fails (55000).",
    fix_hint="keep the primary key, or set a unique index over NOT NULL columns with REPLICA IDENTITY USING INDEX",
    kinds=frozenset({"alter_table_stmt", "drop_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(error="55000"),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_orders REPLICA IDENTITY NOTHING", _CLIENT)),
    good=Example(before=_BEFORE, sql=("ALTER TABLE w_orders REPLICA IDENTITY USING INDEX w_orders_code_key", _CLIENT)),
)
