"""A serial, identity or stored generated column that is new, or gets another expression: each row gets its value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import alters_table, is_in_use, new_columns
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.column_backfill import backfilled, kept_filled
from confiture.lint.remedies.commands import lines, not_null, rest
from confiture.lint.remedies.sql_text import literal, qualified
from confiture.models.catalog import Name
from confiture.models.trace import LockMode
from confiture.sql.built_in import built_in
from confiture.sql.catalog import types
from confiture.sql.catalog.names import joined
from confiture.sql.catalog.types import SERIALS, is_serial
from confiture.sql.tokens import command_places
from confiture.sql.tree import alter_commands, definition, expression_text, identifier, pb, strings
from confiture.sql.type_changes import type_text
from confiture.sql.volatility import function_calls

_VIRTUAL = 18
"""The first version whose generated columns can be virtual."""


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if not alters_table(subject) or not is_in_use(subject, subject.node.relation):
        return
    table = subject.name(subject.node.relation)
    for column in new_columns(subject).values():
        constraints = {one.constraint.contype: one.constraint for one in column.constraints}
        generated = constraints.get(pb.CONSTR_GENERATED)
        if generated is not None and generated.generated_kind == "s":
            virtual = _can_be_virtual(subject, column, generated)
            yield Hit(
                place=subject.statement.at(generated.location),
                relation=table,
                message=f"{table} is written anew to store the generated column {column.colname} in each row",
                remedy=(_virtual if virtual else _filled_by_trigger)(subject, column, generated),
                hint=_VIRTUAL_HINT if virtual else _TRIGGER_HINT,
            )
        elif is_serial(column) or pb.CONSTR_IDENTITY in constraints:
            what = "identity" if pb.CONSTR_IDENTITY in constraints else "serial"
            yield Hit(
                place=subject.statement.at(column.location),
                relation=table,
                message=f"{table} is written anew to number each row in the {what} column {column.colname}",
                remedy=_numbered(subject, column, constraints.get(pb.CONSTR_IDENTITY)),
            )
    yield from _of_expressions(subject, table)


def _of_expressions(subject: StatementSubject, table: str) -> Iterator[Hit]:
    known = subject.table(subject.node.relation)
    for number, one in enumerate(alter_commands(subject.node)):
        if one.subtype != pb.AT_SetExpression:
            continue
        column = known.column(one.name) if known else None
        if column is None or column.generated != "virtual":
            yield Hit(
                place=command_places(subject.statement)[number],
                relation=table,
                message=f"{table} is written anew to compute {one.name} in each row again",
                hint=f"leave the column as it is and have the new expression in another one: {_TRIGGER_HINT}",
            )


def _can_be_virtual(subject: StatementSubject, column: Any, generated: Any) -> bool:
    """Virtual columns take no types and functions of users."""
    known = built_in()
    ours = known.volatile | known.not_volatile
    return (
        subject.version >= _VIRTUAL
        and types.built_in_type(column.type_name) is not None
        and all(name in ours for name, _ in function_calls(generated.raw_expr, subject.catalog))
    )


def _virtual(subject: StatementSubject, column: Any, generated: Any) -> str:
    added = f"{_added(subject, column)} GENERATED ALWAYS AS ({expression_text(generated.raw_expr)}) VIRTUAL"
    return lines(added, *_beside(subject, column))


def _filled_by_trigger(subject: StatementSubject, column: Any, generated: Any) -> str:
    table = name_of(subject, subject.node.relation)
    return lines(
        _added(subject, column),
        *_beside(subject, column),
        *kept_filled(table, column.colname, generated.raw_expr),
        backfilled(table, column.colname, expression_text(generated.raw_expr)),
    )


def _numbered(subject: StatementSubject, column: Any, identity: Any) -> str:
    """The column with a sequence as its default, filled in batches, and then made what was asked for."""
    table, name = name_of(subject, subject.node.relation), identifier(column.colname)
    sequence = qualified(Name(table.schema, joined(table.name, column.colname, "seq")))
    altered = f"ALTER TABLE {qualified(table)}"
    after = [*not_null(subject, column.colname)]
    if identity is not None:
        when = "ALWAYS" if identity.generated_when == "a" else "BY DEFAULT"
        after += [
            f"{altered} ALTER COLUMN {name} DROP DEFAULT",
            "-- START with a number above the greatest one:",
            f"{altered} ALTER COLUMN {name} ADD GENERATED {when} AS IDENTITY (START WITH 1)",
        ]
    return lines(
        _added(subject, column),
        *_beside(subject, column),
        f"CREATE SEQUENCE {sequence} OWNED BY {qualified(table)}.{name}",
        f"{altered} ALTER COLUMN {name} SET DEFAULT nextval({literal(sequence)})",
        backfilled(table, column.colname, "DEFAULT"),
        *after,
    )


def _beside(subject: StatementSubject, column: Any) -> tuple[str, ...]:
    """The other commands of the statement."""
    commands = enumerate(alter_commands(subject.node))
    return rest(subject, [number for number, one in commands if definition(one).column_def == column])


def _added(subject: StatementSubject, column: Any) -> str:
    """ADD COLUMN with the name and the type, and nothing else."""
    written = strings(column.type_name.names)[-1]
    type_name = SERIALS.get(written) if is_serial(column) else type_text(column.type_name, subject.catalog)
    table = qualified(name_of(subject, subject.node.relation))
    return f"ALTER TABLE {table} ADD COLUMN {identifier(column.colname)} {type_name}"


_TRIGGER_HINT = "add a plain column, let a trigger fill it in new rows, and fill the rows that exist in batches"
_VIRTUAL_HINT = f"make it VIRTUAL: computed when it is read, and without an index; to have it stored, {_TRIGGER_HINT}"
_BEFORE = (
    "CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric);"
    " INSERT INTO w_orders SELECT i, i FROM generate_series(1, 100) i"
)

RULE = StatementRule(
    name="generated_or_identity_column",
    group=Group.LOCKS,
    severity="error",
    summary="A serial, identity or stored column that is new or computed anew",
    effect="Every row is written anew while nobody can read or write the table (ACCESS EXCLUSIVE lock).",
    hint="add a plain column with a sequence as its default, and fill the rows that exist in batches",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, rewrites=("w_orders",)),
    bad=Example(
        before=_BEFORE,
        sql=("ALTER TABLE w_orders ADD COLUMN tax numeric GENERATED ALWAYS AS (amount * 0.2) STORED",),
    ),
    good=Example(before=_BEFORE, sql=("ALTER TABLE w_orders ADD COLUMN tax numeric",)),
)
