"""ADD CHECK without NOT VALID on a table that others use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import (
    additions,
    alters_table,
    is_held_by_partitions,
    is_in_use,
    is_proven_at_once,
)
from confiture.lint.remedies.commands import constraint_name, unproven
from confiture.models.trace import LockMode
from confiture.sql.tree import pb


def _check(subject: StatementSubject) -> Iterable[Hit]:
    relation = subject.node.relation
    if not alters_table(subject) or not is_in_use(subject, relation):
        return
    table = subject.name(relation)
    for addition in additions(subject):
        if addition.kind != pb.CONSTR_CHECK or not is_proven_at_once(addition):
            continue
        if is_held_by_partitions(subject, constraint_name(subject, addition)):
            continue
        yield Hit(
            place=addition.place,
            relation=table,
            message=f"the new CHECK is held against all rows of {table}, which nobody can read or write meanwhile",
            remedy=unproven(subject),
            hint=_FOR_NEW_COLUMN if addition.column is not None else None,
        )


_FOR_NEW_COLUMN = (
    "a CHECK at a new column reads the whole table, too, default or not: add the column first, then the constraint"
    " NOT VALID, and VALIDATE it in a later migration"
)

RULE = StatementRule(
    name="check_without_not_valid",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A CHECK constraint is added without NOT VALID",
    effect="Every query of the table waits until all of its rows are checked (ACCESS EXCLUSIVE lock).",
    hint="add it NOT VALID, which reads nothing and holds for all new rows, and VALIDATE it in a later migration",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
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
