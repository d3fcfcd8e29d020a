"""The bodies of functions and DO blocks: the statements in them, and SQL that is put together when they run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import postgast
from google.protobuf.message import DecodeError
from postgast.errors import check_error
from postgast.native import lib

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.work import Work
from confiture.sql.tree import strings

_DYNAMIC = frozenset({"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"})
# the parser writes the two rows of a trigger with brackets too many
_BROKEN = re.compile(r",\{\}\}(?=[,\]])")
_EMBEDDED = 0
"""The parse mode of what is a statement of its own; others are expressions and assignments."""


def body_statements(work: Work, text: str, node: Any, kind: str) -> Iterator[tuple[str, Any]]:
    """The statements in the body of CREATE FUNCTION or DO, by kind; reports what cannot be looked into."""
    language, body = _options(node.options if kind == "create_function_stmt" else node.args)
    if kind == "do_stmt":
        language = language or "plpgsql"
    if kind == "create_function_stmt" and node.HasField("sql_body"):
        yield from _atomic(node.sql_body)
    elif language == "sql":
        yield from _parsed(work, body)
    elif language == "plpgsql":
        yield from _plpgsql(work, text)
    else:
        work.unknown(f"the body is in {language or 'a language that is not named'}, which is not followed")


def is_trigger(node: Any) -> bool:
    """Whether CREATE FUNCTION makes a trigger function."""
    return node.DESCRIPTOR.name == "CreateFunctionStmt" and strings(node.return_type.names)[-1:] == ("trigger",)


def is_definer(node: Any) -> bool:
    """Whether CREATE FUNCTION makes one that reads with the rights of its owner."""
    return any(
        item.def_elem.defname == "security" and item.def_elem.arg.boolean.boolval
        for item in getattr(node, "options", ())
    )


def _options(items: Any) -> tuple[str, str]:
    language, body = "", ""
    for item in items:
        name, value = item.def_elem.defname, item.def_elem.arg
        if name == "language":
            language = value.string.sval.lower()
        elif name == "as":
            parts = strings(value.list.items) if value.WhichOneof("node") == "list" else (value.string.sval,)
            body = parts[0]
    return language, body


def _atomic(body: Any) -> Iterator[tuple[str, Any]]:
    """The statements of RETURN or BEGIN ATOMIC."""
    if body.WhichOneof("node") == "list":
        for group in body.list.items:
            for item in group.list.items:
                kind = item.WhichOneof("node")
                yield kind, getattr(item, kind)


def _parsed(work: Work, text: str) -> Iterator[tuple[str, Any]]:
    try:
        statements = postgast.parse(text).stmts
    except (postgast.PgQueryError, DecodeError):
        work.unknown("a statement of the body does not parse by itself")
        return
    for raw in statements:
        kind = raw.stmt.WhichOneof("node")
        if kind:
            yield kind, getattr(raw.stmt, kind)


def _plpgsql(work: Work, text: str) -> Iterator[tuple[str, Any]]:
    try:
        tree = _tree(text)
    except (postgast.PgQueryError, ValueError):
        work.unknown("the body is not followed")
        return
    for kind, value in _walk(tree):
        if kind in _DYNAMIC or (isinstance(value, dict) and "dynquery" in value):
            query = value.get("query") or value.get("dynquery") or {}
            shown = query.get("PLpgSQL_expr", {}).get("query", "")
            message = f"EXECUTE {shown[:60]}: SQL that is put together when it runs cannot be analysed"
            work.report(Leak.DYNAMIC, Grade.UNKNOWN, message.replace("  ", " "))
        elif kind == "PLpgSQL_expr" and value.get("parseMode", _EMBEDDED) == _EMBEDDED:
            yield from _parsed(work, value["query"])
        elif kind == "PLpgSQL_expr" and value.get("parseMode") == 2 and re.search(r"\bSELECT\b", value["query"], re.I):
            yield from _parsed(work, f"SELECT {value['query']}")


def _tree(text: str) -> Any:
    result = lib.pg_query_parse_plpgsql(text.encode())
    try:
        check_error(result)
        return json.loads(_BROKEN.sub("", result.plpgsql_funcs.decode()))
    finally:
        lib.pg_query_free_plpgsql_parse_result(result)


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict):
                yield key, inner
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)
