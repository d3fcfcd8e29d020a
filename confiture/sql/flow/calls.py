"""What the functions that a statement calls may read, and what of it changes from run to run."""

from __future__ import annotations

import re
from typing import Any

from confiture.models.catalog import Function
from confiture.sql.built_in import built_in
from confiture.sql.flow.expressions import is_known_function
from confiture.sql.flow.facts import Facts
from confiture.sql.flow.work import Work
from confiture.sql.tree import names, pb
from confiture.sql.walking import branches

_READS = re.compile(r"\b(?:FROM|JOIN|EXECUTE|TABLE|PERFORM|CALL|INTO|UPDATE|MERGE)\b", re.IGNORECASE)
_READERS = re.compile(
    r"(?:query|table|schema|database|cursor)_to_xml|dblink|ts_stat|lo_|pg_read|pg_ls|currval|lastval|pg_.*_size|"
    r"pg_relation|pg_stat"
)


def check_calls(work: Work, node: Any) -> None:
    """Reports calls of functions that may read tables, or that nobody knows, and conditions that are left to chance."""
    work.has_subqueries = work.has_windows = False
    nodes = list(branches(node))
    has_chance = any(type(one) is pb.FuncCall and _is_chance(one) for one in nodes)
    for one in nodes:
        kind = type(one)
        if kind is pb.FuncCall:
            _check(work, one)
        elif kind is pb.SubLink:
            work.has_subqueries = True
        elif kind is pb.WindowDef:
            work.has_windows = True
        elif has_chance and kind in _CONDITIONAL and one.HasField("where_clause"):
            _check_chance(work, one.where_clause)
        elif has_chance and kind is pb.JoinExpr and one.HasField("quals"):
            _check_chance(work, one.quals)


_CONDITIONAL = frozenset({pb.SelectStmt, pb.UpdateStmt, pb.DeleteStmt})


def _check(work: Work, call: Any) -> None:
    schema, name = names(call.funcname)
    own = _defined(work.facts, schema, name)
    if own:
        if any(_may_read(function) for function in own):
            work.unknown(f"what {name}() reads is not followed", call.location)
        return
    if schema in (None, "pg_catalog", "public"):
        known = built_in()
        if _READERS.match(name):
            work.unknown(f"{name}() reads more than its arguments", call.location)
            return
        if is_known_function(name) or name in known.volatile or name in known.not_volatile:
            return
    work.unknown(f"{name}() is not known: what it reads cannot be told", call.location)


def _defined(facts: Facts, schema: str | None, name: str) -> list[Function]:
    if schema == "pg_catalog":
        return []
    return [function for function in facts.functions(name) if schema in (None, function.signature.name.schema)]


def _may_read(function: Function) -> bool:
    """Whether a function may read tables: SQL and PL/pgSQL need words for that."""
    if function.language not in ("sql", "plpgsql") or function.body is None:
        return True
    return bool(_READS.search(function.body))


def _check_chance(work: Work, condition: Any) -> None:
    for one in branches(condition, without="SelectStmt"):
        if type(one) is pb.FuncCall and _is_chance(one):
            name = names(one.funcname)[1]
            work.unknown(f"a condition with {name}() takes other rows each time", one.location)


def _is_chance(call: Any) -> bool:
    name = names(call.funcname)[1]
    return name in _CHANCE and name in built_in().volatile


_CHANCE = frozenset(
    {"random", "random_normal", "clock_timestamp", "gen_random_uuid", "uuidv7", "uuidv4", "nextval", "timeofday"}
)
