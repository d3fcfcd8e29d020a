"""Reads a defining query: which of its columns come out anew each time, and whether the choice of its rows does.

Columns are followed by name through subqueries and common table expressions. Where a name could mean several columns,
all count: a column left out without need is named in the report, one compared without sense is told as a difference.
What views and functions do inside is not seen, but for how a function is declared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confiture.sql.tree import ParsedStatement, names, pb, result_name, strings
from confiture.sql.walking import nodes_of, walk

_ANY = "*"
_CLOCK = frozenset(
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
class Called:
    """A function as a query calls it, with the number of its arguments."""

    schema: str | None
    name: str
    arguments: int

    @property
    def changes_later(self) -> bool:
        """Whether PostgreSQL calls it stable, and it gives something else in the next transaction."""
        if self.schema not in (None, "pg_catalog"):
            return False
        return self.name in _CLOCK or (self.name == "age" and self.arguments == 1)


IsVolatile = Callable[[Called], bool]


def functions_called(statement: ParsedStatement) -> frozenset[Called]:
    """All functions that a query calls."""
    return frozenset(_called(call) for call in nodes_of(statement.node, pb.FuncCall))


def unsteady_columns(statement: ParsedStatement, is_volatile: IsVolatile) -> dict[str, str]:
    """The columns of the result that come out anew each time, by name, each with what it calls."""

    def changes(node: Any) -> str | None:
        if node.DESCRIPTOR.name == "SQLValueFunction":
            return str(pb.SQLValueFunctionOp.Name(node.op)).removeprefix("SVFOP_").removesuffix("_N")
        return _volatile_call(node, lambda called: called.changes_later or is_volatile(called))

    taint = _Taint(statement.node, changes)
    first, *others = _branches(statement.node)
    outputs = _targets(first)
    found = {name: reason for name, value in outputs if name and (reason := taint.reason(value))}
    for branch in others:
        # the names are those of the first SELECT, whatever the others call theirs
        for (name, _), (_, value) in zip(outputs, _targets(branch), strict=False):
            reason = taint.reason(value)
            if name and reason:
                found.setdefault(name, reason)
    if any(name == _ANY for branch in (first, *others) for name, _ in _targets(branch)):
        found |= taint.inner_names()
    return found


def unsteady_rows(statement: ParsedStatement, is_volatile: IsVolatile) -> tuple[str, int] | None:
    """What makes the query choose other rows each time, with its byte in the text; None where nothing does.

    `placed_at > now() - interval '30 days'` is meant to move, and may stand there.
    """
    taint = _Taint(statement.node, lambda node: _volatile_call(node, is_volatile))
    for node in walk(statement.node):
        if node.DESCRIPTOR.name == "RangeTableSample" and not node.HasField("repeatable"):
            return "TABLESAMPLE", node.location
        if node.DESCRIPTOR.name == "SelectStmt":
            for clause in _choosing(node):
                found = taint.first(clause)
                if found:
                    return found
    return None


@dataclass(frozen=True, slots=True)
class _Output:
    """A column of a subquery or common table expression; its name is `*` where it stands for several."""

    alias: str
    name: str | None
    value: Any


class _Taint:
    """Follows through a query what comes out anew each time. `changes` tells it of single nodes."""

    def __init__(self, query: Any, changes: Callable[[Any], str | None]) -> None:
        self._changes = changes
        self._outputs = list(_outputs(query))
        self._tainted: dict[int, str] = {}
        while True:
            found = {
                number: reason
                for number, output in enumerate(self._outputs)
                if number not in self._tainted and (reason := self.reason(output.value))
            }
            if not found:
                break
            self._tainted |= found

    def reason(self, value: Any) -> str | None:
        """What makes an expression come out anew each time; None where nothing does."""
        found = self.first(value)
        return found[0] if found else None

    def first(self, value: Any) -> tuple[str, int] | None:
        """The same with its byte in the text."""
        for node in walk(value):
            reason = self._changes(node) or self._of_column(node)
            if reason:
                return reason, node.location
        return None

    def inner_names(self) -> dict[str, str]:
        """The inner columns that do, by name."""
        return {name: reason for number, reason in self._tainted.items() if (name := self._outputs[number].name)}

    def _of_column(self, node: Any) -> str | None:
        if node.DESCRIPTOR.name != "ColumnRef" or node.fields[-1].WhichOneof("node") != "string":
            return None
        parts = strings(node.fields)
        for number, reason in self._tainted.items():
            output = self._outputs[number]
            if output.name == parts[-1] and (len(parts) == 1 or self._may_mean(parts[-2], output.alias)):
                return reason
        return None

    def _may_mean(self, qualifier: str, alias: str) -> bool:
        """Whether `qualifier.column` may be a column of `alias`: what a WITH calls it, FROM may call otherwise."""
        named = [output.name for output in self._outputs if output.alias == qualifier]
        return qualifier == alias or not named or _ANY in named


def _volatile_call(node: Any, is_volatile: IsVolatile) -> str | None:
    if node.DESCRIPTOR.name != "FuncCall":
        return None
    called = _called(node)
    return f"{called.name}()" if is_volatile(called) else None


def _outputs(query: Any) -> Iterator[_Output]:
    for node in walk(query):
        kind = node.DESCRIPTOR.name
        if kind == "CommonTableExpr" and node.ctequery.WhichOneof("node") == "select_stmt":
            yield from _renamed(node.ctequery.select_stmt, node.ctename, strings(node.aliascolnames))
        elif kind == "RangeSubselect" and node.subquery.WhichOneof("node") == "select_stmt":
            yield from _renamed(node.subquery.select_stmt, node.alias.aliasname, strings(node.alias.colnames))


def _renamed(query: Any, alias: str, new_names: Sequence[str]) -> Iterator[_Output]:
    first, *others = _branches(query)
    outputs = _targets(first)
    for branch in (first, *others):
        for position, (name, value) in enumerate(_targets(branch)):
            name = outputs[position][0] if position < len(outputs) else name
            yield _Output(alias, new_names[position] if position < len(new_names) else name, value)


def _branches(query: Any) -> Iterator[Any]:
    """The SELECTs of a UNION, INTERSECT or EXCEPT; else the one there is."""
    if query.op == pb.SETOP_NONE:
        yield query
    else:
        yield from _branches(query.larg)
        yield from _branches(query.rarg)


def _targets(select: Any) -> list[tuple[str | None, Any]]:
    """The names and expressions of a SELECT's list."""
    return [(_name(item.res_target), item.res_target.val) for item in select.target_list]


def _name(target: Any) -> str | None:
    value = target.val
    if value.WhichOneof("node") == "column_ref" and value.column_ref.fields[-1].WhichOneof("node") == "a_star":
        return _ANY
    return target.name or result_name(value)


def _choosing(select: Any) -> Iterator[Any]:
    """What of a SELECT decides which rows it gives: all but its list of columns."""
    for name in ("where_clause", "having_clause", "limit_count", "limit_offset"):
        if select.HasField(name):
            yield getattr(select, name)
    yield from select.group_clause
    yield from (item for item in select.distinct_clause if item.WhichOneof("node"))
    if select.HasField("limit_count") or select.HasField("limit_offset"):
        yield from select.sort_clause
    yield from _of_from(select.from_clause)


def _of_from(clauses: Any) -> Iterator[Any]:
    """The conditions of joins, and functions that are read as tables."""
    for item in clauses:
        kind = item.WhichOneof("node")
        if kind == "join_expr":
            if item.join_expr.HasField("quals"):
                yield item.join_expr.quals
            yield from _of_from((item.join_expr.larg, item.join_expr.rarg))
        elif kind == "range_function":
            yield item


def _called(call: Any) -> Called:
    schema, name = names(call.funcname)
    return Called(schema, name, len(call.args))
