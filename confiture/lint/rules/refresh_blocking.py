"""REFRESH MATERIALIZED VIEW without CONCURRENTLY."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import is_in_use
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.sql_text import qualified
from confiture.models.catalog import Index, View
from confiture.models.trace import LockMode


def _check(subject: StatementSubject) -> Iterable[Hit]:
    node = subject.node
    if node.concurrent or node.skip_data or not is_in_use(subject, node.relation):
        return
    found = subject.relation(node.relation)
    view = subject.name(node.relation)
    possible = not isinstance(found, View) or any(map(_identifies_rows, found.indexes))
    yield Hit(
        place=subject.place,
        relation=view,
        message=f"{view} cannot be read until its query is done",
        remedy=f"REFRESH MATERIALIZED VIEW CONCURRENTLY {qualified(name_of(subject, node.relation))};"
        if possible
        else None,
        hint=None if possible else f"CONCURRENTLY needs a unique index on plain columns of {view}, without WHERE",
    )


def _identifies_rows(index: Index) -> bool:
    """Whether REFRESH ... CONCURRENTLY can tell rows apart by it."""
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
    summary="REFRESH MATERIALIZED VIEW without CONCURRENTLY",
    effect="Nobody can read the view until its whole query has run and the migration commits (ACCESS EXCLUSIVE lock).",
    hint="refresh it CONCURRENTLY, which may run in a transaction and lets others read; it needs a unique index",
    kinds=frozenset({"refresh_mat_view_stmt"}),
    check=_check,
    claims=Claims(locks={"r_sales": LockMode.ACCESS_EXCLUSIVE}, rewrites=("r_sales",)),
    bad=Example(before=_BEFORE, sql=("REFRESH MATERIALIZED VIEW r_sales",)),
    good=Example(before=_BEFORE, sql=("REFRESH MATERIALIZED VIEW CONCURRENTLY r_sales",)),
)
