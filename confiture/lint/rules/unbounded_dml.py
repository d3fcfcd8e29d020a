"""Changes to all rows of a table in use, and inserts from large tables, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.row_changes import (
    CHANGING,
    RowChange,
    find_read_tables,
    find_row_changes,
    integer_primary_key,
    is_large_read,
    is_unbounded,
)
from confiture.lint.facts.table_sizes import is_large, resolve_relation_name
from confiture.lint.remedies.sql_text import NEXT
from confiture.sql.parse_tree import format_statement, pb
from confiture.sql.tenant_flow.expressions import find_aggregates

_FILL_IMPACT = (
    "The transaction stays open for the whole insert. Until it commits, vacuum cannot remove rows that become dead in"
    " any table, and a failure means starting over."
)

_GROUPED_HINT = (
    "write it as a `backfill:` step whose batch key determines the groups; if a group can span all rows, run the"
    " statement when a long transaction does no harm, and give the reason in an ignore comment"
)


def _check(context: StatementContext) -> Iterable[Violation]:
    if context.step.backfill is not None:
        return
    changes = list(find_row_changes(context.statement.kind, context.node))
    for change in changes:
        if is_unbounded(change, context):
            yield _unbounded_violation(context, change, is_alone=len(changes) == 1)
    if context.statement.kind == "insert_stmt":
        yield from _check_insert(context)


def _unbounded_violation(context: StatementContext, change: RowChange, *, is_alone: bool) -> Violation:
    target = change.node.relation
    table_name = context.name(target)
    rows = context.rows(resolve_relation_name(context, target))
    whole = f"all rows of {table_name}" + (f" (about {rows:,})" if rows else "")
    if change.kind == "merge_stmt":
        message = f"MERGE may change {whole} in one transaction"
    elif change.node.HasField("where_clause"):
        message = (
            f"{change.verb} may {change.effect_text} {whole} in one transaction: the WHERE clause does not bound them"
        )
    else:
        message = f"{change.verb} {change.effect_text}s {whole} in one transaction"
    return Violation(
        location=context.statement.location_at(target.location),
        relation=table_name,
        message=message,
        remedy=_first_batch_sql(context, change) if is_alone else None,
    )


def _check_insert(context: StatementContext) -> Iterator[Violation]:
    select = context.node.select_stmt.select_stmt
    if select.values_lists or not context.target.table_rows:
        return
    large = [name for name in find_read_tables(select, context) if is_large(context, name)]
    if large and is_large_read(select, context):
        tables = ", ".join(f"{name} (about {context.rows(name):,} rows)" for name in large)
        yield Violation(
            location=context.statement.location_at(context.node.relation.location),
            relation=context.name(context.node.relation),
            message=f"INSERT ... SELECT reads {tables} in one transaction",
            effect=_FILL_IMPACT,
            hint=_GROUPED_HINT if _is_grouped(select) else None,
        )


def _is_grouped(select: Any) -> bool:
    return bool(select.group_clause) or any(True for target in select.target_list for _ in find_aggregates(target))


def _first_batch_sql(context: StatementContext, change: RowChange) -> str | None:
    """Return the statement for the first key range; None unless the key is an integer column."""
    key = integer_primary_key(context.table(change.node.relation))
    if key is None or change.kind == "merge_stmt" or change.node is not context.node:
        return None
    if any(target.res_target.name == key for target in getattr(change.node, "target_list", ())):
        return None  # rows would move from one range to another
    node = type(context.node)()
    node.CopyFrom(context.node)
    column = (node.relation.alias.aliasname or node.relation.relname, key)
    conditions = [_comparison_node(column, ">=", 1), _comparison_node(column, "<", 10001)]
    if node.HasField("where_clause"):
        conditions.insert(0, node.where_clause)
    bounded = pb.Node(bool_expr=pb.BoolExpr(boolop=pb.AND_EXPR, args=conditions))
    node.where_clause.CopyFrom(bounded)
    return f"{format_statement(change.kind, node)}; {NEXT}"


def _comparison_node(column: tuple[str, str], operator: str, number: int) -> Any:
    parts = [pb.Node(string=pb.String(sval=part)) for part in column]
    return pb.Node(
        a_expr=pb.A_Expr(
            kind=pb.AEXPR_OP,
            name=[pb.Node(string=pb.String(sval=operator))],
            lexpr=pb.Node(column_ref=pb.ColumnRef(fields=parts)),
            rexpr=pb.Node(a_const=pb.A_Const(ival=pb.Integer(ival=number))),
        )
    )


_BEFORE = """CREATE TABLE w_orders (id bigint PRIMARY KEY, note text);
INSERT INTO w_orders (id) SELECT generate_series(1, 20000);
ANALYZE w_orders"""

RULE = StatementRule(
    name="unbounded_dml",
    group=Group.DATA,
    severity="warning",
    summary="UPDATE, DELETE or MERGE has no bound on its rows, or INSERT reads all of a large table",
    impact="Every changed row stays locked until the migration commits, and other sessions that change it wait that"
    " long. The old row versions remain as dead rows, which vacuum cannot remove before the commit.",
    fix_hint="write it as a `backfill:` step, which runs in batches, each in its own transaction; for a table that"
    " stays small, use an ignore comment",
    kinds=CHANGING,
    check=_check,
    expected_effects=ExpectedEffects(scans=("w_orders",)),
    bad=Example(before=_BEFORE, sql=("UPDATE w_orders SET note = '' WHERE note IS NULL",)),
    good=Example(
        before=_BEFORE,
        sql=(
            "UPDATE w_orders SET note = '' WHERE note IS NULL AND id >= 1 AND id < 501",
            "UPDATE w_orders SET note = '' WHERE note IS NULL AND id >= 501 AND id < 1001",
        ),
    ),
)
