"""ALTER COLUMN ... TYPE that rewrites the table, or scans it to rebuild indexes and recheck constraints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import can_reach_rows, has_concurrent_users
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.change_type import TypeChange, default_commands, find_type_changes
from confiture.lint.remedies.column_backfill import backfill_sql, fill_trigger_sql
from confiture.lint.remedies.commands import alter_table_sql, join_lines, remaining_commands
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.trace import LockMode
from confiture.sql.catalog.object_names import make_object_name
from confiture.sql.parse_tree import alter_commands, format_expression, pb, quote_identifier
from confiture.sql.parser import parse_sql
from confiture.sql.tristate import Tristate
from confiture.sql.type_changes import is_timezone_change, needs_rewrite, objects_rescanned_for, preserves_sort_order


def _check(context: StatementContext) -> Iterable[Violation]:
    if not can_reach_rows(context) or not has_concurrent_users(context, context.node.relation):
        return
    table = context.name(context.node.relation)
    for one in find_type_changes(context):
        verdict = _needs_rewrite(context, one)
        if verdict is Tristate.NO:
            yield from _check_rescans(context, table, one)
        else:
            yield _violation(context, table, one, verdict)


def _check_rescans(context: StatementContext, table: str, change: TypeChange) -> Iterator[Violation]:
    known = context.table(context.node.relation)
    if known is None or change.old_type is None:
        return
    names = objects_rescanned_for(
        known,
        change.column,
        is_order_kept=preserves_sort_order(change.old_type, change.new_type) and not change.has_collation,
    )
    if names:
        yield Violation(
            location=change.location,
            relation=table,
            message=f"{table} is scanned under its lock to rebuild {' and '.join(names)} for {change.column}",
            effect="All reads from and writes to the table wait until the whole table is scanned (ACCESS EXCLUSIVE"
            " lock).",
            hint="drop a CHECK first and add it again as NOT VALID afterwards; drop an index first and build it"
            " CONCURRENTLY afterwards",
        )


def _needs_rewrite(context: StatementContext, change: TypeChange) -> Tristate:
    timezones = (
        change.using is None and change.old_type is not None and is_timezone_change(change.old_type, change.new_type)
    )
    verdict = needs_rewrite(change.column, change.old_type, change.new_type, change.using, context.catalog)
    return Tristate.NO if timezones and verdict is Tristate.UNKNOWN and _is_utc_session(context) else verdict


def _is_utc_session(context: StatementContext) -> bool:
    """Whether the last SET TimeZone in the transaction sets UTC."""
    zone = ""
    for one in context.earlier_of_kind("variable_set_stmt"):
        if one.node.name.lower() == "timezone":
            zone = one.node.args[0].a_const.sval.sval if one.node.args else ""
    return zone.lower() in ("utc", "etc/utc", "zulu", "gmt")


def _violation(context: StatementContext, table: str, change: TypeChange, verdict: Tristate) -> Violation:
    timezones = change.old_type is not None and is_timezone_change(change.old_type, change.new_type)
    if verdict is Tristate.YES:
        message = f"{table} is rewritten to change {change.column} to {change.new_type}"
    elif timezones:
        message = (
            f"{table} is rewritten to change {change.column} to {change.new_type}, unless the session's TimeZone is UTC"
        )
    else:
        message = (
            f"{table} is rewritten to change {change.column} to {change.new_type}, unless both types are stored the"
            " same way"
        )
    in_utc = timezones and verdict is Tristate.UNKNOWN
    return Violation(
        location=change.location,
        relation=table,
        severity=None if verdict is Tristate.YES else "warning",
        message=message + (f" (now {change.old_type})" if change.old_type else ""),
        remedy=_utc_remedy(context, change) if in_utc else _new_column_remedy(context, change),
        hint="if the values are in UTC, change the type with TimeZone UTC, which rewrites nothing" if in_utc else None,
    )


def _utc_remedy(context: StatementContext, change: TypeChange) -> str:
    commands, own = list(alter_commands(context.node)), default_commands(context, change.column)
    changed = alter_table_sql(context.node.relation, *(commands[number] for number in own), like=context.node)
    return join_lines(*remaining_commands(context, own), "SET LOCAL timezone = 'UTC'", changed)


def _new_column_remedy(context: StatementContext, change: TypeChange) -> str:
    """Return SQL that adds a column with the new type and fills it with a trigger and a backfill."""
    table = resolve_relation_name(context, context.node.relation)
    column = make_object_name(change.column, None, "new")
    value = change.using if change.using is not None else _cast_node(change)
    return join_lines(
        *remaining_commands(context, default_commands(context, change.column)),
        f"ALTER TABLE {qualified_name(table)} ADD COLUMN {quote_identifier(column)} {change.new_type}",
        *fill_trigger_sql(table, column, value),
        backfill_sql(table, column, format_expression(value)),
        f"-- then move clients to {quote_identifier(column)}, and finally drop the trigger and"
        f" {quote_identifier(change.column)}",
    )


def _cast_node(change: TypeChange) -> pb.Node:
    text = f"SELECT CAST({quote_identifier(change.column)} AS {change.new_type})"
    value = parse_sql(text).stmts[0].stmt.select_stmt.target_list[0].res_target.val
    node = pb.Node()
    node.CopyFrom(value)
    return node


_BEFORE = (
    "CREATE TABLE w_orders (id bigint PRIMARY KEY, quantity integer, note varchar(100));"
    " INSERT INTO w_orders SELECT i, i, 'paid' FROM generate_series(1, 100) i"
)

RULE = StatementRule(
    name="type_rewrite",
    group=Group.LOCKS,
    severity="error",
    summary="ALTER COLUMN ... TYPE rewrites the table",
    impact="All reads from and writes to the table wait until all rows and indexes are rewritten (ACCESS EXCLUSIVE"
    " lock).",
    fix_hint="add a second column, fill new rows with a trigger and existing rows in batches, then move clients to it;"
    " changes from varchar to text or a longer varchar, and from numeric to more digits with the same scale, rewrite"
    " nothing",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, rewrites=("w_orders",)),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_orders ALTER COLUMN quantity TYPE bigint",)),
    good=Example(before=_BEFORE, sql=("ALTER TABLE w_orders ALTER COLUMN note TYPE text",)),
)
