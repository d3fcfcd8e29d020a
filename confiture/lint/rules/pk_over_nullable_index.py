"""PRIMARY KEY USING INDEX over nullable columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import (
    AddedConstraint,
    added_constraints,
    can_reach_rows,
    columns_set_not_null,
    dropped_constraints,
    has_concurrent_users,
)
from confiture.lint.remedies.commands import alter_table_sql, join_lines, not_null_statements, remaining_commands
from confiture.models.catalog import Table
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import alter_commands, pb
from confiture.sql.proofs import is_proved_not_null


def _check(context: StatementContext) -> Iterable[Violation]:
    relation = context.node.relation
    table = context.table(relation)
    if table is None or not can_reach_rows(context) or not has_concurrent_users(context, relation):
        return
    for addition in added_constraints(context):
        if addition.kind != pb.CONSTR_PRIMARY or not addition.constraint.indexname:
            continue
        nullable = _nullable_columns(context, addition, table)
        if nullable:
            yield Violation(
                location=addition.location,
                relation=str(table.name),
                message=f"{_join_with_and(nullable)} {'is' if len(nullable) == 1 else 'are'} nullable: all rows of"
                f" {table.name} are scanned for nulls",
                remedy=_remedy(context, addition.command_number, nullable),
            )


def _nullable_columns(context: StatementContext, added: AddedConstraint, table: Table) -> list[str]:
    """Return the index columns not proven to be free of nulls. SET NOT NULL is left to set_not_null_scan."""
    index = next((one for one in table.indexes if one.name == added.constraint.indexname), None)
    columns = [column for column in index.columns if column] if index else []
    elsewhere = {column for _, column in columns_set_not_null(context)}
    dropped = dropped_constraints(context.node)
    bare = replace(table, constraints=tuple(one for one in table.constraints if one.name not in dropped))
    return [column for column in columns if column not in elsewhere and not is_proved_not_null(bare, column)]


def _remedy(context: StatementContext, command: int, columns: Iterable[str]) -> str:
    statements = [text for column in columns for text in not_null_statements(context, column)]
    key = list(alter_commands(context.node))[command]
    return join_lines(
        *remaining_commands(context, [command]),
        *statements,
        alter_table_sql(context.node.relation, key, like=context.node),
    )


def _join_with_and(names: list[str]) -> str:
    return " and ".join(names)


RULE = StatementRule(
    name="pk_over_nullable_index",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="PRIMARY KEY USING INDEX is added over nullable columns",
    impact="The primary key makes the columns NOT NULL. All reads from and writes to the table wait until every row"
    " is scanned (ACCESS EXCLUSIVE lock), although the index exists.",
    fix_hint="first make the columns NOT NULL without a scan under this lock; adding the primary key is then quick",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint);\nCREATE UNIQUE INDEX w_orders_id_idx ON w_orders (id)",
        sql=("ALTER TABLE w_orders ADD CONSTRAINT w_orders_pkey PRIMARY KEY USING INDEX w_orders_id_idx",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint NOT NULL);\nCREATE UNIQUE INDEX w_orders_id_idx ON w_orders (id)",
        sql=("ALTER TABLE w_orders ADD CONSTRAINT w_orders_pkey PRIMARY KEY USING INDEX w_orders_id_idx",),
    ),
)
