"""Several ALTER TABLE that each go through the whole table, where one would do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import is_in_use
from confiture.lint.facts.table_sizes import name_of
from confiture.models.catalog import ConstraintKind
from confiture.sql.tree import alter_commands, definition, pb, statement_text
from confiture.text import shortened

_SHARED = frozenset(
    {
        pb.AT_AlterColumnType,
        pb.AT_SetNotNull,
        pb.AT_SetLogged,
        pb.AT_SetUnLogged,
        pb.AT_SetAccessMethod,
        pb.AT_SetExpression,
    }
)
"""Commands that share one pass over the table with others of their statement."""
_OF_ITS_OWN = (pb.CONSTR_FOREIGN, pb.CONSTR_UNIQUE, pb.CONSTR_PRIMARY, pb.CONSTR_EXCLUSION)
"""Constraints that are proven, or indexes that are built, each by a pass of its own."""
_CHANGING_ROWS = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "do_stmt", "call_stmt", "copy_stmt")


def _check(subject: StatementSubject) -> Iterable[Hit]:
    node = subject.node
    if not _passes_over(subject) or not is_in_use(subject, node.relation):
        return
    table = name_of(subject, node.relation)
    for earlier in reversed(subject.earlier):
        if earlier.statement.kind in _CHANGING_ROWS:
            return
        if earlier.statement.kind != "alter_table_stmt" or name_of(earlier, earlier.node.relation) != table:
            continue
        alike = earlier.node.relation.inh == node.relation.inh
        if alike and _passes_over(earlier) and not _builds_on(node, earlier.node):
            yield Hit(
                place=subject.place,
                relation=str(table),
                message=f"all of {table} is read once more, after `{shortened(earlier.statement.text)}`",
                remedy=_merged(earlier, subject),
            )
        return


def _passes_over(subject: StatementSubject) -> bool:
    """Whether the statement reads or writes all of its table, by commands that could share the pass."""
    table = name_of(subject, subject.node.relation)
    if table not in subject.effects.scans | subject.effects.rewrites:
        return False
    kinds = [_shares(subject, command) for command in alter_commands(subject.node)]
    return True in kinds and False not in kinds


def _shares(subject: StatementSubject, command: Any) -> bool | None:
    """Whether a command shares its pass over the table with others, None where it makes none."""
    if command.subtype in _SHARED:
        return True
    if command.subtype == pb.AT_AddConstraint:
        return definition(command).constraint.contype not in _OF_ITS_OWN
    if command.subtype == pb.AT_AddColumn:
        constraints = definition(command).column_def.constraints
        return not any(one.constraint.contype in _OF_ITS_OWN for one in constraints)
    if command.subtype == pb.AT_ValidateConstraint:
        table = subject.table(subject.node.relation)
        constraint = table.constraint(command.name) if table else None
        return constraint is None or constraint.kind is not ConstraintKind.FOREIGN_KEY
    return None


def _builds_on(node: Any, earlier: Any) -> bool:
    """Whether a statement drops, or gives another type to, what an earlier one names: in one statement PostgreSQL would
    do that first.
    """
    first = list(alter_commands(earlier))
    added = {definition(one).column_def.colname for one in first if one.subtype == pb.AT_AddColumn}
    retyped = {one.name for one in first if one.subtype == pb.AT_AlterColumnType}
    constraints = {definition(one).constraint.conname for one in first if one.subtype == pb.AT_AddConstraint}
    named = {one.name for one in first} | added | constraints
    return any(
        (one.subtype in (pb.AT_DropColumn, pb.AT_DropConstraint) and one.name in named)
        or (one.subtype == pb.AT_AlterColumnType and one.name in added | retyped)
        for one in alter_commands(node)
    )


def _merged(first: StatementSubject, second: StatementSubject) -> str:
    node = type(first.node)()
    node.CopyFrom(first.node)
    node.cmds.extend(second.node.cmds)
    return f"{statement_text('alter_table_stmt', node)};"


_BEFORE = """CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric, quantity integer);
ALTER TABLE w_orders ADD CONSTRAINT w_orders_amount_check CHECK (amount >= 0) NOT VALID;
ALTER TABLE w_orders ADD CONSTRAINT w_orders_quantity_check CHECK (quantity > 0) NOT VALID"""

RULE = StatementRule(
    name="merge_alters",
    group=Group.TRANSACTIONS,
    severity="warning",
    summary="Several ALTER TABLE that each go through the whole table",
    effect="Each statement reads or writes the whole table by itself, and the locks are held for all of them together.",
    hint="write them as one ALTER TABLE with several commands: PostgreSQL then goes through the table once",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    bad=Example(
        before=_BEFORE,
        sql=(
            "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_amount_check;\n"
            "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_quantity_check",
        ),
    ),
    good=Example(
        before=_BEFORE,
        sql=(
            "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_amount_check, "
            "VALIDATE CONSTRAINT w_orders_quantity_check",
        ),
    ),
)
