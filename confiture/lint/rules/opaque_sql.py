"""SQL that lint cannot look into: DO, EXECUTE, CALL, functions that build their SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Example, Group, Hit, StatementRule
from confiture.models.catalog import Name
from confiture.sql.tree import names, pb
from confiture.sql.walking import nodes_of

_BUILDS_SQL = re.compile(r"\bEXECUTE\b(?!\s+(?:FUNCTION|PROCEDURE|ON)\b)", re.IGNORECASE)


def _check(subject: StatementSubject) -> Iterable[Hit]:
    node = subject.node
    match subject.statement.kind:
        case "do_stmt":
            yield Hit(place=subject.place, message="what this DO block does is not known before it runs")
        case "execute_stmt":
            yield Hit(place=subject.place, message=f"what {node.name} does was prepared elsewhere")
        case "call_stmt":
            schema, name = names(node.funccall.funcname)
            called = f"{schema}.{name}" if schema else name
            message = f"what the procedure {called} does is not known before it runs"
            yield Hit(place=subject.place, relation=called, message=message)
        case _:
            yield from _functions(subject, node)


def _functions(subject: StatementSubject, node: Any) -> Iterable[Hit]:
    if not subject.catalog.functions:
        return
    for call in nodes_of(node, pb.FuncCall):
        if _builds_sql(subject, *names(call.funcname)):
            name = names(call.funcname)[1]
            message = f"{name}() builds SQL when it runs: what that does is not known before"
            yield Hit(place=subject.statement.at(call.location), relation=name, message=message)


def _builds_sql(subject: StatementSubject, schema: str | None, name: str) -> bool:
    candidates = {Name(one, name) for one in ((schema,) if schema else subject.catalog.search_path)}
    return any(
        function.language == "plpgsql" and function.body and _BUILDS_SQL.search(function.body)
        for function in subject.catalog.functions.values()
        if function.signature.name in candidates
    )


RULE = StatementRule(
    name="opaque_sql",
    group=Group.TRANSACTIONS,
    severity="info",
    summary="SQL that lint cannot look into: DO, EXECUTE, CALL, functions that build their SQL",
    effect="No rule has looked at the statements inside: what they lock, scan and drop shows when they run.",
    hint="write plain statements, by a template where they repeat, or look at the dry run: it executes the block and "
    "shows its locks, rows and time",
    kinds=frozenset({"do_stmt", "execute_stmt", "call_stmt", "select_stmt"}),
    check=_check,
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY)",
        sql=("DO $$ BEGIN EXECUTE 'ALTER TABLE w_orders ADD COLUMN note text'; END $$",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY)",
        sql=("ALTER TABLE w_orders ADD COLUMN note text",),
    ),
)
