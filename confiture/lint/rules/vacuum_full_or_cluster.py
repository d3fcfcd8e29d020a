"""VACUUM FULL and CLUSTER, which rewrite whole tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import has_concurrent_users
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.trace import LockMode
from confiture.sql.options import is_option_enabled


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    if context.statement.kind == "cluster_stmt":
        verb, tables = "CLUSTER", [node.relation] if node.HasField("relation") else []
    elif node.is_vacuumcmd and is_option_enabled(node.options, "full"):
        verb, tables = "VACUUM FULL", [one.vacuum_relation.relation for one in node.rels]
    else:
        return
    if not tables:
        what = "every table that was clustered before" if verb == "CLUSTER" else "every table in the database"
        yield Violation(location=context.location, message=f"{verb} rewrites {what}")
    for table in tables:
        if has_concurrent_users(context, table):
            yield _violation(context, verb, table)


def _violation(context: StatementContext, verb: str, table: Any) -> Violation:
    name = context.name(table)
    return Violation(
        location=context.statement.location_at(table.location),
        relation=name,
        message=f"{verb} rewrites {name} and its indexes",
        remedy=f"VACUUM (ANALYZE) {qualified_name(resolve_relation_name(context, table))};",
    )


_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY); INSERT INTO w_orders SELECT generate_series(1, 100)"

RULE = StatementRule(
    name="vacuum_full_or_cluster",
    group=Group.LOCKS,
    severity="error",
    summary="VACUUM FULL or CLUSTER rewrites a table in use",
    impact="All reads from and writes to the table wait until the whole table is rewritten (ACCESS EXCLUSIVE lock).",
    fix_hint="use plain VACUUM to make the space reusable, or pg_repack or pg_squeeze to return it to the operating"
    " system without the lock",
    kinds=frozenset({"vacuum_stmt", "cluster_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, rewrites=("w_orders",)),
    bad=Example(before=_BEFORE, sql=("CLUSTER w_orders USING w_orders_pkey",)),
    good=Example(before=_BEFORE, sql=("VACUUM (ANALYZE) w_orders",)),
)
