"""Columns that a condition proves to be NOT NULL, in the forms that PostgreSQL itself recognizes."""

from __future__ import annotations

from typing import Any

from confiture.sql.parse_tree import pb


def not_null_columns(condition: Any) -> frozenset[str]:
    """Return the columns that cannot be NULL if a condition is not false."""
    if condition.WhichOneof("node") == "bool_expr":
        parts = condition.bool_expr.args
        if condition.bool_expr.boolop == pb.AND_EXPR:
            return frozenset().union(*map(not_null_columns, parts))
        return _null_columns(parts[0]) if condition.bool_expr.boolop == pb.NOT_EXPR else frozenset()
    return _tested_column(condition, pb.IS_NOT_NULL, pb.AEXPR_DISTINCT)


def _null_columns(condition: Any) -> frozenset[str]:
    """Return the columns that each make a condition true if NULL."""
    if condition.WhichOneof("node") == "bool_expr":
        parts = condition.bool_expr.args
        if condition.bool_expr.boolop == pb.OR_EXPR:
            return frozenset().union(*map(_null_columns, parts))
        return not_null_columns(parts[0]) if condition.bool_expr.boolop == pb.NOT_EXPR else frozenset()
    return _tested_column(condition, pb.IS_NULL, pb.AEXPR_NOT_DISTINCT)


def _tested_column(condition: Any, null_test: Any, comparison: Any) -> frozenset[str]:
    """Return the column of `IS [NOT] NULL` or `IS [NOT] DISTINCT FROM NULL`; none with a cast, which proves nothing."""
    kind = condition.WhichOneof("node")
    if kind == "null_test" and condition.null_test.nulltesttype == null_test:
        return _column_name(condition.null_test.arg)
    if kind == "a_expr" and condition.a_expr.kind == comparison:
        left, right = condition.a_expr.lexpr, condition.a_expr.rexpr
        if right.a_const.isnull:
            return _column_name(left)
        if left.a_const.isnull:
            return _column_name(right)
    return frozenset()


def _column_name(node: Any) -> frozenset[str]:
    fields = node.column_ref.fields
    return frozenset({str(fields[-1].string.sval)}) if fields else frozenset()
