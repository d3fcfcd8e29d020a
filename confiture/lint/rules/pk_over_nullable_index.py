"""PRIMARY KEY USING INDEX over columns that allow nulls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import (
    Addition,
    additions,
    alters_table,
    dropped_constraints,
    is_in_use,
    made_not_null,
)
from confiture.lint.remedies.commands import alter, lines, not_null, rest
from confiture.models.catalog import Table
from confiture.models.trace import LockMode
from confiture.sql.proofs import proves_not_null
from confiture.sql.tree import alter_commands, pb


def _check(subject: StatementSubject) -> Iterable[Hit]:
    relation = subject.node.relation
    table = subject.table(relation)
    if table is None or not alters_table(subject) or not is_in_use(subject, relation):
        return
    for addition in additions(subject):
        if addition.kind != pb.CONSTR_PRIMARY or not addition.constraint.indexname:
            continue
        nullable = _nullable(subject, addition, table)
        if nullable:
            yield Hit(
                place=addition.place,
                relation=str(table.name),
                message=f"{_and(nullable)} may be null: all rows of {table.name} are read to see that none is",
                remedy=_remedy(subject, addition.command, nullable),
            )


def _nullable(subject: StatementSubject, addition: Addition, table: Table) -> list[str]:
    """The index's columns that nothing proves to have no nulls; those of SET NOT NULL are for set_not_null_scan."""
    index = next((one for one in table.indexes if one.name == addition.constraint.indexname), None)
    columns = [column for column in index.columns if column] if index else []
    elsewhere = {column for _, column in made_not_null(subject)}
    gone = dropped_constraints(subject.node)
    bare = replace(table, constraints=tuple(one for one in table.constraints if one.name not in gone))
    return [column for column in columns if column not in elsewhere and not proves_not_null(bare, column)]


def _remedy(subject: StatementSubject, command: int, columns: Iterable[str]) -> str:
    statements = [text for column in columns for text in not_null(subject, column)]
    key = list(alter_commands(subject.node))[command]
    return lines(*rest(subject, [command]), *statements, alter(subject.node.relation, key, like=subject.node))


def _and(names: list[str]) -> str:
    return " and ".join(names)


RULE = StatementRule(
    name="pk_over_nullable_index",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="PRIMARY KEY USING INDEX over columns that allow nulls",
    effect="The primary key makes them NOT NULL, so every query of the table waits until all rows are read (ACCESS"
    " EXCLUSIVE lock), although the index is there.",
    hint="make the columns NOT NULL first, without a scan under that lock, then the primary key takes a moment",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint);\nCREATE UNIQUE INDEX w_orders_id_idx ON w_orders (id)",
        sql=("ALTER TABLE w_orders ADD CONSTRAINT w_orders_pkey PRIMARY KEY USING INDEX w_orders_id_idx",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint NOT NULL);\nCREATE UNIQUE INDEX w_orders_id_idx ON w_orders (id)",
        sql=("ALTER TABLE w_orders ADD CONSTRAINT w_orders_pkey PRIMARY KEY USING INDEX w_orders_id_idx",),
    ),
)
