"""REFRESH MATERIALIZED VIEW without CONCURRENTLY."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import has_concurrent_users
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Index, View
from confiture.models.trace import LockMode


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    if node.concurrent or node.skip_data or not has_concurrent_users(context, node.relation):
        return
    relation = context.relation(node.relation)
    view = context.name(node.relation)
    possible = not isinstance(relation, View) or any(map(_is_unique_for_refresh, relation.indexes))
    yield Violation(
        location=context.location,
        relation=view,
        message=f"{view} cannot be read until its query finishes",
        remedy="REFRESH MATERIALIZED VIEW CONCURRENTLY"
        f" {qualified_name(resolve_relation_name(context, node.relation))};"
        if possible
        else None,
        hint=None
        if possible
        else f"create a unique index on plain columns of {view} without WHERE, because CONCURRENTLY requires one",
    )


def _is_unique_for_refresh(index: Index) -> bool:
    """Whether REFRESH ... CONCURRENTLY can use the index to identify rows."""
    return index.unique and index.valid and index.predicate is None and None not in index.columns


_BEFORE = (
    "CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_on date, amount numeric);"
    " INSERT INTO w_orders SELECT i, current_date - i, i FROM generate_series(1, 100) i;"
    " CREATE MATERIALIZED VIEW r_sales AS SELECT placed_on, sum(amount) AS amount FROM w_orders GROUP BY placed_on;"
    " CREATE UNIQUE INDEX r_sales_placed_on ON r_sales (placed_on)"
)

RULE = StatementRule(
    name="refresh_blocking",
    group=Group.LOCKS,
    severity="error",
    summary="REFRESH MATERIALIZED VIEW runs without CONCURRENTLY",
    impact="All reads from the view wait until the query finishes and the migration commits (ACCESS EXCLUSIVE lock).",
    fix_hint="refresh it CONCURRENTLY, which does not block reads and can run in a transaction; CONCURRENTLY requires"
    " a unique index",
    kinds=frozenset({"refresh_mat_view_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"r_sales": LockMode.ACCESS_EXCLUSIVE}, rewrites=("r_sales",)),
    bad=Example(before=_BEFORE, sql=("REFRESH MATERIALIZED VIEW r_sales",)),
    good=Example(before=_BEFORE, sql=("REFRESH MATERIALIZED VIEW CONCURRENTLY r_sales",)),
)
