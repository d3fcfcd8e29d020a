"""SQL that lint cannot analyze: DO, EXECUTE, CALL, and functions with dynamic SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.models.catalog import QualifiedName
from confiture.sql.parse_tree import pb, schema_and_name
from confiture.sql.traversal import find_nodes

_EXECUTE = re.compile(r"\bEXECUTE\b(?!\s+(?:FUNCTION|PROCEDURE|ON)\b)", re.IGNORECASE)


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    match context.statement.kind:
        case "do_stmt":
            yield Violation(location=context.location, message="the effects of this DO block are unknown until it runs")
        case "execute_stmt":
            yield Violation(location=context.location, message=f"the statement of {node.name} was prepared elsewhere")
        case "call_stmt":
            schema, name = schema_and_name(node.funccall.funcname)
            procedure = f"{schema}.{name}" if schema else name
            message = f"the effects of procedure {procedure} are unknown until it runs"
            yield Violation(location=context.location, relation=procedure, message=message)
        case _:
            yield from _check_function_calls(context, node)


def _check_function_calls(context: StatementContext, node: Any) -> Iterable[Violation]:
    if not context.catalog.functions:
        return
    for call in find_nodes(node, pb.FuncCall):
        if _has_dynamic_sql(context, *schema_and_name(call.funcname)):
            name = schema_and_name(call.funcname)[1]
            message = f"{name}() builds SQL at run time: its effects are unknown until it runs"
            yield Violation(location=context.statement.location_at(call.location), relation=name, message=message)


def _has_dynamic_sql(context: StatementContext, schema: str | None, name: str) -> bool:
    candidates = {QualifiedName(one, name) for one in ((schema,) if schema else context.catalog.search_path)}
    return any(
        function.language == "plpgsql" and function.body and _EXECUTE.search(function.body)
        for function in context.catalog.functions.values()
        if function.signature.name in candidates
    )


RULE = StatementRule(
    name="dynamic_sql",
    aliases=("opaque_sql",),
    group=Group.TRANSACTIONS,
    severity="info",
    summary="DO, EXECUTE, CALL or a function with dynamic SQL hides statements from lint",
    impact="No rule has checked the statements inside: the objects that they lock, scan, or drop are known only when"
    " they run.",
    fix_hint="write plain statements, with a template if they repeat; or check the dry run, which executes the block"
    " and reports its locks, row counts, and duration",
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
