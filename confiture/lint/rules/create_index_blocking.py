"""CREATE INDEX without CONCURRENTLY on a table in use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import has_concurrent_users, is_partitioned
from confiture.lint.remedies.indexes import (
    add_concurrently,
    build_per_partition,
    concurrently_edit,
    created_index_name,
    exists_on_every_partition,
)
from confiture.models.catalog import View
from confiture.models.findings import Edit
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import quote_identifier


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    if node.concurrent or _is_existing_index(context) or not has_concurrent_users(context, node.relation):
        return
    if is_partitioned(context, node.relation):
        if node.relation.inh and not exists_on_every_partition(context):
            yield _partitioned_table_violation(context)
        return
    name = context.name(node.relation)
    is_view = isinstance(context.relation(node.relation), View)
    yield Violation(
        location=context.location,
        relation=name,
        message=f"{name} cannot be {'refreshed' if is_view else 'written to'} until the index is built",
        effect=_MATERIALIZED_VIEW_IMPACT if is_view else None,
        remedy=add_concurrently(
            context.statement, "" if node.idxname else quote_identifier(created_index_name(context))
        ),
        edits=_edits(context),
    )


def _is_existing_index(context: StatementContext) -> bool:
    """Whether IF NOT EXISTS finds an existing index, so that nothing is built."""
    node = context.node
    schema = node.relation.schemaname or None
    return bool(node.if_not_exists and node.idxname and context.catalog.find_index(schema, node.idxname))


def _partitioned_table_violation(context: StatementContext) -> Violation:
    table = context.name(context.node.relation)
    return Violation(
        location=context.location,
        relation=table,
        message=f"{table} and its partitions cannot be written to until the indexes of all partitions are built",
        remedy=build_per_partition(context),
        hint="create the index ON ONLY the partitioned table, build an index CONCURRENTLY on each partition, and"
        " ATTACH each one",
    )


def _edits(context: StatementContext) -> tuple[Edit, ...]:
    """Return the edit that inserts CONCURRENTLY.

    Empty if the relation is unknown, since it may not support CONCURRENTLY, or if the index has no explicit name, since
    a failed build could not be found.
    """
    if not context.node.idxname or context.relation(context.node.relation) is None:
        return ()
    return concurrently_edit(context.statement)


_MATERIALIZED_VIEW_IMPACT = "REFRESH of the materialized view waits until the whole index is built (SHARE lock)."

RULE = StatementRule(
    name="create_index_blocking",
    group=Group.INDEXES,
    severity="error",
    summary="CREATE INDEX runs without CONCURRENTLY",
    impact="Every INSERT, UPDATE and DELETE on the table waits until the whole index is built (SHARE lock).",
    fix_hint="build it CONCURRENTLY: Confiture runs the statement outside the transaction and checks the index"
    " afterwards",
    kinds=frozenset({"index_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.SHARE}),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz)",
        sql=("CREATE INDEX w_orders_placed_at_idx ON w_orders (placed_at)",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz)",
        sql=("CREATE INDEX CONCURRENTLY w_orders_placed_at_idx ON w_orders (placed_at)",),
    ),
)
