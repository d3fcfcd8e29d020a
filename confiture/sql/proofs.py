"""Facts proved by CHECK constraints, which save PostgreSQL a table scan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from confiture.models.catalog import ConstraintKind, Table
from confiture.sql.nullability import not_null_columns
from confiture.sql.parse_tree import flatten_and, parse_expression, pb, strings
from confiture.sql.parser import postgast
from confiture.sql.tristate import Tristate

_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?")
_KEY = re.compile(r"\s*(list|range|hash)\s*\(\s*(\"[^\"]+\"|[\w$]+)\s*\)\s*", re.IGNORECASE)


def is_proved_not_null(table: Table, column: str) -> bool:
    """Whether a column is certain to contain no nulls, because it is NOT NULL or a validated CHECK proves it."""
    definition = table.column(column)
    if definition and definition.not_null:
        return True
    return any(column in not_null_columns(conjunct) for conjunct in _find_facts(table))


def implies_partition_bound(table: Table, partition_key: str | None, bound: Any) -> Tristate:
    """Return whether the rows of a table are certain to be within a partition's bound.

    UNKNOWN if a validated CHECK reads the key in an unsupported form, such as keys with several columns, functions, or
    unusual types.
    """
    column = key_column(partition_key)
    if column is None or bound.is_default:
        return Tristate.UNKNOWN if any(_find_facts(table)) else Tristate.NO
    checks = [one for one in table.constraints if one.kind is ConstraintKind.CHECK and one.validated]
    if not any(column in one.columns for one in checks):
        return Tristate.NO
    if not is_proved_not_null(table, column):
        return Tristate.NO
    definition = table.column(column)
    type_name = definition.type if definition else ""
    facts = [fact for conjunct in _find_facts(table) for fact in _column_facts(conjunct, column, type_name)]
    return Tristate.YES if _is_within(facts, bound, type_name) else Tristate.UNKNOWN


def key_column(partition_key: str | None) -> str | None:
    """Return the column of a partition key if the key is a single column; otherwise None."""
    match = _KEY.fullmatch(partition_key or "")
    if match is None:
        return None
    name = match[2]
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def split_and(expression: str) -> Iterator[Any]:
    """Return the parts of a condition that must all be true."""
    try:
        condition = parse_expression(expression)
    except postgast.PgQueryError:
        return
    yield from flatten_and(condition)


def find_column_name(node: Any) -> str | None:
    """Return the column that a node refers to, ignoring casts; None for other nodes."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    if node.WhichOneof("node") != "column_ref" or not node.column_ref.fields:
        return None
    return str(node.column_ref.fields[-1].string.sval)


def find_constant_text(node: Any) -> str | None:
    """Return the text of a constant node, ignoring casts; None for other nodes."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    if node.WhichOneof("node") != "a_const" or node.a_const.isnull:
        return None
    kind = node.a_const.WhichOneof("val")
    value = getattr(node.a_const, kind)
    return str(getattr(value, kind))


def _find_facts(table: Table) -> Iterator[Any]:
    for constraint in table.constraints:
        if constraint.kind is ConstraintKind.CHECK and constraint.validated and constraint.expression:
            yield from split_and(constraint.expression)


_SWAPPED_OPERATORS = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "="}
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})


class _BoundValue(NamedTuple):
    """A constant: its text, and its sort key among constants of the same type (None if unknown)."""

    text: str
    rank: Decimal | str | None


@dataclass(frozen=True, slots=True)
class _KeyFact:
    """A fact about the key: it compares with a single value (`<` and so on), or it is one of several values (`in`)."""

    operator: str
    values: tuple[_BoundValue, ...]


def _make_value(text: str, type_name: str) -> _BoundValue:
    if type_name.startswith(("date", "timestamp")) and _ISO.fullmatch(text):
        day, _, time = text.replace("T", " ").partition(" ")
        return _BoundValue(text, f"{day} {time or '00:00'}")
    if type_name.split("(")[0] in _NUMBERS:
        try:
            return _BoundValue(text, Decimal(text))
        except InvalidOperation:
            return _BoundValue(text, None)
    return _BoundValue(text, None)


def _column_facts(node: Any, column: str, type_name: str) -> Iterator[_KeyFact]:
    """Return the facts about a column that a condition implies."""
    if node.WhichOneof("node") != "a_expr":
        return
    left, right, operator = node.a_expr.lexpr, node.a_expr.rexpr, strings(node.a_expr.name)[-1]
    if node.a_expr.kind == pb.AEXPR_OP and find_column_name(right) == column:
        left, right, operator = right, left, _SWAPPED_OPERATORS.get(operator, "")
    if find_column_name(left) != column:
        return
    items = right.list.items or right.a_array_expr.elements or (right,)
    texts = [find_constant_text(item) for item in items]
    values = tuple(_make_value(text, type_name) for text in texts if text is not None)
    if not values or len(values) < len(texts):
        return
    if node.a_expr.kind == pb.AEXPR_BETWEEN:
        yield _KeyFact(">=", values[:1])
        yield _KeyFact("<=", values[1:])
    elif operator == "=" and node.a_expr.kind in (pb.AEXPR_OP, pb.AEXPR_IN, pb.AEXPR_OP_ANY):
        yield _KeyFact("in", values)
    elif operator in _SWAPPED_OPERATORS and node.a_expr.kind == pb.AEXPR_OP:
        yield _KeyFact(operator, values)


def _is_within(facts: list[_KeyFact], bound: Any, type_name: str) -> bool:
    if bound.strategy == "l":
        allowed = {find_constant_text(datum) for datum in bound.listdatums}
        return any(fact.operator == "in" and {value.text for value in fact.values} <= allowed for fact in facts)
    if bound.strategy != "r":
        return False
    lower, upper = _range_end(bound.lowerdatums, type_name), _range_end(bound.upperdatums, type_name)
    above = lower is None or any(_is_above(fact, lower) for fact in facts)
    below = upper is None or any(_is_below(fact, upper) for fact in facts)
    return above and below


def _range_end(datums: Any, type_name: str) -> _BoundValue | None:
    """Return the constant at one end of a range; None if the range is unbounded."""
    if not datums or find_column_name(datums[0]) in ("minvalue", "maxvalue"):
        return None
    return _make_value(find_constant_text(datums[0]) or "?", type_name)


def _is_above(fact: _KeyFact, end: _BoundValue) -> bool:
    """Whether a fact allows only values at or above the lower end of a range."""
    if fact.operator not in (">", ">=", "in"):
        return False
    return all(value.text == end.text or _compare(value, end) > 0 for value in fact.values)


def _is_below(fact: _KeyFact, end: _BoundValue) -> bool:
    """Whether a fact allows only values below the upper end of a range."""
    if fact.operator not in ("<", "<=", "in"):
        return False
    on_the_end = fact.operator == "<"
    return all((on_the_end and value.text == end.text) or _compare(value, end) < 0 for value in fact.values)


def _compare(value: _BoundValue, other_value: _BoundValue) -> int:
    """Return a negative or positive number if the first value is less or greater than the second; otherwise, or if
    unknown, 0.
    """
    if isinstance(value.rank, Decimal) and isinstance(other_value.rank, Decimal):
        return int(value.rank > other_value.rank) - int(value.rank < other_value.rank)
    if isinstance(value.rank, str) and isinstance(other_value.rank, str):
        return int(value.rank > other_value.rank) - int(value.rank < other_value.rank)
    return 0
