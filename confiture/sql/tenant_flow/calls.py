"""Function calls: the tables that the functions can read, and results that change from run to run."""

from __future__ import annotations

import re
from typing import Any

from confiture.models.catalog import Function
from confiture.sql.built_in import load_built_in_functions
from confiture.sql.parse_tree import pb, schema_and_name
from confiture.sql.tenant_flow.context import AnalysisContext
from confiture.sql.tenant_flow.expressions import is_known_function
from confiture.sql.tenant_flow.facts import TenancyFacts
from confiture.sql.traversal import inner_nodes

_READING_WORDS = re.compile(r"\b(?:FROM|JOIN|EXECUTE|TABLE|PERFORM|CALL|INTO|UPDATE|MERGE)\b", re.IGNORECASE)
_READING_FUNCTIONS = re.compile(
    r"(?:query|table|schema|database|cursor)_to_xml|dblink|ts_stat|lo_|pg_read|pg_ls|currval|lastval|pg_.*_size|"
    r"pg_relation|pg_stat"
)


def check_calls(context: AnalysisContext, node: Any) -> None:
    """Report calls to functions that are unknown or can read tables, and conditions on random values."""
    context.has_subqueries = context.has_windows = False
    nodes = list(inner_nodes(node))
    has_chance = any(type(one) is pb.FuncCall and _is_random(one) for one in nodes)
    for one in nodes:
        kind = type(one)
        if kind is pb.FuncCall:
            _check_call(context, one)
        elif kind is pb.SubLink:
            context.has_subqueries = True
        elif kind is pb.WindowDef:
            context.has_windows = True
        elif has_chance and kind in _CONDITIONAL and one.HasField("where_clause"):
            _check_random(context, one.where_clause)
        elif has_chance and kind is pb.JoinExpr and one.HasField("quals"):
            _check_random(context, one.quals)


_CONDITIONAL = frozenset({pb.SelectStmt, pb.UpdateStmt, pb.DeleteStmt})


def _check_call(context: AnalysisContext, call: Any) -> None:
    schema, name = schema_and_name(call.funcname)
    own = _find_definitions(context.facts, schema, name)
    if own:
        if any(_can_read_tables(function) for function in own):
            context.report_unknown(f"the reads of {name}() are not analyzed", call.location)
        return
    if schema in (None, "pg_catalog", "public"):
        built_in = load_built_in_functions()
        if _READING_FUNCTIONS.match(name):
            context.report_unknown(f"{name}() reads more than its arguments", call.location)
            return
        if is_known_function(name) or name in built_in.volatile or name in built_in.not_volatile:
            return
    context.report_unknown(f"{name}() is not a known function and can read anything", call.location)


def _find_definitions(facts: TenancyFacts, schema: str | None, name: str) -> list[Function]:
    if schema == "pg_catalog":
        return []
    return [function for function in facts.functions(name) if schema in (None, function.signature.name.schema)]


def _can_read_tables(function: Function) -> bool:
    """Whether a function can read tables. In SQL and PL/pgSQL, reading tables requires certain keywords."""
    if function.language not in ("sql", "plpgsql") or function.body is None:
        return True
    return bool(_READING_WORDS.search(function.body))


def _check_random(context: AnalysisContext, condition: Any) -> None:
    for one in inner_nodes(condition, without="SelectStmt"):
        if type(one) is pb.FuncCall and _is_random(one):
            name = schema_and_name(one.funcname)[1]
            context.report_unknown(f"a condition with {name}() selects different rows each time", one.location)


def _is_random(call: Any) -> bool:
    name = schema_and_name(call.funcname)[1]
    return name in _RANDOM_FUNCTIONS and name in load_built_in_functions().volatile


_RANDOM_FUNCTIONS = frozenset(
    {"random", "random_normal", "clock_timestamp", "gen_random_uuid", "uuidv7", "uuidv4", "nextval", "timeofday"}
)
