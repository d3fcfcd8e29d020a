"""Serial, identity, and stored generated columns that are added or get a new expression, which rewrites every row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import can_reach_rows, has_concurrent_users, new_columns
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.column_backfill import backfill_sql, fill_trigger_sql
from confiture.lint.remedies.commands import join_lines, not_null_statements, remaining_commands
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import QualifiedName
from confiture.models.trace import LockMode
from confiture.sql.built_in import load_built_in_functions
from confiture.sql.catalog import types
from confiture.sql.catalog.object_names import make_object_name
from confiture.sql.catalog.types import SERIALS, is_serial
from confiture.sql.parse_tree import alter_commands, format_expression, get_definition, pb, quote_identifier, strings
from confiture.sql.tokens import command_offsets
from confiture.sql.type_changes import format_type_name
from confiture.sql.volatility import find_called_functions
from confiture.text import single_quote

_FIRST_VERSION_WITH_VIRTUAL = 18
"""The first version whose generated columns can be virtual."""


def _check(context: StatementContext) -> Iterable[Violation]:
    if not can_reach_rows(context) or not has_concurrent_users(context, context.node.relation):
        return
    table = context.name(context.node.relation)
    for column in new_columns(context).values():
        constraints = {one.constraint.contype: one.constraint for one in column.constraints}
        generated = constraints.get(pb.CONSTR_GENERATED)
        if generated is not None and generated.generated_kind == "s":
            virtual = _can_be_virtual(context, column, generated)
            yield Violation(
                location=context.statement.location_at(generated.location),
                relation=table,
                message=f"{table} is rewritten to store the generated column {column.colname} in every row",
                remedy=(_virtual_column_remedy if virtual else _trigger_remedy)(context, column, generated),
                hint=_VIRTUAL_HINT if virtual else _TRIGGER_HINT,
            )
        elif is_serial(column) or pb.CONSTR_IDENTITY in constraints:
            what = "identity" if pb.CONSTR_IDENTITY in constraints else "serial"
            yield Violation(
                location=context.statement.location_at(column.location),
                relation=table,
                message=f"{table} is rewritten to number every row in the {what} column {column.colname}",
                remedy=_sequence_remedy(context, column, constraints.get(pb.CONSTR_IDENTITY)),
            )
    yield from _check_set_expression(context, table)


def _check_set_expression(context: StatementContext, table: str) -> Iterator[Violation]:
    known = context.table(context.node.relation)
    for number, one in enumerate(alter_commands(context.node)):
        if one.subtype != pb.AT_SetExpression:
            continue
        column = known.column(one.name) if known else None
        if column is None or column.generated != "virtual":
            yield Violation(
                location=command_offsets(context.statement)[number],
                relation=table,
                message=f"{table} is rewritten to recompute {one.name} in every row",
                hint=f"keep the column and use the new expression for another column: {_TRIGGER_HINT}",
            )


def _can_be_virtual(context: StatementContext, column: Any, generated: Any) -> bool:
    """Whether the column can be virtual, which rules out user-defined types and functions."""
    known = load_built_in_functions()
    built_in = known.volatile | known.not_volatile
    return (
        context.version >= _FIRST_VERSION_WITH_VIRTUAL
        and types.built_in_type(column.type_name) is not None
        and all(name in built_in for name, _ in find_called_functions(generated.raw_expr, context.catalog))
    )


def _virtual_column_remedy(context: StatementContext, column: Any, generated: Any) -> str:
    added = f"{_add_column_sql(context, column)} GENERATED ALWAYS AS ({format_expression(generated.raw_expr)}) VIRTUAL"
    return join_lines(added, *_other_commands(context, column))


def _trigger_remedy(context: StatementContext, column: Any, generated: Any) -> str:
    table = resolve_relation_name(context, context.node.relation)
    return join_lines(
        _add_column_sql(context, column),
        *_other_commands(context, column),
        *fill_trigger_sql(table, column.colname, generated.raw_expr),
        backfill_sql(table, column.colname, format_expression(generated.raw_expr)),
    )


def _sequence_remedy(context: StatementContext, column: Any, identity: Any) -> str:
    """Return SQL that adds the column with a sequence as its default, fills the column in batches, then completes its
    definition.
    """
    table, name = resolve_relation_name(context, context.node.relation), quote_identifier(column.colname)
    sequence = qualified_name(QualifiedName(table.schema, make_object_name(table.name, column.colname, "seq")))
    altered = f"ALTER TABLE {qualified_name(table)}"
    after = [*not_null_statements(context, column.colname)]
    if identity is not None:
        when = "ALWAYS" if identity.generated_when == "a" else "BY DEFAULT"
        after += [
            f"{altered} ALTER COLUMN {name} DROP DEFAULT",
            "-- START WITH a number greater than the maximum:",
            f"{altered} ALTER COLUMN {name} ADD GENERATED {when} AS IDENTITY (START WITH 1)",
        ]
    return join_lines(
        _add_column_sql(context, column),
        *_other_commands(context, column),
        f"CREATE SEQUENCE {sequence} OWNED BY {qualified_name(table)}.{name}",
        f"{altered} ALTER COLUMN {name} SET DEFAULT nextval({single_quote(sequence)})",
        backfill_sql(table, column.colname, "DEFAULT"),
        *after,
    )


def _other_commands(context: StatementContext, column: Any) -> tuple[str, ...]:
    """Return the statements for the other commands."""
    commands = enumerate(alter_commands(context.node))
    return remaining_commands(context, [number for number, one in commands if get_definition(one).column_def == column])


def _add_column_sql(context: StatementContext, column: Any) -> str:
    """Return ADD COLUMN with only the column's name and type."""
    type_word = strings(column.type_name.names)[-1]
    type_name = SERIALS.get(type_word) if is_serial(column) else format_type_name(column.type_name, context.catalog)
    table = qualified_name(resolve_relation_name(context, context.node.relation))
    return f"ALTER TABLE {table} ADD COLUMN {quote_identifier(column.colname)} {type_name}"


_TRIGGER_HINT = "add a plain column, fill new rows with a trigger, and fill existing rows in batches"
_VIRTUAL_HINT = (
    "make the column VIRTUAL, which computes the value on read and rules out an index; or, to store it,"
    f" {_TRIGGER_HINT}"
)
_BEFORE = (
    "CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric);"
    " INSERT INTO w_orders SELECT i, i FROM generate_series(1, 100) i"
)

RULE = StatementRule(
    name="generated_or_identity_column",
    group=Group.LOCKS,
    severity="error",
    summary="A serial, identity or stored generated column is added or recomputed",
    impact="All reads from and writes to the table wait until every row is rewritten (ACCESS EXCLUSIVE lock).",
    fix_hint="add a plain column with a sequence as its default, and fill existing rows in batches",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, rewrites=("w_orders",)),
    bad=Example(
        before=_BEFORE,
        sql=("ALTER TABLE w_orders ADD COLUMN tax numeric GENERATED ALWAYS AS (amount * 0.2) STORED",),
    ),
    good=Example(before=_BEFORE, sql=("ALTER TABLE w_orders ADD COLUMN tax numeric",)),
)
