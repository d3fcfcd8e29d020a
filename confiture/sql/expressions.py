"""Formatting of parse tree expressions as SQL.

This module formats the common forms of defaults and checks; libpg_query formats all other forms. libpg_query is ten
times slower, and a large schema contains ten thousand such expressions. A test compares the results of both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

from confiture.sql.parser import pb, postgast
from confiture.text import single_quote

# no keyword contains a digit or more than 20 characters
_NO_KEYWORD = re.compile(r"(?=.*[0-9]|.{21})[a-z_][a-z0-9_]*\Z")


class _UnsupportedExpression(Exception):
    """An expression that this module cannot format."""


def format_expression(node: Any) -> str:
    """Format a parse tree expression as SQL."""
    try:
        return _format_node(node)
    except _UnsupportedExpression:
        return _deparse(node)


@lru_cache(maxsize=1 << 14)
def quote_identifier(name: str) -> str:
    """Format a name as SQL, quoted if necessary."""
    return name if _NO_KEYWORD.match(name) else _quote_with_parser(name)


def quote_names(names: Iterable[str | None]) -> str:
    """Format a qualified name as SQL; empty parts are omitted."""
    return ".".join(quote_identifier(name) for name in names if name)


def _deparse(node: Any) -> str:
    select = pb.SelectStmt(target_list=[pb.Node(res_target=pb.ResTarget(val=node))])
    tree = pb.ParseResult(stmts=[pb.RawStmt(stmt=pb.Node(select_stmt=select))])
    return str(postgast.deparse(tree)).removeprefix("SELECT ")


@cache
def _quote_with_parser(name: str) -> str:
    return _deparse(pb.Node(column_ref=pb.ColumnRef(fields=[pb.Node(string=pb.String(sval=name))])))


@cache
def _format_function_name(names: tuple[str, ...]) -> str:
    call = pb.FuncCall(funcname=[pb.Node(string=pb.String(sval=name)) for name in names])
    call.funcformat = pb.COERCE_EXPLICIT_CALL
    text = _deparse(pb.Node(func_call=call))
    if not text.endswith("()"):
        raise _UnsupportedExpression
    return text.removesuffix("()")


@cache
def _format_type_name(names: tuple[str, ...], is_array: bool) -> str:
    type_ = pb.TypeName(names=[pb.Node(string=pb.String(sval=name)) for name in names], typemod=-1)
    if is_array:
        type_.array_bounds.add(integer=pb.Integer(ival=-1))
    null = pb.Node(a_const=pb.A_Const(isnull=True))
    text = _deparse(pb.Node(type_cast=pb.TypeCast(arg=null, type_name=type_)))
    if not text.startswith("NULL::"):
        raise _UnsupportedExpression
    return text.removeprefix("NULL::")


def _format_node(node: Any) -> str:
    kind = node.WhichOneof("node")
    writer = _WRITERS.get(kind)
    if writer is None:
        raise _UnsupportedExpression
    return writer(getattr(node, kind))


def _format_leaf(node: Any) -> str:
    """Format an expression that needs no parentheses inside another expression."""
    kind = node.WhichOneof("node")
    if kind not in _LEAVES:
        raise _UnsupportedExpression
    text = _WRITERS[kind](getattr(node, kind))
    if text.startswith("-"):
        raise _UnsupportedExpression
    return text


def _format_operand(node: Any) -> str:
    """Format an operand, in parentheses if it contains an operator."""
    kind = node.WhichOneof("node")
    if kind == "null_test" or (kind == "a_expr" and node.a_expr.kind == pb.AEXPR_OP and node.a_expr.HasField("lexpr")):
        return f"({_format_node(node)})"
    return _format_leaf(node)


def _format_constant(node: Any) -> str:
    kind = node.WhichOneof("val")
    if kind == "sval":
        text: str = node.sval.sval
        if "\\" in text:
            raise _UnsupportedExpression
        return single_quote(text)
    if kind == "ival":
        return str(node.ival.ival)
    if kind == "boolval":
        return "true" if node.boolval.boolval else "false"
    raise _UnsupportedExpression


def _format_column(node: Any) -> str:
    return ".".join([quote_identifier(name) for name in _name_parts(node.fields)])


def _format_call(node: Any) -> str:
    if (
        node.agg_order
        or node.HasField("agg_filter")
        or node.HasField("over")
        or node.agg_within_group
        or node.agg_star
        or node.agg_distinct
        or node.func_variadic
        or node.funcformat != pb.COERCE_EXPLICIT_CALL
    ):
        raise _UnsupportedExpression
    names = _name_parts(node.funcname)
    if names[0] == "pg_catalog":
        raise _UnsupportedExpression
    return f"{_format_function_name(names)}({', '.join(map(_format_leaf, node.args))})"


def _format_cast(node: Any) -> str:
    type_ = node.type_name
    bounds = type_.array_bounds
    if type_.typmods or type_.setof or type_.pct_type or len(bounds) > 1 or (bounds and bounds[0].integer.ival != -1):
        raise _UnsupportedExpression
    if node.arg.WhichOneof("node") not in ("a_const", "column_ref", "func_call"):
        raise _UnsupportedExpression
    names = _name_parts(type_.names)
    if names[-1] in _SPECIAL_TYPES:
        raise _UnsupportedExpression
    return f"{_format_leaf(node.arg)}::{_format_type_name(names, bool(bounds))}"


_SPECIAL_TYPES = ("bool", "bpchar", "interval")
"""Casts to these types are formatted differently depending on the argument."""


def _format_operation(node: Any) -> str:
    names = _name_parts(node.name)
    if len(names) > 1 or not node.HasField("lexpr"):
        raise _UnsupportedExpression
    if node.kind == pb.AEXPR_OP:
        return f"{_format_operand(node.lexpr)} {names[0]} {_format_operand(node.rexpr)}"
    if node.kind == pb.AEXPR_IN and node.rexpr.WhichOneof("node") == "list":
        word = "IN" if names[0] == "=" else "NOT IN"
        return f"{_format_leaf(node.lexpr)} {word} ({', '.join(map(_format_leaf, node.rexpr.list.items))})"
    raise _UnsupportedExpression


def _format_null_test(node: Any) -> str:
    # libpg_query omits these parentheses, and that changes the expression
    is_boolean = node.arg.WhichOneof("node") == "bool_expr"
    argument = f"({format_expression(node.arg)})" if is_boolean else _format_leaf(node.arg)
    return f"{argument} IS {'NULL' if node.nulltesttype == pb.IS_NULL else 'NOT NULL'}"


def _format_boolean(node: Any) -> str:
    if node.boolop == pb.AND_EXPR:
        return " AND ".join(map(_format_term, node.args))
    if node.boolop == pb.OR_EXPR:
        return " OR ".join(map(_format_term, node.args))
    raise _UnsupportedExpression


def _format_term(node: Any) -> str:
    kind = node.WhichOneof("node")
    if kind == "bool_expr" and node.bool_expr.boolop != pb.NOT_EXPR:
        return f"({_format_node(node)})"
    if kind not in ("a_expr", "null_test", "column_ref"):
        raise _UnsupportedExpression
    return _format_node(node)


def _format_value_function(node: Any) -> str:
    word = _VALUES.get(node.op)
    if word is None:
        raise _UnsupportedExpression
    return word


def _format_subquery(node: Any) -> str:
    """Format `(SELECT call())`, a common form in policies."""
    select = node.subselect.select_stmt
    if node.sub_link_type != pb.EXPR_SUBLINK or {field.name for field, _ in select.ListFields()} - _BARE_SELECT:
        raise _UnsupportedExpression
    (target,) = select.target_list if len(select.target_list) == 1 else (None,)
    if target is None or target.res_target.name or target.res_target.val.WhichOneof("node") != "func_call":
        raise _UnsupportedExpression
    return f"(SELECT {_format_node(target.res_target.val)})"


_BARE_SELECT = {"target_list", "limit_option", "op"}


def _name_parts(nodes: Any) -> tuple[str, ...]:
    names = tuple([node.string.sval for node in nodes])
    if "" in names:  # a star, or a subscript
        raise _UnsupportedExpression
    return names


_VALUES: Mapping[int, str] = {
    pb.SVFOP_CURRENT_DATE: "current_date",
    pb.SVFOP_CURRENT_TIMESTAMP: "current_timestamp",
    pb.SVFOP_CURRENT_USER: "current_user",
    pb.SVFOP_SESSION_USER: "session_user",
}


_WRITERS: Mapping[str, Callable[[Any], str]] = {
    "a_const": _format_constant,
    "column_ref": _format_column,
    "func_call": _format_call,
    "type_cast": _format_cast,
    "a_expr": _format_operation,
    "null_test": _format_null_test,
    "bool_expr": _format_boolean,
    "sqlvalue_function": _format_value_function,
    "sub_link": _format_subquery,
}
_LEAVES = frozenset({"a_const", "column_ref", "func_call", "type_cast", "sqlvalue_function", "sub_link"})
