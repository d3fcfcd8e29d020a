"""SET NOT NULL without a constraint that proves that there are no nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from operator import eq

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import (
    additions,
    alters_table,
    dropped_constraints,
    fills_itself,
    is_in_use,
    leaves,
    made_not_null,
    new_columns,
)
from confiture.lint.remedies.commands import NOT_NULL_WITHOUT_CHECK, lines, not_null, rest, set_not_null, validate
from confiture.models.catalog import Composite, Constraint, Table
from confiture.models.trace import LockMode
from confiture.sql.catalog.resolving import name_of_type
from confiture.sql.proofs import proves_not_null
from confiture.sql.tokens import command_places
from confiture.sql.tree import pb


def _check(subject: StatementSubject) -> Iterable[Hit]:
    relation = subject.node.relation
    if not alters_table(subject) or not is_in_use(subject, relation):
        return
    added = new_columns(subject)
    for command, column in made_not_null(subject):
        if column in added:
            if fills_itself(subject, added[column]):
                yield _of_new_column(subject, command, column)
        elif not _is_proven(subject, column, lambda one: one.validated and not _goes(subject, one)):
            yield _hit(subject, command, column)


def _of_new_column(subject: StatementSubject, command: int, column: str) -> Hit:
    table = subject.name(subject.node.relation)
    return Hit(
        place=command_places(subject.statement)[command],
        relation=table,
        message=f"all rows of {table} are read for nulls in the new column {column}, whose default leaves none",
        hint="write NOT NULL into ADD COLUMN instead, where the default proves it",
    )


def _is_proven(subject: StatementSubject, column: str, counts: Callable[[Constraint], bool]) -> bool:
    """Whether the constraints that count, taken for valid, prove that all rows have a value."""
    tables = leaves(subject, subject.node.relation)
    return bool(tables) and all(_is_proven_of(subject, _with_only(table, counts), column) for table in tables)


def _is_proven_of(subject: StatementSubject, table: Table, column: str) -> bool:
    found = table.column(column)
    if found is None or found.not_null or not _is_row(subject, found.type):
        return proves_not_null(table, column)
    return False  # of a value that is a row, IS NOT NULL says that all of its fields have a value


def _is_row(subject: StatementSubject, kind: str) -> bool:
    """Whether a type is a composite one."""
    name = name_of_type(kind)
    return isinstance(subject.catalog.types.get(name), Composite) or name in subject.catalog.tables


def _with_only(table: Table, counts: Callable[[Constraint], bool]) -> Table:
    return replace(table, constraints=tuple(replace(one, validated=True) for one in table.constraints if counts(one)))


def _goes(subject: StatementSubject, constraint: Constraint) -> bool:
    return constraint.name in dropped_constraints(subject.node)


def _hit(subject: StatementSubject, command: int, column: str) -> Hit:
    relation = subject.node.relation
    place = command_places(subject.statement)[command]
    others = rest(subject, [command])
    table = subject.name(relation)
    message = f"all rows of {table} are read for nulls in {column}, and nobody can read or write {table} meanwhile"
    if _is_proven(subject, column, lambda one: one.validated):
        return Hit(
            place=place,
            relation=table,
            message=f"{message}: the CHECK that proves it is dropped first, whatever the order here",
            hint="drop the CHECK in an ALTER TABLE of its own, behind the one with SET NOT NULL",
        )
    waiting = _unvalidated(subject, column)
    if waiting:
        return Hit(
            place=place,
            relation=table,
            message=f"{message}: {waiting} would prove it, and is not validated before",
            hint="VALIDATE the constraint in a statement before this one, then SET NOT NULL reads nothing",
            remedy=lines(*others, validate(relation, waiting), set_not_null(relation, column)),
        )
    return Hit(place=place, relation=table, message=message, remedy=_remedy(subject, command, column))


def _remedy(subject: StatementSubject, command: int, column: str) -> str | None:
    table = subject.table(subject.node.relation)
    found = table.column(column) if table else None
    if subject.version < NOT_NULL_WITHOUT_CHECK and found and _is_row(subject, found.type):
        return None
    others, steps = rest(subject, [command]), not_null(subject, column)
    # a primary key may be over the column
    waits = any(one.kind == pb.CONSTR_PRIMARY for one in additions(subject))
    return lines(*steps, *others) if waits else lines(*others, *steps)


def _unvalidated(subject: StatementSubject, column: str) -> str | None:
    """The constraint of the table that is not validated and would prove it."""
    table = subject.table(subject.node.relation)
    if table is None:
        return None
    found = table.column(column)
    for constraint in table.constraints:
        is_waiting = not constraint.validated and not _goes(subject, constraint)
        if is_waiting and proves_not_null(_with_only(table, partial(eq, constraint)), column):
            return constraint.name
    return found.not_null_constraint if found else None


RULE = StatementRule(
    name="set_not_null_scan",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="SET NOT NULL reads the whole table",
    effect="Every query of the table waits until all of its rows are checked for nulls (ACCESS EXCLUSIVE lock).",
    hint="first have a constraint that proves it: a NOT NULL that is NOT VALID (PostgreSQL 18), or a CHECK (... IS NOT"
    " NULL) NOT VALID, and VALIDATE it in a later migration",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
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
