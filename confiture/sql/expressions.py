"""Expressions of the tree as SQL. What defaults and checks mostly are is written here; the rest libpg_query writes.

libpg_query needs ten times as long, and a large schema has ten thousand such expressions. A test holds both against
each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from confiture.sql.grammar import pb, postgast

# no keyword has a digit, or more than 20 characters
_NO_KEYWORD = re.compile(r"(?=.*[0-9]|.{21})[a-z_][a-z0-9_]*\Z")


class _Unknown(Exception):
    """An expression that is not written here."""


def expression_text(node: Any) -> str:
    """An expression of the tree as SQL."""
    try:
        return _text(node)
    except _Unknown:
        return _deparsed(node)


@lru_cache(maxsize=1 << 14)
def identifier(name: str) -> str:
    """A name as SQL writes it: quoted where it must be."""
    return name if _NO_KEYWORD.match(name) else _identifier(name)


def _deparsed(node: Any) -> str:
    select = pb.SelectStmt(target_list=[pb.Node(res_target=pb.ResTarget(val=node))])
    tree = pb.ParseResult(stmts=[pb.RawStmt(stmt=pb.Node(select_stmt=select))])
    return str(postgast.deparse(tree)).removeprefix("SELECT ")


@cache
def _identifier(name: str) -> str:
    return _deparsed(pb.Node(column_ref=pb.ColumnRef(fields=[pb.Node(string=pb.String(sval=name))])))


@cache
def _function_name(names: tuple[str, ...]) -> str:
    call = pb.FuncCall(funcname=[pb.Node(string=pb.String(sval=name)) for name in names])
    call.funcformat = pb.COERCE_EXPLICIT_CALL
    text = _deparsed(pb.Node(func_call=call))
    if not text.endswith("()"):
        raise _Unknown
    return text.removesuffix("()")


@cache
def _type_name(names: tuple[str, ...], is_array: bool) -> str:
    type_ = pb.TypeName(names=[pb.Node(string=pb.String(sval=name)) for name in names], typemod=-1)
    if is_array:
        type_.array_bounds.add(integer=pb.Integer(ival=-1))
    null = pb.Node(a_const=pb.A_Const(isnull=True))
    text = _deparsed(pb.Node(type_cast=pb.TypeCast(arg=null, type_name=type_)))
    if not text.startswith("NULL::"):
        raise _Unknown
    return text.removeprefix("NULL::")


def _text(node: Any) -> str:
    kind = node.WhichOneof("node")
    writer = _WRITERS.get(kind)
    if writer is None:
        raise _Unknown
    return writer(getattr(node, kind))


def _leaf(node: Any) -> str:
    """An expression that needs no parentheses as part of another."""
    kind = node.WhichOneof("node")
    if kind not in _LEAVES:
        raise _Unknown
    text = _WRITERS[kind](getattr(node, kind))
    if text.startswith("-"):
        raise _Unknown
    return text


def _operand(node: Any) -> str:
    """A side of an operator, in parentheses where it has an operator itself."""
    kind = node.WhichOneof("node")
    if kind == "null_test" or (kind == "a_expr" and node.a_expr.kind == pb.AEXPR_OP and node.a_expr.HasField("lexpr")):
        return f"({_text(node)})"
    return _leaf(node)


def _constant(node: Any) -> str:
    kind = node.WhichOneof("val")
    if kind == "sval":
        text: str = node.sval.sval
        if "\\" in text:
            raise _Unknown
        return "'" + text.replace("'", "''") + "'"
    if kind == "ival":
        return str(node.ival.ival)
    if kind == "boolval":
        return "true" if node.boolval.boolval else "false"
    raise _Unknown


def _column(node: Any) -> str:
    return ".".join([identifier(name) for name in _names(node.fields)])


def _call(node: Any) -> str:
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
        raise _Unknown
    names = _names(node.funcname)
    if names[0] == "pg_catalog":
        raise _Unknown
    return f"{_function_name(names)}({', '.join(map(_leaf, node.args))})"


def _cast(node: Any) -> str:
    type_ = node.type_name
    bounds = type_.array_bounds
    if type_.typmods or type_.setof or type_.pct_type or len(bounds) > 1 or (bounds and bounds[0].integer.ival != -1):
        raise _Unknown
    if node.arg.WhichOneof("node") not in ("a_const", "column_ref", "func_call"):
        raise _Unknown
    names = _names(type_.names)
    if names[-1] in _SPECIAL_TYPES:
        raise _Unknown
    return f"{_leaf(node.arg)}::{_type_name(names, bool(bounds))}"


_SPECIAL_TYPES = ("bool", "bpchar", "interval")
"""Casts to these are written in other ways, depending on what is cast."""


def _operation(node: Any) -> str:
    names = _names(node.name)
    if len(names) > 1 or not node.HasField("lexpr"):
        raise _Unknown
    if node.kind == pb.AEXPR_OP:
        return f"{_operand(node.lexpr)} {names[0]} {_operand(node.rexpr)}"
    if node.kind == pb.AEXPR_IN and node.rexpr.WhichOneof("node") == "list":
        word = "IN" if names[0] == "=" else "NOT IN"
        return f"{_leaf(node.lexpr)} {word} ({', '.join(map(_leaf, node.rexpr.list.items))})"
    raise _Unknown


def _null_test(node: Any) -> str:
    # libpg_query leaves these parentheses out, which makes another expression of it
    is_boolean = node.arg.WhichOneof("node") == "bool_expr"
    tested = f"({expression_text(node.arg)})" if is_boolean else _leaf(node.arg)
    return f"{tested} IS {'NULL' if node.nulltesttype == pb.IS_NULL else 'NOT NULL'}"


def _boolean(node: Any) -> str:
    if node.boolop == pb.AND_EXPR:
        return " AND ".join(map(_term, node.args))
    if node.boolop == pb.OR_EXPR:
        return " OR ".join(map(_term, node.args))
    raise _Unknown


def _term(node: Any) -> str:
    kind = node.WhichOneof("node")
    if kind == "bool_expr" and node.bool_expr.boolop != pb.NOT_EXPR:
        return f"({_text(node)})"
    if kind not in ("a_expr", "null_test", "column_ref"):
        raise _Unknown
    return _text(node)


def _value(node: Any) -> str:
    word = _VALUES.get(node.op)
    if word is None:
        raise _Unknown
    return word


def _subquery(node: Any) -> str:
    """`(SELECT call())`, as policies have it."""
    select = node.subselect.select_stmt
    if node.sub_link_type != pb.EXPR_SUBLINK or {field.name for field, _ in select.ListFields()} - _BARE_SELECT:
        raise _Unknown
    (target,) = select.target_list if len(select.target_list) == 1 else (None,)
    if target is None or target.res_target.name or target.res_target.val.WhichOneof("node") != "func_call":
        raise _Unknown
    return f"(SELECT {_text(target.res_target.val)})"


_BARE_SELECT = {"target_list", "limit_option", "op"}


def _names(nodes: Any) -> tuple[str, ...]:
    names = tuple([node.string.sval for node in nodes])
    if "" in names:  # a star, or a subscript
        raise _Unknown
    return names


_VALUES: Mapping[int, str] = {
    pb.SVFOP_CURRENT_DATE: "current_date",
    pb.SVFOP_CURRENT_TIMESTAMP: "current_timestamp",
    pb.SVFOP_CURRENT_USER: "current_user",
    pb.SVFOP_SESSION_USER: "session_user",
}


_WRITERS: Mapping[str, Callable[[Any], str]] = {
    "a_const": _constant,
    "column_ref": _column,
    "func_call": _call,
    "type_cast": _cast,
    "a_expr": _operation,
    "null_test": _null_test,
    "bool_expr": _boolean,
    "sqlvalue_function": _value,
    "sub_link": _subquery,
}
_LEAVES = frozenset({"a_const", "column_ref", "func_call", "type_cast", "sqlvalue_function", "sub_link"})
