"""SET LOGGED, UNLOGGED, TABLESPACE and ACCESS METHOD, which copy all rows."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import has_concurrent_users
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.models.trace import LockMode
from confiture.sql.effects.alter_table import is_storage_change
from confiture.sql.effects.recorder import EffectRecorder
from confiture.sql.parse_tree import alter_commands, pb
from confiture.sql.tokens import command_offsets

_COMMANDS = {
    pb.AT_SetLogged: "SET LOGGED",
    pb.AT_SetUnLogged: "SET UNLOGGED",
    pb.AT_SetTableSpace: "SET TABLESPACE",
    pb.AT_SetAccessMethod: "SET ACCESS METHOD",
}


def _check(context: StatementContext) -> Iterable[Violation]:
    if context.statement.kind == "alter_table_move_all_stmt":
        yield from _check_all_in_tablespace(context)
        return
    node = context.node
    storage_commands = [one for one in alter_commands(node) if one.subtype in _COMMANDS]
    if not storage_commands:
        return
    if node.objtype == pb.OBJECT_INDEX:
        yield from _check_index(context)
        return
    recorder = EffectRecorder(context.catalog, context.version)
    if not has_concurrent_users(context, node.relation) or not recorder.has_own_rows(
        resolve_relation_name(context, node.relation)
    ):
        return
    places = command_offsets(context.statement)
    for number, command in enumerate(alter_commands(node)):
        if command.subtype in _COMMANDS and is_storage_change(command, context.table(node.relation)):
            table = context.name(node.relation)
            yield Violation(
                location=places[number],
                relation=table,
                message=f"{_COMMANDS[command.subtype]} copies all rows and indexes of {table}"
                if command.subtype != pb.AT_SetTableSpace
                else f"SET TABLESPACE copies all rows of {table}",
            )


def _check_all_in_tablespace(context: StatementContext) -> Iterable[Violation]:
    what = {pb.OBJECT_INDEX: "index", pb.OBJECT_MATVIEW: "materialized view"}.get(context.node.objtype, "table")
    yield Violation(
        location=context.location,
        message=f"every {what} in tablespace {context.node.orig_tablespacename} is copied in one statement",
    )


def _check_index(context: StatementContext) -> Iterable[Violation]:
    indexed = context.catalog.find_index(context.node.relation.schemaname or None, context.node.relation.relname)
    if indexed and indexed[0].name in context.created:
        return
    yield Violation(
        location=context.location,
        relation=str(indexed[0].name) if indexed else None,
        message=f"SET TABLESPACE copies the whole index {context.node.relation.relname}",
        effect="Queries on the table wait until the whole index is copied (ACCESS EXCLUSIVE lock on the index).",
        hint="build a new index in that tablespace CONCURRENTLY under another name, then drop the old index",
    )


_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY); INSERT INTO w_orders SELECT generate_series(1, 100)"

RULE = StatementRule(
    name="storage_rewrite",
    group=Group.LOCKS,
    severity="error",
    summary="SET LOGGED, UNLOGGED, TABLESPACE or ACCESS METHOD copies a table in use",
    impact="All reads from and writes to the table wait until the whole table is copied (ACCESS EXCLUSIVE lock).",
    fix_hint="run the statement in a maintenance window, or use pg_repack; or create a new table, fill it in batches,"
    " and move clients to it",
    kinds=frozenset({"alter_table_stmt", "alter_table_move_all_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, rewrites=("w_orders",)),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_orders SET UNLOGGED",)),
    good=Example(
        before=_BEFORE,
        sql=("CREATE UNLOGGED TABLE r_orders_by_day (day date PRIMARY KEY, orders bigint NOT NULL)",),
    ),
)
