"""ADD COLUMN NOT NULL without a default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import (
    added_constraints,
    can_reach_rows,
    columns_set_not_null,
    has_value_for_existing_rows,
    is_not_null_domain,
    new_columns,
)
from confiture.lint.remedies.commands import cheap_commands, join_lines, not_null_statements, strip_constraints
from confiture.sql.parse_tree import alter_commands, get_definition, pb

FILL = "-- fill it in batches; once all rows have a value:"
_REQUIRING_CONSTRAINTS = (pb.CONSTR_NOTNULL, pb.CONSTR_PRIMARY)


def _check(context: StatementContext) -> Iterable[Violation]:
    relation = context.node.relation
    if not can_reach_rows(context) or context.is_new(relation):
        return
    table = context.name(relation)
    required = _required_columns(context)
    for name, column in new_columns(context).items():
        if has_value_for_existing_rows(context, column):
            continue
        by_type = is_not_null_domain(context, column)
        if name in required or by_type:
            yield Violation(
                location=context.statement.location_at(column.location),
                relation=table,
                message=f"{name} is required, but existing rows of {table} would have no value",
                remedy=None if by_type else _remedy(context, column),
            )


def _required_columns(context: StatementContext) -> set[str]:
    """Return the columns that the statement makes NOT NULL or adds to a primary key."""
    columns = {column for _, column in columns_set_not_null(context)}
    for addition in added_constraints(context):
        if addition.kind in _REQUIRING_CONSTRAINTS and not addition.constraint.skip_validation:
            columns.update(addition.columns)
    return columns


def _remedy(context: StatementContext, column: Any) -> str:
    commands = enumerate(alter_commands(context.node))
    required = [
        one.constraint
        for one in added_constraints(context)
        if one.column == column and one.kind in _REQUIRING_CONSTRAINTS
    ]
    demands = [one for one, name in columns_set_not_null(context) if name == column.colname]
    remaining = [
        strip_constraints(one, required) if get_definition(one).column_def == column else one
        for number, one in commands
        if number not in demands
    ]
    return join_lines(
        *cheap_commands(context, remaining, handled={column.colname}),
        FILL,
        *not_null_statements(context, column.colname),
    )


RULE = StatementRule(
    name="required_column_without_default",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A NOT NULL column is added without a default",
    impact="If the table contains rows, the statement fails (23502) after locking the table (ACCESS EXCLUSIVE lock).",
    fix_hint="add a constant default, which rewrites nothing; or add the column without NOT NULL, fill it in batches,"
    " then make it NOT NULL",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(error="23502"),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY);\nINSERT INTO w_orders VALUES (1)",
        sql=("ALTER TABLE w_orders ADD COLUMN currency text NOT NULL",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY);\nINSERT INTO w_orders VALUES (1)",
        sql=("ALTER TABLE w_orders ADD COLUMN currency text NOT NULL DEFAULT 'EUR'",),
    ),
)
