"""ADD COLUMN NOT NULL without a default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import (
    additions,
    allows_no_null,
    alters_table,
    fills_itself,
    made_not_null,
    new_columns,
)
from confiture.lint.remedies.commands import lines, not_null, quick, without
from confiture.sql.tree import alter_commands, definition, pb

FILL = "-- fill it in batches; when all rows have a value:"
_REQUIRING = (pb.CONSTR_NOTNULL, pb.CONSTR_PRIMARY)


def _check(subject: StatementSubject) -> Iterable[Hit]:
    relation = subject.node.relation
    if not alters_table(subject) or subject.is_new(relation):
        return
    table = subject.name(relation)
    required = _required(subject)
    for name, column in new_columns(subject).items():
        if fills_itself(subject, column):
            continue
        by_type = allows_no_null(subject, column)
        if name in required or by_type:
            yield Hit(
                place=subject.statement.at(column.location),
                relation=table,
                message=f"{name} must have a value, and the rows that {table} has would have none",
                remedy=None if by_type else _remedy(subject, column),
            )


def _required(subject: StatementSubject) -> set[str]:
    """The columns that the statement says NOT NULL of, or that are to be a primary key."""
    found = {column for _, column in made_not_null(subject)}
    for addition in additions(subject):
        if addition.kind in _REQUIRING and not addition.constraint.skip_validation:
            found.update(addition.columns)
    return found


def _remedy(subject: StatementSubject, column: Any) -> str:
    commands = enumerate(alter_commands(subject.node))
    loose = [one.constraint for one in additions(subject) if one.column == column and one.kind in _REQUIRING]
    demands = [one for one, name in made_not_null(subject) if name == column.colname]
    kept = [
        without(one, loose) if definition(one).column_def == column else one
        for number, one in commands
        if number not in demands
    ]
    return lines(
        *quick(subject, kept, own={column.colname}),
        FILL,
        *not_null(subject, column.colname),
    )


RULE = StatementRule(
    name="required_column_without_default",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A NOT NULL column is added without a default",
    effect="The statement fails where the table has a row (23502), after it locked the table (ACCESS EXCLUSIVE).",
    hint="give it a constant default, which rewrites nothing; or add it without NOT NULL, fill it in batches, then make"
    " it NOT NULL",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(error="23502"),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY);\nINSERT INTO w_orders VALUES (1)",
        sql=("ALTER TABLE w_orders ADD COLUMN currency text NOT NULL",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY);\nINSERT INTO w_orders VALUES (1)",
        sql=("ALTER TABLE w_orders ADD COLUMN currency text NOT NULL DEFAULT 'EUR'",),
    ),
)
