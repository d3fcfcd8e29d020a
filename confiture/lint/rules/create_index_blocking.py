"""CREATE INDEX without CONCURRENTLY on a table that others use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.subjects import StatementSubject
from confiture.models.trace import LockMode


def _check(subject: StatementSubject) -> Iterable[Hit]:
    node = subject.node
    if node.concurrent or subject.is_new(node.relation):
        return
    table = subject.name(node.relation)
    yield Hit(
        place=subject.place,
        relation=table,
        message=f"{table} cannot be written to until the index is built",
        remedy=subject.statement.text.replace("INDEX", "INDEX CONCURRENTLY", 1) + ";",
    )


RULE = StatementRule(
    name="create_index_blocking",
    group=Group.INDEXES,
    severity="warning",
    summary="CREATE INDEX without CONCURRENTLY",
    effect="Every INSERT, UPDATE and DELETE on the table waits until the whole index is built (SHARE lock).",
    hint="build it CONCURRENTLY: Confiture runs that statement outside of the transaction and checks the index after",
    kinds=frozenset({"index_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.SHARE}),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz)",
        sql=("CREATE INDEX w_orders_placed_at_idx ON w_orders (placed_at)",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz)",
        sql=("CREATE INDEX CONCURRENTLY w_orders_placed_at_idx ON w_orders (placed_at)",),
    ),
)
