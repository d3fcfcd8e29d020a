"""Nondeterminism in defining queries: columns or row selections that differ between runs.

Columns are traced by name through subqueries and common table expressions. If a name can refer to several columns, all
of them count, because the report lists needlessly skipped columns, whereas comparing a nondeterministic column produces
a false difference. View and function definitions are not analyzed, except for the declared volatility of functions.
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
"""Functions that are stable within a statement but return a different value in the next transaction or session."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function call in a query, with the number of its arguments."""

    schema: str | None
    name: str
    argument_count: int

    @property
    def is_stable_only(self) -> bool:
        """Whether the function is declared stable but returns a different value in the next transaction."""
        if self.schema not in (None, "pg_catalog"):
            return False
        return self.name in _STABLE_BUT_CHANGING or (self.name == "age" and self.argument_count == 1)


IsVolatile = Callable[[FunctionCall], bool]


def find_function_calls(statement: ParsedStatement) -> frozenset[FunctionCall]:
    """Return all functions that a query calls."""
    return frozenset(_parse_call(call) for call in find_nodes(statement.node, pb.FuncCall))


def nondeterministic_columns(statement: ParsedStatement, is_volatile: IsVolatile) -> dict[str, str]:
    """Return the result columns that differ between runs, by name, each with the function that causes it."""

    def changes(node: Any) -> str | None:
        if node.DESCRIPTOR.name == "SQLValueFunction":
            return str(pb.SQLValueFunctionOp.Name(node.op)).removeprefix("SVFOP_").removesuffix("_N")
        return _find_volatile_call(node, lambda called: called.is_stable_only or is_volatile(called))

    taint = _TaintAnalysis(statement.node, changes)
    first, *others = _set_operation_branches(statement.node)
    outputs = _select_targets(first)
    reasons = {name: reason for name, value in outputs if name and (reason := taint.find_reason(value))}
    for branch in others:
        # the names come from the first SELECT, whatever the names in the others
        for (name, _), (_, value) in zip(outputs, _select_targets(branch), strict=False):
            reason = taint.find_reason(value)
            if name and reason:
                reasons.setdefault(name, reason)
    if any(name == _ANY_COLUMN for branch in (first, *others) for name, _ in _select_targets(branch)):
        reasons |= taint.tainted_columns()
    return reasons


def nondeterministic_filter(statement: ParsedStatement, is_volatile: IsVolatile) -> tuple[str, int] | None:
    """Return the cause if the query selects different rows in each run, with the byte offset in the text; otherwise
    None. `placed_at > now() - interval '30 days'` is allowed, because such a window is meant to move.
    """
    taint = _TaintAnalysis(statement.node, lambda node: _find_volatile_call(node, is_volatile))
    for node in walk(statement.node):
        if node.DESCRIPTOR.name == "RangeTableSample" and not node.HasField("repeatable"):
            return "TABLESAMPLE", node.location
        if node.DESCRIPTOR.name == "SelectStmt":
            for clause in _row_choosing_parts(node):
                reason = taint.find_first(clause)
                if reason:
                    return reason
    return None


@dataclass(frozen=True, slots=True)
class _SubqueryColumn:
    """A column of a subquery or common table expression. The name is `*` if it stands for several columns."""

    alias: str
    name: str | None
    value: Any


class _TaintAnalysis:
    """Traces nondeterministic values through a query. `changes` returns the reason for a single node."""

    def __init__(self, query: Any, changes: Callable[[Any], str | None]) -> None:
        self._changes = changes
        self._outputs = list(_subquery_columns(query))
        self._tainted: dict[int, str] = {}
        while True:
            reasons = {
                number: reason
                for number, output in enumerate(self._outputs)
                if number not in self._tainted and (reason := self.find_reason(output.value))
            }
            if not reasons:
                break
            self._tainted |= reasons

    def find_reason(self, value: Any) -> str | None:
        """Return the cause if an expression is nondeterministic; otherwise None."""
        reason = self.find_first(value)
        return reason[0] if reason else None

    def find_first(self, value: Any) -> tuple[str, int] | None:
        """Return the cause if an expression is nondeterministic, with the byte offset in the text; otherwise None."""
        for node in walk(value):
            reason = self._changes(node) or self._column_reason(node)
            if reason:
                return reason, node.location
        return None

    def tainted_columns(self) -> dict[str, str]:
        """Return the nondeterministic inner columns and their causes, by name."""
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
        """Whether `qualifier.column` can be a column of `alias`, since a CTE can have a different alias in FROM."""
        names = [output.name for output in self._outputs if output.alias == qualifier]
        return qualifier == alias or not names or _ANY_COLUMN in names


def _find_volatile_call(node: Any, is_volatile: IsVolatile) -> str | None:
    if node.DESCRIPTOR.name != "FuncCall":
        return None
    call = _parse_call(node)
    return f"{call.name}()" if is_volatile(call) else None


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
    """Return the SELECTs of a UNION, INTERSECT, or EXCEPT; for other queries, the query itself."""
    if query.op == pb.SETOP_NONE:
        yield query
    else:
        yield from _set_operation_branches(query.larg)
        yield from _set_operation_branches(query.rarg)


def _select_targets(select: Any) -> list[tuple[str | None, Any]]:
    """Return the names and expressions in a SELECT list."""
    return [(_target_name(item.res_target), item.res_target.val) for item in select.target_list]


def _target_name(target: Any) -> str | None:
    value = target.val
    if value.WhichOneof("node") == "column_ref" and value.column_ref.fields[-1].WhichOneof("node") == "a_star":
        return _ANY_COLUMN
    return target.name or column_result_name(value)


def _row_choosing_parts(select: Any) -> Iterator[Any]:
    """Return the parts of a SELECT that determine which rows it returns: everything except the select list."""
    for name in ("where_clause", "having_clause", "limit_count", "limit_offset"):
        if select.HasField(name):
            yield getattr(select, name)
    yield from select.group_clause
    yield from (item for item in select.distinct_clause if item.WhichOneof("node"))
    if select.HasField("limit_count") or select.HasField("limit_offset"):
        yield from select.sort_clause
    yield from _from_conditions(select.from_clause)


def _from_conditions(clauses: Any) -> Iterator[Any]:
    """Return the join conditions and the functions in FROM."""
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
