"""The bodies of functions and DO blocks: their statements, and dynamic SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import strings
from confiture.sql.parser import check_error, lib, parse_sql, postgast
from confiture.sql.tenant_flow.context import AnalysisContext
from confiture.text import cut

_DYNAMIC = frozenset({"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"})
# the parser closes too many brackets after a trigger's NEW and OLD rows
_BROKEN_JSON = re.compile(r",\{\}\}(?=[,\]])")
_EMBEDDED, _EXPRESSION = 0, 2
"""The parse modes for statements and expressions; higher numbers are assignments."""
_STATEMENTS_WITHOUT_RESULT = frozenset(
    {
        "PLpgSQL_stmt_execsql",
        "PLpgSQL_stmt_perform",
        "PLpgSQL_stmt_return",
        "PLpgSQL_stmt_return_next",
        "PLpgSQL_stmt_return_query",
    }
)
"""The statements that neither assign rows to variables nor branch on them."""


class BodyStatement(NamedTuple):
    """The parse tree of a statement in a body, or of a query in one of the body's expressions.

    `offset` is the start of the text that its locations refer to, in characters from the start of the statement that
    contains the body; None if unknown. `is_result_kept` is whether the rows are assigned to variables or control the
    flow of the body.
    """

    kind: str
    node: Any
    offset: int | None
    is_result_kept: bool = False


def find_body_statements(context: AnalysisContext, text: str, node: Any, kind: str) -> Iterator[BodyStatement]:
    """Return the statements in the body of CREATE FUNCTION or DO, in order; report parts that cannot be analyzed."""
    language, body = _language_and_body(node.options if kind == "create_function_stmt" else node.args)
    if kind == "do_stmt":
        language = language or "plpgsql"
    if kind == "create_function_stmt" and node.HasField("sql_body"):
        yield from _atomic_statements(node.sql_body)
    elif language == "sql":
        yield from _parse_body(context, body, _find_offset(text, body))
    elif language == "plpgsql":
        yield from _plpgsql_statements(context, text)
    else:
        context.report_unknown(f"the body is in {language or 'an unnamed language'}, which is not analyzed")


def is_trigger_function(node: Any) -> bool:
    """Whether CREATE FUNCTION creates a trigger function."""
    return node.DESCRIPTOR.name == "CreateFunctionStmt" and strings(node.return_type.names)[-1:] == ("trigger",)


def is_security_definer(node: Any) -> bool:
    """Whether CREATE FUNCTION creates a SECURITY DEFINER function."""
    return any(
        item.def_elem.defname == "security" and item.def_elem.arg.boolean.boolval
        for item in getattr(node, "options", ())
    )


def _language_and_body(items: Any) -> tuple[str, str]:
    language, body = "", ""
    for item in items:
        name, value = item.def_elem.defname, item.def_elem.arg
        if name == "language":
            language = value.string.sval.lower()
        elif name == "as":
            parts = strings(value.list.items) if value.WhichOneof("node") == "list" else (value.string.sval,)
            body = parts[0]
    return language, body


def _atomic_statements(body: Any) -> Iterator[BodyStatement]:
    """Return the statements in RETURN or BEGIN ATOMIC, which are parsed together with CREATE FUNCTION."""
    if body.WhichOneof("node") == "list":
        for group in body.list.items:
            for item in group.list.items:
                kind = item.WhichOneof("node")
                yield BodyStatement(kind, getattr(item, kind), None)


def _parse_body(
    context: AnalysisContext, text: str, offset: int | None, *, is_result_kept: bool = False
) -> Iterator[BodyStatement]:
    try:
        statements = parse_sql(text).stmts
    except (postgast.PgQueryError, DecodeError):
        context.report_unknown("a statement of the body cannot be parsed")
        return
    for raw in statements:
        kind = raw.stmt.WhichOneof("node")
        if kind:
            yield BodyStatement(kind, getattr(raw.stmt, kind), offset, is_result_kept)


def _find_offset(text: str, part: str, start: int = 0) -> int | None:
    position = text.find(part, start)
    return position if position >= 0 else None


def _plpgsql_statements(context: AnalysisContext, text: str) -> Iterator[BodyStatement]:
    try:
        tree = _parse_plpgsql(text)
    except (postgast.PgQueryError, ValueError):
        context.report_unknown("the body cannot be parsed")
        return
    position = 0
    for statement, kind, value in _iter_plpgsql_nodes(tree):
        if kind in _DYNAMIC or "dynquery" in value:
            query = value.get("query") or value.get("dynquery") or {}
            sql = query.get("PLpgSQL_expr", {}).get("query", "")
            message = f"EXECUTE {cut(sql, 60, mark='')}: dynamic SQL cannot be analyzed"
            context.report_issue(TenancyIssueKind.DYNAMIC, TenancyGrade.UNKNOWN, message.replace("  ", " "))
        elif kind == "PLpgSQL_expr":
            query, mode = value["query"], value.get("parseMode", _EMBEDDED)
            offset = _find_offset(text, query, position)
            position = position if offset is None else offset
            keeps = statement not in _STATEMENTS_WITHOUT_RESULT
            if mode == _EMBEDDED:
                yield from _parse_body(context, query, offset, is_result_kept=keeps)
            elif re.search(r"\bSELECT\b", query, re.IGNORECASE):
                # parsed as a query, its locations differ from those in the text
                expression = query if mode == _EXPRESSION else re.split(":?=", query, maxsplit=1)[-1]
                yield from _parse_body(context, f"SELECT {expression}", None, is_result_kept=keeps)


def _parse_plpgsql(text: str) -> Any:
    result = lib.pg_query_parse_plpgsql(text.encode())
    try:
        check_error(result)
        return json.loads(_BROKEN_JSON.sub("", result.plpgsql_funcs.decode()))
    finally:
        lib.pg_query_free_plpgsql_parse_result(result)


def _iter_plpgsql_nodes(value: Any, statement: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return the nodes in a body's parse tree by kind, with the kind of the enclosing statement."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict):
                if key.startswith("PLpgSQL_stmt_"):
                    statement = key if key != "PLpgSQL_stmt_execsql" or not inner.get("into") else f"{key}_into"
                yield statement, key, inner
            yield from _iter_plpgsql_nodes(inner, statement)
    elif isinstance(value, list):
        for inner in value:
            yield from _iter_plpgsql_nodes(inner, statement)
