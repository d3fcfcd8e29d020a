"""Reads a defining query: which of its columns come out anew each time, and whether the choice of its rows does.

Columns are followed by name through subqueries and common table expressions. Where a name could mean several columns,
all count: a column left out without need is named in the report, one compared without sense is told as a difference.
What views and functions do inside is not seen, but for how a function is declared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confiture.sql.parse_tree import ParsedStatement, column_result_name, pb, schema_and_name, strings
from confiture.sql.traversal import find_nodes, walk

_ANY_COLUMN = "*"
_STABLE_BUT_CHANGING = frozenset(
    {
        "current_setting",
        "inet_client_addr",
        "inet_client_port",
        "now",
        "pg_backend_pid",
        "pg_current_snapshot",
        "pg_current_xact_id",
        "pg_current_xact_id_if_assigned",
        "pg_postmaster_start_time",
        "statement_timestamp",
        "transaction_timestamp",
        "txid_current",
        "txid_current_if_assigned",
        "txid_current_snapshot",
    }
)
"""Stable within a statement, but others in the next transaction or session."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function as a query calls it, with the number of its arguments."""

    schema: str | None
    name: str
    argument_count: int

    @property
    def is_stable_only(self) -> bool:
        """Whether PostgreSQL calls it stable, and it gives something else in the next transaction."""
        if self.schema not in (None, "pg_catalog"):
            return False
        return self.name in _STABLE_BUT_CHANGING or (self.name == "age" and self.argument_count == 1)


IsVolatile = Callable[[FunctionCall], bool]


def find_function_calls(statement: ParsedStatement) -> frozenset[FunctionCall]:
    """All functions that a query calls."""
    return frozenset(_parse_call(call) for call in find_nodes(statement.node, pb.FuncCall))


def nondeterministic_columns(statement: ParsedStatement, is_volatile: IsVolatile) -> dict[str, str]:
    """The columns of the result that come out anew each time, by name, each with what it calls."""

    def changes(node: Any) -> str | None:
        if node.DESCRIPTOR.name == "SQLValueFunction":
            return str(pb.SQLValueFunctionOp.Name(node.op)).removeprefix("SVFOP_").removesuffix("_N")
        return _find_volatile_call(node, lambda called: called.is_stable_only or is_volatile(called))

    taint = _TaintAnalysis(statement.node, changes)
    first, *others = _set_operation_branches(statement.node)
    outputs = _select_targets(first)
    found = {name: reason for name, value in outputs if name and (reason := taint.find_reason(value))}
    for branch in others:
        # the names are those of the first SELECT, whatever the others call theirs
        for (name, _), (_, value) in zip(outputs, _select_targets(branch), strict=False):
            reason = taint.find_reason(value)
            if name and reason:
                found.setdefault(name, reason)
    if any(name == _ANY_COLUMN for branch in (first, *others) for name, _ in _select_targets(branch)):
        found |= taint.tainted_columns()
    return found


def nondeterministic_filter(statement: ParsedStatement, is_volatile: IsVolatile) -> tuple[str, int] | None:
    """What makes the query choose other rows each time, with its byte in the text; None where nothing does.

    `placed_at > now() - interval '30 days'` is meant to move, and may stand there.
    """
    taint = _TaintAnalysis(statement.node, lambda node: _find_volatile_call(node, is_volatile))
    for node in walk(statement.node):
        if node.DESCRIPTOR.name == "RangeTableSample" and not node.HasField("repeatable"):
            return "TABLESAMPLE", node.location
        if node.DESCRIPTOR.name == "SelectStmt":
            for clause in _row_choosing_parts(node):
                found = taint.find_first(clause)
                if found:
                    return found
    return None


@dataclass(frozen=True, slots=True)
class _SubqueryColumn:
    """A column of a subquery or common table expression; its name is `*` where it stands for several."""

    alias: str
    name: str | None
    value: Any


class _TaintAnalysis:
    """Follows through a query what comes out anew each time. `changes` tells it of single nodes."""

    def __init__(self, query: Any, changes: Callable[[Any], str | None]) -> None:
        self._changes = changes
        self._outputs = list(_subquery_columns(query))
        self._tainted: dict[int, str] = {}
        while True:
            found = {
                number: reason
                for number, output in enumerate(self._outputs)
                if number not in self._tainted and (reason := self.find_reason(output.value))
            }
            if not found:
                break
            self._tainted |= found

    def find_reason(self, value: Any) -> str | None:
        """What makes an expression come out anew each time; None where nothing does."""
        found = self.find_first(value)
        return found[0] if found else None

    def find_first(self, value: Any) -> tuple[str, int] | None:
        """The same with its byte in the text."""
        for node in walk(value):
            reason = self._changes(node) or self._column_reason(node)
            if reason:
                return reason, node.location
        return None

    def tainted_columns(self) -> dict[str, str]:
        """The inner columns that do, by name."""
        return {name: reason for number, reason in self._tainted.items() if (name := self._outputs[number].name)}

    def _column_reason(self, node: Any) -> str | None:
        if node.DESCRIPTOR.name != "ColumnRef" or node.fields[-1].WhichOneof("node") != "string":
            return None
        parts = strings(node.fields)
        for number, reason in self._tainted.items():
            output = self._outputs[number]
            if output.name == parts[-1] and (len(parts) == 1 or self._can_refer_to(parts[-2], output.alias)):
                return reason
        return None

    def _can_refer_to(self, qualifier: str, alias: str) -> bool:
        """Whether `qualifier.column` may be a column of `alias`: what a WITH calls it, FROM may call otherwise."""
        named = [output.name for output in self._outputs if output.alias == qualifier]
        return qualifier == alias or not named or _ANY_COLUMN in named


def _find_volatile_call(node: Any, is_volatile: IsVolatile) -> str | None:
    if node.DESCRIPTOR.name != "FuncCall":
        return None
    called = _parse_call(node)
    return f"{called.name}()" if is_volatile(called) else None


def _subquery_columns(query: Any) -> Iterator[_SubqueryColumn]:
    for node in walk(query):
        kind = node.DESCRIPTOR.name
        if kind == "CommonTableExpr" and node.ctequery.WhichOneof("node") == "select_stmt":
            yield from _rename_outputs(node.ctequery.select_stmt, node.ctename, strings(node.aliascolnames))
        elif kind == "RangeSubselect" and node.subquery.WhichOneof("node") == "select_stmt":
            yield from _rename_outputs(node.subquery.select_stmt, node.alias.aliasname, strings(node.alias.colnames))


def _rename_outputs(query: Any, alias: str, new_names: Sequence[str]) -> Iterator[_SubqueryColumn]:
    first, *others = _set_operation_branches(query)
    outputs = _select_targets(first)
    for branch in (first, *others):
        for position, (name, value) in enumerate(_select_targets(branch)):
            name = outputs[position][0] if position < len(outputs) else name
            yield _SubqueryColumn(alias, new_names[position] if position < len(new_names) else name, value)


def _set_operation_branches(query: Any) -> Iterator[Any]:
    """The SELECTs of a UNION, INTERSECT or EXCEPT; else the one there is."""
    if query.op == pb.SETOP_NONE:
        yield query
    else:
        yield from _set_operation_branches(query.larg)
        yield from _set_operation_branches(query.rarg)


def _select_targets(select: Any) -> list[tuple[str | None, Any]]:
    """The names and expressions of a SELECT's list."""
    return [(_target_name(item.res_target), item.res_target.val) for item in select.target_list]


def _target_name(target: Any) -> str | None:
    value = target.val
    if value.WhichOneof("node") == "column_ref" and value.column_ref.fields[-1].WhichOneof("node") == "a_star":
        return _ANY_COLUMN
    return target.name or column_result_name(value)


def _row_choosing_parts(select: Any) -> Iterator[Any]:
    """What of a SELECT decides which rows it gives: all but its list of columns."""
    for name in ("where_clause", "having_clause", "limit_count", "limit_offset"):
        if select.HasField(name):
            yield getattr(select, name)
    yield from select.group_clause
    yield from (item for item in select.distinct_clause if item.WhichOneof("node"))
    if select.HasField("limit_count") or select.HasField("limit_offset"):
        yield from select.sort_clause
    yield from _from_conditions(select.from_clause)


def _from_conditions(clauses: Any) -> Iterator[Any]:
    """The conditions of joins, and functions that are read as tables."""
    for item in clauses:
        kind = item.WhichOneof("node")
        if kind == "join_expr":
            if item.join_expr.HasField("quals"):
                yield item.join_expr.quals
            yield from _from_conditions((item.join_expr.larg, item.join_expr.rarg))
        elif kind == "range_function":
            yield item


def _parse_call(call: Any) -> FunctionCall:
    schema, name = schema_and_name(call.funcname)
    return FunctionCall(schema, name, len(call.args))
