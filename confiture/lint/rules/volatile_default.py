"""ADD COLUMN with a default that is another one for each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import alters_table, is_constrained, is_in_use, new_columns
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.column_backfill import backfilled
from confiture.lint.remedies.commands import command, lines, not_null, quick, without
from confiture.models.trace import LockMode
from confiture.sql.answers import Answer
from confiture.sql.tree import alter_commands, definition, pb
from confiture.sql.type_changes import type_text
from confiture.sql.volatility import domain_default_is_volatile, function_calls


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if not alters_table(subject) or not is_in_use(subject, subject.node.relation):
        return
    for column in new_columns(subject).values():
        if not is_constrained(subject, column):
            default = _default(column)
            yield from _of_default(subject, column, default) if default else _of_domain(subject, column)


def _of_default(subject: StatementSubject, column: Any, default: Any) -> Iterator[Hit]:
    calls = {name: verdict for name, verdict in function_calls(default.raw_expr, subject.catalog) if verdict}
    if not calls:
        return
    table = subject.name(subject.node.relation)
    worst = max(calls, key=lambda name: calls[name])
    sure = calls[worst] is Answer.YES
    yield Hit(
        place=subject.statement.at(default.location),
        relation=table,
        severity=None if sure else "warning",
        message=f"{table} is written anew, as {worst}() gives each row another {column.colname}"
        if sure
        else f"{table} is written anew if {worst}() is volatile, and gives each row another {column.colname}",
        remedy=_remedy(subject),
    )


def _of_domain(subject: StatementSubject, column: Any) -> Iterator[Hit]:
    type_name = type_text(column.type_name, subject.catalog)
    volatile = domain_default_is_volatile(type_name, subject.catalog)
    if volatile:
        table = subject.name(subject.node.relation)
        yield Hit(
            place=subject.statement.at(column.location),
            relation=table,
            severity=None if volatile is Answer.YES else "warning",
            message=f"{table} is written anew for {column.colname}: the default of {type_name} gives each row another",
        )


def _default(column: Any) -> Any:
    found = (one.constraint for one in column.constraints if one.constraint.contype == pb.CONSTR_DEFAULT)
    return next(found, None)


def _remedy(subject: StatementSubject) -> str:
    """The statement with each volatile default set once its column is there, and how to fill the rows that exist."""
    relation, commands = subject.node.relation, []
    own: set[str] = set()
    fills: list[str] = []
    proofs: list[str] = []
    for original in alter_commands(subject.node):
        column = definition(original).column_def
        default = _default(column) if original.subtype == pb.AT_AddColumn else None
        if default is None or not any(verdict for _, verdict in function_calls(default.raw_expr, subject.catalog)):
            commands.append(original)
            continue
        own.add(column.colname)
        required = [one.constraint for one in column.constraints if one.constraint.contype == pb.CONSTR_NOTNULL]
        commands.append(without(original, [default, *required]))
        kind = default.raw_expr.WhichOneof("node")
        value = {kind: getattr(default.raw_expr, kind)}
        commands.append(command(pb.AT_ColumnDefault, column.colname, value))
        fills.append(backfilled(name_of(subject, relation), column.colname, "DEFAULT"))
        proofs += not_null(subject, column.colname) if required else ()
    return lines(*quick(subject, commands, own), *fills, *proofs)


_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY); INSERT INTO w_orders SELECT generate_series(1, 100)"

RULE = StatementRule(
    name="volatile_default",
    group=Group.LOCKS,
    severity="error",
    summary="ADD COLUMN with a volatile default",
    effect="Every row is written anew while nobody can read or write the table (ACCESS EXCLUSIVE lock).",
    hint="add the column without the default, set the default, and fill the rows that exist in batches; constants and "
    "stable functions such as now() rewrite nothing",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, rewrites=("w_orders",)),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_orders ADD COLUMN token uuid DEFAULT gen_random_uuid()",)),
    good=Example(
        before=_BEFORE,
        sql=("ALTER TABLE w_orders ADD COLUMN token uuid, ALTER COLUMN token SET DEFAULT gen_random_uuid()",),
    ),
)
