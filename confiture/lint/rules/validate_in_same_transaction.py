"""VALIDATE CONSTRAINT in the transaction that adds the constraint as NOT VALID."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import (
    AddedConstraint,
    added_constraints,
    can_reach_rows,
    has_concurrent_users,
    has_constraint_on_partitions,
)
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.commands import (
    LATER,
    constraint_name_for,
    join_lines,
    remaining_commands,
    validate_constraint_sql,
)
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import alter_commands, pb
from confiture.sql.tokens import command_offsets


def _check(context: StatementContext) -> Iterable[Violation]:
    relation = context.node.relation
    if not can_reach_rows(context) or not has_concurrent_users(context, relation):
        return
    table = context.name(relation)
    for number, command in enumerate(alter_commands(context.node)):
        if command.subtype != pb.AT_ValidateConstraint:
            continue
        added = next((one for name, one in _not_valid_constraints(context) if name == command.name), None)
        if added is not None and not has_constraint_on_partitions(context, command.name):
            is_key = added.kind == pb.CONSTR_FOREIGN
            yield Violation(
                location=command_offsets(context.statement)[number],
                relation=table,
                message=f"{command.name} is validated in the transaction that adds it to {table}, so the lock on the"
                " table is held during the scan",
                effect=_FOREIGN_KEY_IMPACT if is_key else None,
                remedy=_remedy(context, command.name),
            )


def _remedy(context: StatementContext, name: str) -> str:
    commands = list(alter_commands(context.node))
    numbers = [number for number, one in enumerate(commands) if one.subtype == pb.AT_ValidateConstraint]
    return join_lines(
        *remaining_commands(context, numbers), LATER, validate_constraint_sql(context.node.relation, name)
    )


def _not_valid_constraints(context: StatementContext) -> Iterator[tuple[str, AddedConstraint]]:
    """Return the constraints that the transaction has added to the same table as NOT VALID, by name."""
    table = resolve_relation_name(context, context.node.relation)
    for other in (*context.earlier_of_kind("alter_table_stmt"), context):
        if resolve_relation_name(context, other.node.relation) == table:
            for addition in added_constraints(other):
                if addition.constraint.skip_validation:
                    yield constraint_name_for(other, addition, None), addition


_FOREIGN_KEY_IMPACT = (
    "INSERT, UPDATE and DELETE on both tables wait until every row is checked: the SHARE ROW EXCLUSIVE locks of ADD are"
    " held until the transaction ends."
)

RULE = StatementRule(
    name="validate_in_same_transaction",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A NOT VALID constraint is validated in the transaction that adds it",
    impact="All reads from and writes to the table wait until every row is checked, because the ACCESS EXCLUSIVE lock"
    " from ADD CONSTRAINT is held until the transaction ends.",
    fix_hint="VALIDATE it in a later migration: on its own, VALIDATE blocks neither reads nor writes",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric)",
        sql=(
            "ALTER TABLE w_orders ADD CONSTRAINT w_orders_amount_check CHECK (amount >= 0) NOT VALID;\n"
            "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_amount_check",
        ),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric)",
        sql=(
            "ALTER TABLE w_orders ADD CONSTRAINT w_orders_amount_check CHECK (amount >= 0) NOT VALID",
            "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_amount_check",
        ),
    ),
)
