"""Statements that can create or drop any object: DO, CALL, SELECT with function calls, and IMPORT FOREIGN SCHEMA.

Static statements in a DO block, and constant strings that the block executes, are applied as if they always ran,
because most blocks use them with IF NOT EXISTS. Dynamic SQL in a block cannot be analyzed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError

from confiture.models.catalog import QualifiedName
from confiture.sql.built_in import load_built_in_functions
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.tables import create_table_from_query
from confiture.sql.parse_tree import pb, schema_and_name, strings
from confiture.sql.parser import parse_sql, postgast
from confiture.sql.search_paths import path_from_set_config
from confiture.sql.traversal import find_nodes

_STATIC_STATEMENTS = {"PLpgSQL_stmt_execsql": "sqlstmt", "PLpgSQL_stmt_perform": "expr"}
_DYNAMIC_STATEMENTS = frozenset({"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"})
_AGGREGATES = frozenset(
    """any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp cume_dist
    dense_rank every first_value json_agg json_object_agg jsonb_agg jsonb_object_agg lag last_value lead max min mode
    nth_value ntile percent_rank percentile_cont percentile_disc range_agg range_intersect_agg rank regr_avgx regr_avgy
    regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop stddev_samp
    string_agg sum var_pop var_samp variance xmlagg""".split()  # noqa: SIM905 - a list of them is sixty lines
)
"""Built-in aggregate and window functions."""
_DDL_WORDS = re.compile(r"\b(create|alter|drop|rename|execute)\b", re.IGNORECASE)


def do_block(state: CatalogState, node: Any) -> None:
    """Apply DO."""
    options = {one.def_elem.defname: one.def_elem.arg.string.sval for one in node.args}
    body = options.get("as", "")
    if options.get("language", "plpgsql").lower() != "plpgsql":
        if _DDL_WORDS.search(body):
            state.issues.mark_unknown("the objects that this block creates or drops are unknown", "DO")
        return
    texts, dynamic = _find_statements(body)
    outer = state.issues.fixed_location
    state.issues.fixed_location = outer or state.issues.location(-1)
    for kind, inner in _parse_texts(texts):
        state.nested(kind, inner)
    state.issues.fixed_location = outer
    if dynamic:
        state.issues.mark_unknown("the objects that this block creates or drops are unknown", "DO")


def static_statements(node: Any) -> Iterator[tuple[str, Any]]:
    """Return the DDL statements in a DO block that do not depend on its variables, as kinds and nodes."""
    options = {one.def_elem.defname: one.def_elem.arg.string.sval for one in node.args}
    if options.get("language", "plpgsql").lower() == "plpgsql":
        yield from _parse_texts(_find_statements(options.get("as", ""))[0])


def _parse_texts(texts: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for text in texts:
        yield from _parse_statements(text)


def _parse_statements(text: str) -> Iterator[tuple[str, Any]]:
    try:
        statements = parse_sql(text).stmts
    except (postgast.PgQueryError, DecodeError):
        return  # PL/pgSQL forms such as SELECT ... INTO a variable with several parts
    for raw in statements:
        kind = raw.stmt.WhichOneof("node")
        if kind and not (kind == "select_stmt" and raw.stmt.select_stmt.HasField("into_clause")):
            yield kind, getattr(raw.stmt, kind)


def _find_statements(body: str) -> tuple[list[str], bool]:
    """Return the DDL statements in a block, and whether the block also executes dynamic SQL."""
    if not _DDL_WORDS.search(body):
        return [], False
    tag = "$confiture_block$"
    try:
        tree = postgast.parse_plpgsql(f"DO {tag}{body}{tag}")
    except (postgast.PgQueryError, ValueError):
        return [], True
    texts: list[str] = []
    dynamic = False
    for node in _iter_objects(tree):
        for kind, value in node.items():
            if kind in _STATIC_STATEMENTS:
                text: str | None = _query_text(value.get(_STATIC_STATEMENTS[kind]))
            elif kind in _DYNAMIC_STATEMENTS:
                text = _parse_string_constant(_query_text(value.get("query")))
                dynamic = dynamic or text is None
            else:
                continue
            if text and (kind == "PLpgSQL_stmt_perform" or _DDL_WORDS.search(text)):
                texts.append(text)
    return texts, dynamic


def _iter_objects(tree: Any) -> Iterator[dict[str, Any]]:
    """Return all objects in a JSON tree, in order."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(reversed(list(one.values())))
        elif isinstance(one, list):
            waiting.extend(reversed(one))


def _query_text(value: Any) -> str:
    inner = value.get("PLpgSQL_expr", value) if isinstance(value, dict) else {}
    return str(inner.get("query", ""))


def _parse_string_constant(text: str) -> str | None:
    """Return the value of an expression if it is a string constant; otherwise None."""
    for _, select in _parse_statements(f"SELECT {text}"):
        targets: Any = getattr(select, "target_list", ())
        if len(targets) == 1 and targets[0].res_target.val.WhichOneof("node") == "a_const":
            return str(targets[0].res_target.val.a_const.sval.sval)
    return None


def apply_select(state: CatalogState, node: Any) -> None:
    """Apply SELECT. INTO creates a table, set_config can set the search path, and user functions can do anything."""
    if node.HasField("into_clause"):
        create_table_from_query(state, node.into_clause, pb.Node(select_stmt=node))
        return
    for one in find_nodes(node, pb.FuncCall):
        _apply_function_call(state, one)


def apply_call(state: CatalogState, node: Any) -> None:
    """Apply CALL."""
    _apply_function_call(state, node.funccall)


def _apply_function_call(state: CatalogState, node: Any) -> None:
    schema, name = schema_and_name(node.funcname)
    if name == "set_config" and schema in (None, "pg_catalog"):
        _apply_set_config(state, node)
        return
    bodies = _find_bodies(state, schema, name)
    if bodies:
        if any(_DDL_WORDS.search(body) for body in bodies):
            state.issues.mark_unknown(f"the objects that {name}() creates or drops are unknown", name)
        return
    if schema != "pg_catalog" and not (schema is None and _is_built_in(name)):
        state.issues.mark_unknown(
            f"the objects that {name}() creates or drops are unknown", ".".join(strings(node.funcname))
        )


def _is_built_in(name: str) -> bool:
    functions = load_built_in_functions()
    return name in functions.volatile or name in functions.not_volatile or name in _AGGREGATES


def _find_bodies(state: CatalogState, schema: str | None, name: str) -> list[str]:
    for candidate in (schema,) if schema else state.search_path:
        signatures = state.functions.overloads.get(QualifiedName(candidate, name))
        if signatures:
            return [state.functions.all[one].body or "" for one in sorted(signatures)]
    return []


def _apply_set_config(state: CatalogState, node: Any) -> None:
    path = path_from_set_config(node)
    if path is not None:
        state.search_path[:] = path


def import_foreign_schema(state: CatalogState, node: Any) -> None:
    """Apply IMPORT FOREIGN SCHEMA."""
    state.issues.mark_unknown("the tables that this statement creates are unknown", node.remote_schema)
