"""ALTER COLUMN ... TYPE that writes every row anew, or reads all to build indexes and try constraints again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import alters_table, is_in_use
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.change_type import Retyping, along_with, retypings
from confiture.lint.remedies.column_backfill import backfilled, kept_filled
from confiture.lint.remedies.commands import alter, lines, rest
from confiture.lint.remedies.sql_text import qualified
from confiture.models.trace import LockMode
from confiture.sql.answers import Answer
from confiture.sql.catalog.names import joined
from confiture.sql.grammar import parse_sql
from confiture.sql.tree import alter_commands, expression_text, identifier, pb
from confiture.sql.type_changes import is_clock_change, keeps_order, read_again_for, rewrites


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if not alters_table(subject) or not is_in_use(subject, subject.node.relation):
        return
    table = subject.name(subject.node.relation)
    for one in retypings(subject):
        verdict = _rewrites(subject, one)
        if verdict is Answer.NO:
            yield from _read_again(subject, table, one)
        else:
            yield _hit(subject, table, one, verdict)


def _read_again(subject: StatementSubject, table: str, one: Retyping) -> Iterator[Hit]:
    known = subject.table(subject.node.relation)
    if known is None or one.old is None:
        return
    names = read_again_for(known, one.column, fits=keeps_order(one.old, one.new) and not one.collates)
    if names:
        yield Hit(
            place=one.place,
            relation=table,
            message=f"{table} is read while locked, as {' and '.join(names)} must be made anew for {one.column}",
            effect="Nobody can read or write the table until all of it was read (ACCESS EXCLUSIVE lock).",
            hint="drop a CHECK before and add it NOT VALID after; drop an index before and build it CONCURRENTLY after",
        )


def _rewrites(subject: StatementSubject, one: Retyping) -> Answer:
    clocks = one.using is None and one.old is not None and is_clock_change(one.old, one.new)
    verdict = rewrites(one.column, one.old, one.new, one.using, subject.catalog)
    return Answer.NO if clocks and verdict is Answer.MAYBE and _is_utc(subject) else verdict


def _is_utc(subject: StatementSubject) -> bool:
    """Whether the last SET of the transaction makes the session's time zone UTC."""
    zone = ""
    for one in subject.earlier_of("variable_set_stmt"):
        if one.node.name.lower() == "timezone":
            zone = one.node.args[0].a_const.sval.sval if one.node.args else ""
    return zone.lower() in ("utc", "etc/utc", "zulu", "gmt")


def _hit(subject: StatementSubject, table: str, one: Retyping, verdict: Answer) -> Hit:
    clocks = one.old is not None and is_clock_change(one.old, one.new)
    if verdict is Answer.YES:
        message = f"{table} is written anew to make {one.column} {one.new}"
    elif clocks:
        message = f"{table} is written anew to make {one.column} {one.new}, unless the session's TimeZone is UTC"
    else:
        message = (
            f"{table} is written anew to make {one.column} {one.new}, unless what it is now is stored the same way"
        )
    in_utc = clocks and verdict is Answer.MAYBE
    return Hit(
        place=one.place,
        relation=table,
        severity=None if verdict is Answer.YES else "warning",
        message=message + (f" (it is {one.old})" if one.old else ""),
        remedy=_in_utc(subject, one) if in_utc else _expanded(subject, one),
        hint="where the values are in UTC, change the type with TimeZone UTC, which rewrites nothing"
        if in_utc
        else None,
    )


def _in_utc(subject: StatementSubject, one: Retyping) -> str:
    commands, own = list(alter_commands(subject.node)), along_with(subject, one.column)
    changed = alter(subject.node.relation, *(commands[number] for number in own), like=subject.node)
    return lines(*rest(subject, own), "SET LOCAL timezone = 'UTC'", changed)


def _expanded(subject: StatementSubject, one: Retyping) -> str:
    """A second column of the new type, kept filled by a trigger."""
    table = name_of(subject, subject.node.relation)
    column = joined(one.column, None, "new")
    value = one.using if one.using is not None else _cast(one)
    return lines(
        *rest(subject, along_with(subject, one.column)),
        f"ALTER TABLE {qualified(table)} ADD COLUMN {identifier(column)} {one.new}",
        *kept_filled(table, column, value),
        backfilled(table, column, expression_text(value)),
        f"-- then let clients use {identifier(column)}, and drop the trigger and {identifier(one.column)} last",
    )


def _cast(one: Retyping) -> pb.Node:
    text = f"SELECT CAST({identifier(one.column)} AS {one.new})"
    value = parse_sql(text).stmts[0].stmt.select_stmt.target_list[0].res_target.val
    node = pb.Node()
    node.CopyFrom(value)
    return node


_BEFORE = (
    "CREATE TABLE w_orders (id bigint PRIMARY KEY, quantity integer, note varchar(100));"
    " INSERT INTO w_orders SELECT i, i, 'paid' FROM generate_series(1, 100) i"
)

RULE = StatementRule(
    name="type_rewrite",
    group=Group.LOCKS,
    severity="error",
    summary="ALTER COLUMN ... TYPE that writes every row anew",
    effect="Rows and indexes are written anew while nobody can read or write the table (ACCESS EXCLUSIVE lock).",
    hint="add a second column, let a trigger fill it, fill the rows that exist in batches, then move clients over; "
    "varchar to a longer varchar or text, and numeric to more digits of the same scale, rewrite nothing",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, rewrites=("w_orders",)),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_orders ALTER COLUMN quantity TYPE bigint",)),
    good=Example(before=_BEFORE, sql=("ALTER TABLE w_orders ALTER COLUMN note TYPE text",)),
)
