"""SET NOT NULL without a constraint that proves that there are no nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from operator import eq

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import (
    added_constraints,
    affected_tables,
    can_reach_rows,
    columns_set_not_null,
    dropped_constraints,
    has_concurrent_users,
    has_value_for_existing_rows,
    new_columns,
)
from confiture.lint.remedies.commands import (
    NOT_NULL_WITHOUT_CHECK,
    join_lines,
    not_null_statements,
    remaining_commands,
    set_not_null_sql,
    validate_constraint_sql,
)
from confiture.models.catalog import CompositeType, Constraint, Table
from confiture.models.trace import LockMode
from confiture.sql.catalog.type_names import parse_type_name
from confiture.sql.parse_tree import pb
from confiture.sql.proofs import is_proved_not_null
from confiture.sql.tokens import command_offsets


def _check(context: StatementContext) -> Iterable[Violation]:
    relation = context.node.relation
    if not can_reach_rows(context) or not has_concurrent_users(context, relation):
        return
    added = new_columns(context)
    for command, column in columns_set_not_null(context):
        if column in added:
            if has_value_for_existing_rows(context, added[column]):
                yield _new_column_violation(context, command, column)
        elif not _is_proven(context, column, lambda one: one.validated and not _is_dropped(context, one)):
            yield _violation(context, command, column)


def _new_column_violation(context: StatementContext, command: int, column: str) -> Violation:
    table = context.name(context.node.relation)
    return Violation(
        location=command_offsets(context.statement)[command],
        relation=table,
        message=f"all rows of {table} are scanned for nulls in the new column {column}, although its default rules"
        " them out",
        hint="write NOT NULL in ADD COLUMN instead, where the default is the proof",
    )


def _is_proven(context: StatementContext, column: str, counts: Callable[[Constraint], bool]) -> bool:
    """Whether the constraints for which `counts` is true prove, if valid, that all rows have a value."""
    tables = affected_tables(context, context.node.relation)
    return bool(tables) and all(
        _is_proven_for(context, _validate_constraints(table, counts), column) for table in tables
    )


def _is_proven_for(context: StatementContext, table: Table, column: str) -> bool:
    target = table.column(column)
    if target is None or target.not_null or not _is_composite(context, target.type):
        return is_proved_not_null(table, column)
    return False  # for a composite value, IS NOT NULL is true only if all fields have a value


def _is_composite(context: StatementContext, kind: str) -> bool:
    """Whether a type is a composite type."""
    name = parse_type_name(kind)
    return isinstance(context.catalog.types.get(name), CompositeType) or name in context.catalog.tables


def _validate_constraints(table: Table, counts: Callable[[Constraint], bool]) -> Table:
    return replace(table, constraints=tuple(replace(one, validated=True) for one in table.constraints if counts(one)))


def _is_dropped(context: StatementContext, constraint: Constraint) -> bool:
    return constraint.name in dropped_constraints(context.node)


def _violation(context: StatementContext, command: int, column: str) -> Violation:
    relation = context.node.relation
    place = command_offsets(context.statement)[command]
    others = remaining_commands(context, [command])
    table = context.name(relation)
    message = f"all rows of {table} are scanned for nulls in {column}, blocking reads and writes in the meantime"
    if _is_proven(context, column, lambda one: one.validated):
        return Violation(
            location=place,
            relation=table,
            message=f"{message}: PostgreSQL drops the CHECK that proves their absence first, regardless of the"
            " command order",
            hint="drop the CHECK in a separate ALTER TABLE after the one with SET NOT NULL",
        )
    waiting = _find_unvalidated_proof(context, column)
    if waiting:
        return Violation(
            location=place,
            relation=table,
            message=f"{message}: {waiting} would prove their absence, but is not validated",
            hint="VALIDATE the constraint in an earlier statement; SET NOT NULL then scans nothing",
            remedy=join_lines(*others, validate_constraint_sql(relation, waiting), set_not_null_sql(relation, column)),
        )
    return Violation(location=place, relation=table, message=message, remedy=_remedy(context, command, column))


def _remedy(context: StatementContext, command: int, column: str) -> str | None:
    table = context.table(context.node.relation)
    target = table.column(column) if table else None
    if context.version < NOT_NULL_WITHOUT_CHECK and target and _is_composite(context, target.type):
        return None
    others, steps = remaining_commands(context, [command]), not_null_statements(context, column)
    # the column may be part of a new primary key
    waits = any(one.kind == pb.CONSTR_PRIMARY for one in added_constraints(context))
    return join_lines(*steps, *others) if waits else join_lines(*others, *steps)


def _find_unvalidated_proof(context: StatementContext, column: str) -> str | None:
    """Return the constraint that would prove the absence of nulls if it were validated."""
    table = context.table(context.node.relation)
    if table is None:
        return None
    target = table.column(column)
    for constraint in table.constraints:
        is_waiting = not constraint.validated and not _is_dropped(context, constraint)
        if is_waiting and is_proved_not_null(_validate_constraints(table, partial(eq, constraint)), column):
            return constraint.name
    return target.not_null_constraint if target else None


RULE = StatementRule(
    name="set_not_null_scan",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="SET NOT NULL scans the whole table",
    impact="All reads from and writes to the table wait until every row is checked for nulls (ACCESS EXCLUSIVE lock).",
    fix_hint="first add a constraint that rules out nulls: NOT NULL ... NOT VALID (PostgreSQL 18), or CHECK (... IS NOT"
    " NULL) NOT VALID, and VALIDATE it in a later migration",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric)",
        sql=("ALTER TABLE w_orders ALTER COLUMN amount SET NOT NULL",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric)",
        sql=(
            "ALTER TABLE w_orders ADD CONSTRAINT w_orders_amount_not_null CHECK (amount IS NOT NULL) NOT VALID",
            "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_amount_not_null",
            "ALTER TABLE w_orders ALTER COLUMN amount SET NOT NULL;\n"
            "ALTER TABLE w_orders DROP CONSTRAINT w_orders_amount_not_null",
        ),
    ),
)
