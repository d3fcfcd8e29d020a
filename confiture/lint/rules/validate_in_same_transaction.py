"""VALIDATE in the transaction that added the constraint NOT VALID."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import Addition, additions, alters_table, is_held_by_partitions, is_in_use
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.commands import LATER, lines, name_given, rest, validate
from confiture.models.trace import LockMode
from confiture.sql.tokens import command_places
from confiture.sql.tree import alter_commands, pb


def _check(subject: StatementSubject) -> Iterable[Hit]:
    relation = subject.node.relation
    if not alters_table(subject) or not is_in_use(subject, relation):
        return
    table = subject.name(relation)
    for number, command in enumerate(alter_commands(subject.node)):
        if command.subtype != pb.AT_ValidateConstraint:
            continue
        added = next((one for name, one in _not_valid(subject) if name == command.name), None)
        if added is not None and not is_held_by_partitions(subject, command.name):
            is_key = added.kind == pb.CONSTR_FOREIGN
            yield Hit(
                place=command_places(subject.statement)[number],
                relation=table,
                message=f"{command.name} was added to {table} in the same transaction, whose lock lasts through"
                " this scan",
                effect=_EFFECT_OF_KEY if is_key else None,
                remedy=_remedy(subject, command.name),
            )


def _remedy(subject: StatementSubject, name: str) -> str:
    commands = list(alter_commands(subject.node))
    numbers = [number for number, one in enumerate(commands) if one.subtype == pb.AT_ValidateConstraint]
    return lines(*rest(subject, numbers), LATER, validate(subject.node.relation, name))


def _not_valid(subject: StatementSubject) -> Iterator[tuple[str, Addition]]:
    """The constraints that the transaction added NOT VALID to the same table, by name."""
    table = name_of(subject, subject.node.relation)
    for other in (*subject.earlier_of("alter_table_stmt"), subject):
        if name_of(subject, other.node.relation) == table:
            for addition in additions(other):
                if addition.constraint.skip_validation:
                    yield name_given(other, addition, None), addition


_EFFECT_OF_KEY = (
    "INSERT, UPDATE and DELETE on both tables wait until all rows are looked up: the SHARE ROW EXCLUSIVE locks of ADD"
    " last until the transaction ends."
)

RULE = StatementRule(
    name="validate_in_same_transaction",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A constraint is added NOT VALID and validated in one transaction",
    effect="Every query of the table waits until all of its rows are checked: the ACCESS EXCLUSIVE lock of ADD lasts"
    " until the transaction ends.",
    hint="VALIDATE in a later migration: by itself, it lets reads and writes go on",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
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
