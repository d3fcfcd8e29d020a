"""ADD CHECK without NOT VALID on a table in use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import (
    added_constraints,
    can_reach_rows,
    has_concurrent_users,
    has_constraint_on_partitions,
    is_validated_immediately,
)
from confiture.lint.remedies.commands import add_not_valid, new_constraint_name
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import pb


def _check(context: StatementContext) -> Iterable[Violation]:
    relation = context.node.relation
    if not can_reach_rows(context) or not has_concurrent_users(context, relation):
        return
    table = context.name(relation)
    for addition in added_constraints(context):
        if addition.kind != pb.CONSTR_CHECK or not is_validated_immediately(addition):
            continue
        if has_constraint_on_partitions(context, new_constraint_name(context, addition)):
            continue
        yield Violation(
            location=addition.location,
            relation=table,
            message=f"the new CHECK is verified against all rows of {table}, blocking reads and writes in the meantime",
            remedy=add_not_valid(context),
            hint=_NEW_COLUMN_HINT if addition.column is not None else None,
        )


_NEW_COLUMN_HINT = (
    "add the column first, then add the constraint as NOT VALID, and VALIDATE it in a later migration: a CHECK on a"
    " new column"
    " scans the whole table, with or without a default"
)

RULE = StatementRule(
    name="check_without_not_valid",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A CHECK constraint is added without NOT VALID",
    impact="All reads from and writes to the table wait until every row is checked (ACCESS EXCLUSIVE lock).",
    fix_hint="add it as NOT VALID, which scans nothing and applies to all new rows, and VALIDATE it in a later"
    " migration",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric)",
        sql=("ALTER TABLE w_orders ADD CONSTRAINT w_orders_amount_check CHECK (amount >= 0)",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric)",
        sql=(
            "ALTER TABLE w_orders ADD CONSTRAINT w_orders_amount_check CHECK (amount >= 0) NOT VALID",
            "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_amount_check",
        ),
    ),
)
