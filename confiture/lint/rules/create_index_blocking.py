"""CREATE INDEX without CONCURRENTLY on a table that others use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import is_in_use, is_partitioned
from confiture.lint.remedies.indexes import (
    by_partition,
    has_each_partition,
    index_name,
    made_concurrently,
    with_concurrently,
)
from confiture.models.catalog import View
from confiture.models.findings import Edit
from confiture.models.trace import LockMode
from confiture.sql.tree import identifier


def _check(subject: StatementSubject) -> Iterable[Hit]:
    node = subject.node
    if node.concurrent or _is_there(subject) or not is_in_use(subject, node.relation):
        return
    if is_partitioned(subject, node.relation):
        if node.relation.inh and not has_each_partition(subject):
            yield _of_partitions(subject)
        return
    name = subject.name(node.relation)
    is_view = isinstance(subject.relation(node.relation), View)
    yield Hit(
        place=subject.place,
        relation=name,
        message=f"{name} cannot be {'refreshed' if is_view else 'written to'} until the index is built",
        effect=_EFFECT_OF_VIEW if is_view else None,
        remedy=with_concurrently(subject.statement, "" if node.idxname else identifier(index_name(subject))),
        edits=_edits(subject),
    )


def _is_there(subject: StatementSubject) -> bool:
    """Whether IF NOT EXISTS finds an index, so that none is built."""
    node = subject.node
    schema = node.relation.schemaname or None
    return bool(node.if_not_exists and node.idxname and subject.catalog.indexed(schema, node.idxname))


def _of_partitions(subject: StatementSubject) -> Hit:
    table = subject.name(subject.node.relation)
    return Hit(
        place=subject.place,
        relation=table,
        message=f"{table} and its partitions cannot be written to until the indexes of all partitions are built",
        remedy=by_partition(subject),
        hint="create it ON ONLY the partitioned table, build it CONCURRENTLY for each partition, and ATTACH those",
    )


def _edits(subject: StatementSubject) -> tuple[Edit, ...]:
    """CONCURRENTLY, where the relation is known to be one that takes it, and a broken build can be found by name."""
    if not subject.node.idxname or subject.relation(subject.node.relation) is None:
        return ()
    return made_concurrently(subject.statement)


_EFFECT_OF_VIEW = "REFRESH of the materialized view waits until the whole index is built (SHARE lock)."

RULE = StatementRule(
    name="create_index_blocking",
    group=Group.INDEXES,
    severity="error",
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
