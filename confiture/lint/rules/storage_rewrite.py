"""SET LOGGED, UNLOGGED, TABLESPACE and ACCESS METHOD, which copy all rows."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import is_in_use
from confiture.lint.facts.table_sizes import name_of
from confiture.models.trace import LockMode
from confiture.sql.effects.altering import changes_storage
from confiture.sql.effects.recording import Recorder
from confiture.sql.tokens import command_places
from confiture.sql.tree import alter_commands, pb

_COMMANDS = {
    pb.AT_SetLogged: "SET LOGGED",
    pb.AT_SetUnLogged: "SET UNLOGGED",
    pb.AT_SetTableSpace: "SET TABLESPACE",
    pb.AT_SetAccessMethod: "SET ACCESS METHOD",
}


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if subject.statement.kind == "alter_table_move_all_stmt":
        yield from _of_all(subject)
        return
    node = subject.node
    wanted = [one for one in alter_commands(node) if one.subtype in _COMMANDS]
    if not wanted:
        return
    if node.objtype == pb.OBJECT_INDEX:
        yield from _of_index(subject)
        return
    recorder = Recorder(subject.catalog, subject.version)
    if not is_in_use(subject, node.relation) or not recorder.holds_rows(name_of(subject, node.relation)):
        return
    places = command_places(subject.statement)
    for number, command in enumerate(alter_commands(node)):
        if command.subtype in _COMMANDS and changes_storage(command, subject.table(node.relation)):
            table = subject.name(node.relation)
            yield Hit(
                place=places[number],
                relation=table,
                message=f"{_COMMANDS[command.subtype]} copies all rows and indexes of {table}"
                if command.subtype != pb.AT_SetTableSpace
                else f"SET TABLESPACE copies all rows of {table}",
            )


def _of_all(subject: StatementSubject) -> Iterable[Hit]:
    what = {pb.OBJECT_INDEX: "index", pb.OBJECT_MATVIEW: "materialized view"}.get(subject.node.objtype, "table")
    yield Hit(place=subject.place, message=f"every {what} of {subject.node.orig_tablespacename} is copied in one go")


def _of_index(subject: StatementSubject) -> Iterable[Hit]:
    indexed = subject.catalog.indexed(subject.node.relation.schemaname or None, subject.node.relation.relname)
    if indexed and indexed[0].name in subject.created:
        return
    yield Hit(
        place=subject.place,
        relation=str(indexed[0].name) if indexed else None,
        message=f"SET TABLESPACE copies all of index {subject.node.relation.relname}",
        effect="Queries of its table wait until all of the index is copied (ACCESS EXCLUSIVE lock on it).",
        hint="build it there CONCURRENTLY under another name, then drop this one",
    )


_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY); INSERT INTO w_orders SELECT generate_series(1, 100)"

RULE = StatementRule(
    name="storage_rewrite",
    group=Group.LOCKS,
    severity="error",
    summary="SET LOGGED, UNLOGGED, TABLESPACE or ACCESS METHOD of a table in use",
    effect="All of the table is copied while nobody can read or write it (ACCESS EXCLUSIVE lock).",
    hint="do it in a window, or with pg_repack; or make a new table, fill it in batches, and move clients over",
    kinds=frozenset({"alter_table_stmt", "alter_table_move_all_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, rewrites=("w_orders",)),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_orders SET UNLOGGED",)),
    good=Example(
        before=_BEFORE,
        sql=("CREATE UNLOGGED TABLE r_orders_by_day (day date PRIMARY KEY, orders bigint NOT NULL)",),
    ),
)
