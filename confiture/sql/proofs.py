"""What CHECK constraints prove, so that PostgreSQL need not read the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from confiture.models.catalog import ConstraintKind, Table
from confiture.sql.answers import Answer
from confiture.sql.grammar import postgast
from confiture.sql.nullness import not_null_columns
from confiture.sql.tree import expression_of, flatten_and, pb, strings

_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?")
_KEY = re.compile(r"\s*(list|range|hash)\s*\(\s*(\"[^\"]+\"|[\w$]+)\s*\)\s*", re.IGNORECASE)


def proves_not_null(table: Table, column: str) -> bool:
    """Whether a column holds no NULL for sure: it is NOT NULL, or a validated CHECK says so."""
    found = table.column(column)
    if found and found.not_null:
        return True
    return any(column in not_null_columns(conjunct) for conjunct in _facts(table))


def proves_bound(table: Table, partition_key: str | None, bound: Any) -> Answer:
    """Whether the rows of a table fit a partition's bound for sure.

    MAYBE where a validated CHECK reads the key and we cannot follow it: keys of several columns, functions, odd types.
    """
    column = key_column(partition_key)
    if column is None or bound.is_default:
        return Answer.MAYBE if any(_facts(table)) else Answer.NO
    checks = [one for one in table.constraints if one.kind is ConstraintKind.CHECK and one.validated]
    if not any(column in one.columns for one in checks):
        return Answer.NO
    if not proves_not_null(table, column):
        return Answer.NO
    found = table.column(column)
    type_name = found.type if found else ""
    facts = [fact for conjunct in _facts(table) for fact in _said(conjunct, column, type_name)]
    return Answer.YES if _within(facts, bound, type_name) else Answer.MAYBE


def key_column(partition_key: str | None) -> str | None:
    """The column of a partition key that is a single column."""
    match = _KEY.fullmatch(partition_key or "")
    if match is None:
        return None
    written = match[2]
    return written[1:-1].replace('""', '"') if written.startswith('"') else written.lower()


def conjuncts(expression: str) -> Iterator[Any]:
    """The parts of a condition that all must hold."""
    try:
        condition = expression_of(expression)
    except postgast.PgQueryError:
        return
    yield from flatten_and(condition)


def column_of(node: Any) -> str | None:
    """The column that a node is, through casts; None where it is something else."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    if node.WhichOneof("node") != "column_ref" or not node.column_ref.fields:
        return None
    return str(node.column_ref.fields[-1].string.sval)


def constant_of(node: Any) -> str | None:
    """The text of the constant that a node is, through casts; None where it is something else."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    if node.WhichOneof("node") != "a_const" or node.a_const.isnull:
        return None
    kind = node.a_const.WhichOneof("val")
    value = getattr(node.a_const, kind)
    return str(getattr(value, kind))


def _facts(table: Table) -> Iterator[Any]:
    for constraint in table.constraints:
        if constraint.kind is ConstraintKind.CHECK and constraint.validated and constraint.expression:
            yield from conjuncts(constraint.expression)


_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "="}
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})


class _Value(NamedTuple):
    """A constant: its text, and by what constants of its type are in order; None where that is not known."""

    text: str
    rank: Decimal | str | None


@dataclass(frozen=True, slots=True)
class _Fact:
    """What a condition says of the key: it is `<` (and so on) its only value, or one of its values (`in`)."""

    operator: str
    values: tuple[_Value, ...]


def _value(text: str, type_name: str) -> _Value:
    if type_name.startswith(("date", "timestamp")) and _ISO.fullmatch(text):
        day, _, time = text.replace("T", " ").partition(" ")
        return _Value(text, f"{day} {time or '00:00'}")
    if type_name.split("(")[0] in _NUMBERS:
        try:
            return _Value(text, Decimal(text))
        except InvalidOperation:
            return _Value(text, None)
    return _Value(text, None)


def _said(node: Any, column: str, type_name: str) -> Iterator[_Fact]:
    """What a condition says of a column."""
    if node.WhichOneof("node") != "a_expr":
        return
    left, right, operator = node.a_expr.lexpr, node.a_expr.rexpr, strings(node.a_expr.name)[-1]
    if node.a_expr.kind == pb.AEXPR_OP and column_of(right) == column:
        left, right, operator = right, left, _TURNED.get(operator, "")
    if column_of(left) != column:
        return
    items = right.list.items or right.a_array_expr.elements or (right,)
    texts = [constant_of(item) for item in items]
    values = tuple(_value(text, type_name) for text in texts if text is not None)
    if not values or len(values) < len(texts):
        return
    if node.a_expr.kind == pb.AEXPR_BETWEEN:
        yield _Fact(">=", values[:1])
        yield _Fact("<=", values[1:])
    elif operator == "=" and node.a_expr.kind in (pb.AEXPR_OP, pb.AEXPR_IN, pb.AEXPR_OP_ANY):
        yield _Fact("in", values)
    elif operator in _TURNED and node.a_expr.kind == pb.AEXPR_OP:
        yield _Fact(operator, values)


def _within(facts: list[_Fact], bound: Any, type_name: str) -> bool:
    if bound.strategy == "l":
        allowed = {constant_of(datum) for datum in bound.listdatums}
        return any(fact.operator == "in" and {value.text for value in fact.values} <= allowed for fact in facts)
    if bound.strategy != "r":
        return False
    lower, upper = _end(bound.lowerdatums, type_name), _end(bound.upperdatums, type_name)
    above = lower is None or any(_is_above(fact, lower) for fact in facts)
    below = upper is None or any(_is_below(fact, upper) for fact in facts)
    return above and below


def _end(datums: Any, type_name: str) -> _Value | None:
    """The constant at one end of a range; None where it is open."""
    if not datums or column_of(datums[0]) in ("minvalue", "maxvalue"):
        return None
    return _value(constant_of(datums[0]) or "?", type_name)


def _is_above(fact: _Fact, end: _Value) -> bool:
    """Whether all that a fact allows is at the lower end of a range or above it."""
    if fact.operator not in (">", ">=", "in"):
        return False
    return all(value.text == end.text or _order(value, end) > 0 for value in fact.values)


def _is_below(fact: _Fact, end: _Value) -> bool:
    """Whether all that a fact allows is below the upper end of a range."""
    if fact.operator not in ("<", "<=", "in"):
        return False
    on_the_end = fact.operator == "<"
    return all((on_the_end and value.text == end.text) or _order(value, end) < 0 for value in fact.values)


def _order(one: _Value, other: _Value) -> int:
    """Below 0 or above 0 as one is less or greater than the other; 0 also where nobody knows."""
    if isinstance(one.rank, Decimal) and isinstance(other.rank, Decimal):
        return int(one.rank > other.rank) - int(one.rank < other.rank)
    if isinstance(one.rank, str) and isinstance(other.rank, str):
        return int(one.rank > other.rank) - int(one.rank < other.rank)
    return 0
