"""Several ALTER TABLE statements that each scan or rewrite the whole table, although a single statement would be
enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import has_concurrent_users
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.models.catalog import ConstraintKind
from confiture.sql.parse_tree import alter_commands, format_statement, get_definition, pb
from confiture.text import shorten_sql

_COMBINABLE_COMMANDS = frozenset(
    {
        pb.AT_AlterColumnType,
        pb.AT_SetNotNull,
        pb.AT_SetLogged,
        pb.AT_SetUnLogged,
        pb.AT_SetAccessMethod,
        pb.AT_SetExpression,
    }
)
"""Commands that can share one pass over the table with other commands in the same statement."""
_SEPARATE_CONSTRAINTS = (pb.CONSTR_FOREIGN, pb.CONSTR_UNIQUE, pb.CONSTR_PRIMARY, pb.CONSTR_EXCLUSION)
"""Constraints that each need a separate pass, to be verified or to build an index."""
_DML_KINDS = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "do_stmt", "call_stmt", "copy_stmt")


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    if not _has_combinable_pass(context) or not has_concurrent_users(context, node.relation):
        return
    table = resolve_relation_name(context, node.relation)
    for earlier in reversed(context.earlier):
        if earlier.statement.kind in _DML_KINDS:
            return
        if (
            earlier.statement.kind != "alter_table_stmt"
            or resolve_relation_name(earlier, earlier.node.relation) != table
        ):
            continue
        has_same_scope = earlier.node.relation.inh == node.relation.inh
        if has_same_scope and _has_combinable_pass(earlier) and not _is_dependent(node, earlier.node):
            yield Violation(
                location=context.location,
                relation=str(table),
                message=f"{table} is scanned again after `{shorten_sql(earlier.statement.text)}`",
                remedy=_combined_sql(earlier, context),
            )
        return


def _has_combinable_pass(context: StatementContext) -> bool:
    """Whether the statement scans or rewrites its whole table with commands that could share the pass."""
    table = resolve_relation_name(context, context.node.relation)
    if table not in context.effects.scans | context.effects.rewrites:
        return False
    kinds = [_can_combine(context, command) for command in alter_commands(context.node)]
    return True in kinds and False not in kinds


def _can_combine(context: StatementContext, command: Any) -> bool | None:
    """Return whether a command can share its pass over the table with others; None if the command needs no pass."""
    if command.subtype in _COMBINABLE_COMMANDS:
        return True
    if command.subtype == pb.AT_AddConstraint:
        return get_definition(command).constraint.contype not in _SEPARATE_CONSTRAINTS
    if command.subtype == pb.AT_AddColumn:
        constraints = get_definition(command).column_def.constraints
        return not any(one.constraint.contype in _SEPARATE_CONSTRAINTS for one in constraints)
    if command.subtype == pb.AT_ValidateConstraint:
        table = context.table(context.node.relation)
        constraint = table.constraint(command.name) if table else None
        return constraint is None or constraint.kind is not ConstraintKind.FOREIGN_KEY
    return None


def _is_dependent(node: Any, earlier: Any) -> bool:
    """Whether a statement drops, or changes the type of, something that an earlier statement names.

    In a combined statement, PostgreSQL would make this change first.
    """
    first = list(alter_commands(earlier))
    added = {get_definition(one).column_def.colname for one in first if one.subtype == pb.AT_AddColumn}
    retyped = {one.name for one in first if one.subtype == pb.AT_AlterColumnType}
    constraints = {get_definition(one).constraint.conname for one in first if one.subtype == pb.AT_AddConstraint}
    named = {one.name for one in first} | added | constraints
    return any(
        (one.subtype in (pb.AT_DropColumn, pb.AT_DropConstraint) and one.name in named)
        or (one.subtype == pb.AT_AlterColumnType and one.name in added | retyped)
        for one in alter_commands(node)
    )


def _combined_sql(first: StatementContext, second: StatementContext) -> str:
    node = type(first.node)()
    node.CopyFrom(first.node)
    node.cmds.extend(second.node.cmds)
    return f"{format_statement('alter_table_stmt', node)};"


_BEFORE = """CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric, quantity integer);
ALTER TABLE w_orders ADD CONSTRAINT w_orders_amount_check CHECK (amount >= 0) NOT VALID;
ALTER TABLE w_orders ADD CONSTRAINT w_orders_quantity_check CHECK (quantity > 0) NOT VALID"""

RULE = StatementRule(
    name="combine_alter_table",
    aliases=("merge_alters",),
    group=Group.TRANSACTIONS,
    severity="warning",
    summary="Several ALTER TABLE statements each scan or rewrite the whole table",
    impact="Each statement makes a separate pass over the table, and the locks are held during all passes.",
    fix_hint="combine them into one ALTER TABLE with several commands: PostgreSQL then makes a single pass",
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
