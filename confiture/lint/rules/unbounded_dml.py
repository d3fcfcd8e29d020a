"""Changes of all rows of a table that others use, and fills from large ones, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.row_changes import CHANGING, Change, changes, is_unbounded, reads_much, table_key, tables_read
from confiture.lint.facts.table_sizes import is_large, name_of
from confiture.lint.remedies.sql_text import NEXT
from confiture.sql.flow.expressions import aggregates
from confiture.sql.tree import pb, statement_text

_FILL = (
    "One transaction lasts as long as the whole fill: until it commits, vacuum can remove no row that became dead "
    "meanwhile in any table, and a failure starts over."
)

_GROUPED = (
    "write it as a `backfill:` step whose batch key determines the groups; where groups span all rows, run it when a "
    "long transaction hurts nobody, and say so in an ignore comment"
)


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if subject.step.backfill is not None:
        return
    made = list(changes(subject.statement.kind, subject.node))
    for change in made:
        if is_unbounded(change, subject):
            yield _unbounded(subject, change, is_alone=len(made) == 1)
    if subject.statement.kind == "insert_stmt":
        yield from _filled(subject)


def _unbounded(subject: StatementSubject, change: Change, *, is_alone: bool) -> Hit:
    target = change.node.relation
    called = subject.name(target)
    rows = subject.rows(name_of(subject, target))
    whole = f"all rows of {called}" + (f" (about {rows:,})" if rows else "")
    if change.kind == "merge_stmt":
        message = f"MERGE may change {whole} in one transaction"
    elif change.node.HasField("where_clause"):
        message = f"{change.verb} may {change.does} {whole} in one transaction: its WHERE sets no bound"
    else:
        message = f"{change.verb} {change.does}s {whole} in one transaction"
    return Hit(
        place=subject.statement.at(target.location),
        relation=called,
        message=message,
        remedy=_first_batch(subject, change) if is_alone else None,
    )


def _filled(subject: StatementSubject) -> Iterator[Hit]:
    select = subject.node.select_stmt.select_stmt
    if select.values_lists or not subject.surroundings.table_rows:
        return
    large = [name for name in tables_read(select, subject) if is_large(subject, name)]
    if large and reads_much(select, subject):
        read = ", ".join(f"{name} (about {subject.rows(name):,} rows)" for name in large)
        yield Hit(
            place=subject.statement.at(subject.node.relation.location),
            relation=subject.name(subject.node.relation),
            message=f"INSERT ... SELECT reads {read} in one transaction",
            effect=_FILL,
            hint=_GROUPED if _groups(select) else None,
        )


def _groups(select: Any) -> bool:
    return bool(select.group_clause) or any(True for target in select.target_list for _ in aggregates(target))


def _first_batch(subject: StatementSubject, change: Change) -> str | None:
    """The change of the first range of keys, where the key is a column of whole numbers."""
    key = table_key(subject.table(change.node.relation))
    if key is None or change.kind == "merge_stmt" or change.node is not subject.node:
        return None
    if any(target.res_target.name == key for target in getattr(change.node, "target_list", ())):
        return None  # rows would move from one range to the next
    node = type(subject.node)()
    node.CopyFrom(subject.node)
    column = (node.relation.alias.aliasname or node.relation.relname, key)
    conditions = [_comparison(column, ">=", 1), _comparison(column, "<", 10001)]
    if node.HasField("where_clause"):
        conditions.insert(0, node.where_clause)
    bounded = pb.Node(bool_expr=pb.BoolExpr(boolop=pb.AND_EXPR, args=conditions))
    node.where_clause.CopyFrom(bounded)
    return f"{statement_text(change.kind, node)}; {NEXT}"


def _comparison(column: tuple[str, str], operator: str, number: int) -> Any:
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
    effect="Every row that it changes stays locked until the migration commits, and whoever wants to change such a "
    "row waits that long; the old rows stay behind dead, and vacuum can remove none of them before the commit.",
    hint="write it as a `backfill:` step, which runs in batches, each committed by itself; for a table that stays "
    "small, say so in an ignore comment",
    kinds=CHANGING,
    check=_check,
    claims=Claims(scans=("w_orders",)),
    bad=Example(before=_BEFORE, sql=("UPDATE w_orders SET note = '' WHERE note IS NULL",)),
    good=Example(
        before=_BEFORE,
        sql=(
            "UPDATE w_orders SET note = '' WHERE note IS NULL AND id >= 1 AND id < 501",
            "UPDATE w_orders SET note = '' WHERE note IS NULL AND id >= 501 AND id < 1001",
        ),
    ),
)
