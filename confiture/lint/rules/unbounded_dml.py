"""Changes of all rows of a table that others use, and fills from large ones, in one transaction."""

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
    "One transaction lasts as long as the whole fill: until it commits, vacuum can remove no row that became dead "
    "meanwhile in any table, and a failure starts over."
)

_GROUPED_HINT = (
    "write it as a `backfill:` step whose batch key determines the groups; where groups span all rows, run it when a "
    "long transaction hurts nobody, and say so in an ignore comment"
)


def _check(context: StatementContext) -> Iterable[Violation]:
    if context.step.backfill is not None:
        return
    made = list(find_row_changes(context.statement.kind, context.node))
    for change in made:
        if is_unbounded(change, context):
            yield _unbounded_violation(context, change, is_alone=len(made) == 1)
    if context.statement.kind == "insert_stmt":
        yield from _check_insert(context)


def _unbounded_violation(context: StatementContext, change: RowChange, *, is_alone: bool) -> Violation:
    target = change.node.relation
    called = context.name(target)
    rows = context.rows(resolve_relation_name(context, target))
    whole = f"all rows of {called}" + (f" (about {rows:,})" if rows else "")
    if change.kind == "merge_stmt":
        message = f"MERGE may change {whole} in one transaction"
    elif change.node.HasField("where_clause"):
        message = f"{change.verb} may {change.effect_text} {whole} in one transaction: its WHERE sets no bound"
    else:
        message = f"{change.verb} {change.effect_text}s {whole} in one transaction"
    return Violation(
        location=context.statement.location_at(target.location),
        relation=called,
        message=message,
        remedy=_first_batch_sql(context, change) if is_alone else None,
    )


def _check_insert(context: StatementContext) -> Iterator[Violation]:
    select = context.node.select_stmt.select_stmt
    if select.values_lists or not context.target.table_rows:
        return
    large = [name for name in find_read_tables(select, context) if is_large(context, name)]
    if large and is_large_read(select, context):
        read = ", ".join(f"{name} (about {context.rows(name):,} rows)" for name in large)
        yield Violation(
            location=context.statement.location_at(context.node.relation.location),
            relation=context.name(context.node.relation),
            message=f"INSERT ... SELECT reads {read} in one transaction",
            effect=_FILL_IMPACT,
            hint=_GROUPED_HINT if _is_grouped(select) else None,
        )


def _is_grouped(select: Any) -> bool:
    return bool(select.group_clause) or any(True for target in select.target_list for _ in find_aggregates(target))


def _first_batch_sql(context: StatementContext, change: RowChange) -> str | None:
    """The change of the first range of keys, where the key is a column of whole numbers."""
    key = integer_primary_key(context.table(change.node.relation))
    if key is None or change.kind == "merge_stmt" or change.node is not context.node:
        return None
    if any(target.res_target.name == key for target in getattr(change.node, "target_list", ())):
        return None  # rows would move from one range to the next
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
    summary="UPDATE, DELETE or MERGE without a bound on its rows, or INSERT from all of a large table",
    impact="Every row that it changes stays locked until the migration commits, and whoever wants to change such a "
    "row waits that long; the old rows stay behind dead, and vacuum can remove none of them before the commit.",
    fix_hint="write it as a `backfill:` step, which runs in batches, each committed by itself; for a table that stays "
    "small, say so in an ignore comment",
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
