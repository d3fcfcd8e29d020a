"""ADD COLUMN with a default that differs from row to row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import can_reach_rows, has_concurrent_users, is_constrained_domain, new_columns
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.column_backfill import backfill_sql
from confiture.lint.remedies.commands import (
    cheap_commands,
    join_lines,
    make_command,
    not_null_statements,
    strip_constraints,
)
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import alter_commands, get_definition, pb
from confiture.sql.tristate import Tristate
from confiture.sql.type_changes import format_type_name
from confiture.sql.volatility import find_called_functions, is_domain_default_volatile


def _check(context: StatementContext) -> Iterable[Violation]:
    if not can_reach_rows(context) or not has_concurrent_users(context, context.node.relation):
        return
    for column in new_columns(context).values():
        if not is_constrained_domain(context, column):
            default = _find_default(column)
            yield from _check_default(context, column, default) if default else _check_domain(context, column)


def _check_default(context: StatementContext, column: Any, default: Any) -> Iterator[Violation]:
    calls = {name: verdict for name, verdict in find_called_functions(default.raw_expr, context.catalog) if verdict}
    if not calls:
        return
    table = context.name(context.node.relation)
    worst = max(calls, key=lambda name: calls[name])
    sure = calls[worst] is Tristate.YES
    yield Violation(
        location=context.statement.location_at(default.location),
        relation=table,
        severity=None if sure else "warning",
        message=f"{table} is rewritten, because the default {worst}() of {column.colname} is volatile"
        if sure
        else f"{table} is rewritten if the default {worst}() of {column.colname} is volatile",
        remedy=_remedy(context),
    )


def _check_domain(context: StatementContext, column: Any) -> Iterator[Violation]:
    type_name = format_type_name(column.type_name, context.catalog)
    volatile = is_domain_default_volatile(type_name, context.catalog)
    if volatile:
        table = context.name(context.node.relation)
        yield Violation(
            location=context.statement.location_at(column.location),
            relation=table,
            severity=None if volatile is Tristate.YES else "warning",
            message=f"{table} is rewritten, because the default of {column.colname}'s type {type_name} is volatile",
        )


def _find_default(column: Any) -> Any:
    defaults = (one.constraint for one in column.constraints if one.constraint.contype == pb.CONSTR_DEFAULT)
    return next(defaults, None)


def _remedy(context: StatementContext) -> str:
    """Return SQL that adds each column, then sets its volatile default, and fills existing rows."""
    relation, commands = context.node.relation, []
    deferred: set[str] = set()
    fills: list[str] = []
    proofs: list[str] = []
    for original in alter_commands(context.node):
        column = get_definition(original).column_def
        default = _find_default(column) if original.subtype == pb.AT_AddColumn else None
        if default is None or not any(
            verdict for _, verdict in find_called_functions(default.raw_expr, context.catalog)
        ):
            commands.append(original)
            continue
        deferred.add(column.colname)
        required = [one.constraint for one in column.constraints if one.constraint.contype == pb.CONSTR_NOTNULL]
        commands.append(strip_constraints(original, [default, *required]))
        kind = default.raw_expr.WhichOneof("node")
        value = {kind: getattr(default.raw_expr, kind)}
        commands.append(make_command(pb.AT_ColumnDefault, column.colname, value))
        fills.append(backfill_sql(resolve_relation_name(context, relation), column.colname, "DEFAULT"))
        proofs += not_null_statements(context, column.colname) if required else ()
    return join_lines(*cheap_commands(context, commands, deferred), *fills, *proofs)


_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY); INSERT INTO w_orders SELECT generate_series(1, 100)"

RULE = StatementRule(
    name="volatile_default",
    group=Group.LOCKS,
    severity="error",
    summary="ADD COLUMN with a volatile default rewrites the table",
    impact="All reads from and writes to the table wait until every row is rewritten (ACCESS EXCLUSIVE lock).",
    fix_hint="add the column without the default, set the default, and fill existing rows in batches; constants and"
    " stable functions such as now() rewrite nothing",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, rewrites=("w_orders",)),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_orders ADD COLUMN token uuid DEFAULT gen_random_uuid()",)),
    good=Example(
        before=_BEFORE,
        sql=("ALTER TABLE w_orders ADD COLUMN token uuid, ALTER COLUMN token SET DEFAULT gen_random_uuid()",),
    ),
)
