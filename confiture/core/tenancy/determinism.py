"""Make a query deterministic so that two runs over the same rows return the same result.

Volatile calls in the select list become NULL, and the affected columns are not compared. Ties, for which PostgreSQL may
choose either row, are broken by comparing row values. Other nondeterministic queries are rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confiture.core.tenancy.errors import NotProvable
from confiture.sql.parse_tree import parse_expression, pb, schema_and_name
from confiture.sql.traversal import find_nodes

ORDER_DEPENDENT_AGGREGATES = frozenset(
    {"any_value", "array_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg", "string_agg", "xmlagg"}
)
"""Aggregates with a result that depends on the row order."""
_ORDER_DEPENDENT_WINDOW_FUNCTIONS = frozenset(
    {"row_number", "ntile", "lag", "lead", "first_value", "last_value", "nth_value"}
)
"""Window functions with a result that differs between rows of the same rank."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionInfo:
    """The properties of a function name, taken from the worst overload. `return_type` is None if overloads differ.

    `is_user_defined` is false for PostgreSQL's own functions.
    """

    volatility: str
    """`volatile`, `stable` or `immutable`."""
    return_type: str | None
    is_user_defined: bool


@dataclass(slots=True)
class DeterminismResult:
    """The result for a query: the output columns that are not compared, by position (from 0), with the reasons."""

    skipped_columns: dict[int, str] = field(default_factory=dict)
    inner_volatile_calls: list[str] = field(default_factory=list)
    """The volatile calls in subqueries that were replaced by NULL."""


def find_called_functions(query: Any) -> set[tuple[str | None, str]]:
    """Return the functions called by a query, each as the schema, if specified, and the name."""
    return {schema_and_name(node.funcname) for node in find_nodes(query, pb.FuncCall)}


def make_deterministic(query: Any, functions: Mapping[tuple[str | None, str], FunctionInfo]) -> DeterminismResult:
    """Make a query (a SelectStmt) deterministic in place. Raise NotProvable."""
    rewriter = _DeterminismRewriter(functions)
    rewriter.replace_volatile_calls(query, is_outermost=True)
    for node in find_nodes(query, pb.SelectStmt):
        _break_ties(node, rewriter.result.skipped_columns if node is query else {})
    return rewriter.result


class _DeterminismRewriter:
    """Rewrites one query."""

    def __init__(self, functions: Mapping[tuple[str | None, str], FunctionInfo]) -> None:
        self._functions = functions
        self.result = DeterminismResult()

    def replace_volatile_calls(self, select: Any, *, is_outermost: bool, is_distinct: bool = False) -> None:
        """Replace volatile calls in the select list, and reject volatile calls elsewhere."""
        is_distinct = is_distinct or bool(select.distinct_clause)
        if select.HasField("larg"):
            merges = is_distinct or not (select.op == pb.SETOP_UNION and select.all)
            for branch in (select.larg, select.rarg):
                self.replace_volatile_calls(branch, is_outermost=is_outermost, is_distinct=merges)
        for place, target in enumerate(select.target_list):
            volatile = [*self._replace_calls(target.res_target.val, is_distinct=is_distinct)]
            if volatile and is_outermost:
                self.result.skipped_columns[place] = f"{volatile[0]}() is volatile"
            else:
                self.result.inner_volatile_calls += volatile
        for other, value in select.ListFields():
            if other.name not in ("target_list", "larg", "rarg"):
                self._reject_volatile_calls(value)

    def _replace_calls(self, node: Any, *, is_distinct: bool) -> Iterator[str]:
        """Replace volatile calls in a select-list expression; yield the functions called."""
        kind = node.WhichOneof("node")
        if kind == "func_call":
            call = node.func_call
            callee = self._check_function(call)
            if callee.volatility == "volatile":
                schema, name = schema_and_name(call.funcname)
                if is_distinct or callee.return_type is None:
                    raise NotProvable(f"{name}() is volatile and determines which rows are returned")
                node.CopyFrom(_null_cast(callee.return_type))
                yield f"{schema}.{name}" if schema else name
                return
        if kind == "sub_link":
            self._reject_volatile_calls(node.sub_link)
        elif kind:
            for inner in _children(getattr(node, kind)):
                yield from self._replace_calls(inner, is_distinct=is_distinct)

    def _reject_volatile_calls(self, value: Any) -> None:
        """Reject volatile calls in clauses other than the select list; rewrite their subqueries separately."""
        for node in _top_level_nodes(value):
            if type(node) is pb.SelectStmt:
                self.replace_volatile_calls(node, is_outermost=False)
            elif self._check_function(node).volatility == "volatile":
                raise NotProvable(
                    f"{schema_and_name(node.funcname)[1]}() is volatile and determines which rows are returned",
                    "such a query returns different rows each time",
                )

    def _check_function(self, call: Any) -> FunctionInfo:
        schema, name = schema_and_name(call.funcname)
        callee = self._functions.get((schema, name))
        if callee is None:
            raise NotProvable(f"there is no function {name}")
        if callee.is_user_defined and callee.volatility == "stable":
            raise NotProvable(
                f"{name}() is not immutable: it may read tables that the query does not name",
                "declare it IMMUTABLE if it reads no tables, or inline its body",
            )
        if callee.is_user_defined and callee.volatility == "volatile" and callee.return_type is None:
            raise NotProvable(f"{name}() is volatile, and its return type is unknown")
        return callee


def _children(message: Any) -> Iterator[Any]:
    """Yield the direct child nodes of a message."""
    for _, value in message.ListFields():
        for one in value if type(value) is _REPEATED else (value,):
            if type(one) is pb.Node:
                yield one
            elif hasattr(one, "ListFields"):
                yield from _children(one)


_REPEATED = type(pb.SelectStmt().target_list)


def _top_level_nodes(value: Any) -> Iterator[Any]:
    """Yield the outermost queries and the function calls outside of queries below a field's value."""
    for one in value if type(value) is _REPEATED else (value,):
        if not hasattr(one, "ListFields"):
            continue
        if type(one) is pb.SelectStmt:
            yield one
            continue
        if type(one) is pb.FuncCall:
            yield one
        for _, inner in one.ListFields():
            yield from _top_level_nodes(inner)


def _null_cast(type_name: str) -> Any:
    return parse_expression(f"CAST(NULL AS {type_name})")


def _break_ties(select: Any, skipped_columns: Mapping[int, str]) -> None:
    """Extend orderings that have ties so that the same row comes first each time."""
    for call in _select_calls(select):
        _order_aggregate(call)
    rows = _tie_break_expressions(select)
    for window in _order_dependent_windows(select):
        window.order_clause.extend(_sort_ascending(one) for one in rows)
    if not (select.HasField("limit_count") or select.HasField("limit_offset") or _is_distinct_on(select)):
        return
    if _is_distinct_on(select) and not select.sort_clause:
        select.sort_clause.extend(_sort_ascending(one) for one in select.distinct_clause)
    if rows and (not select.distinct_clause or _is_distinct_on(select)):
        select.sort_clause.extend(_sort_ascending(one) for one in rows)
    else:
        _order_by_positions(select, skipped_columns)


def _is_distinct_on(select: Any) -> bool:
    return any(one.WhichOneof("node") for one in select.distinct_clause)


def _select_calls(select: Any) -> Iterator[Any]:
    """Yield the function calls in a SELECT, except those in subqueries."""
    for name in ("target_list", "having_clause", "sort_clause"):
        value = getattr(select, name)
        if type(value) is _REPEATED or select.HasField(name):
            yield from (one for one in _top_level_calls(value))


def _top_level_calls(value: Any) -> Iterator[Any]:
    return (one for one in _top_level_nodes(value) if type(one) is pb.FuncCall)


def _order_aggregate(call: Any) -> None:
    name = schema_and_name(call.funcname)[1]
    if (
        name in ORDER_DEPENDENT_AGGREGATES
        and not call.HasField("over")
        and not call.agg_distinct
        and not call.agg_within_group
    ):
        call.agg_order.extend(_sort_ascending(_printed_text(argument)) for argument in call.args)


def _order_dependent_windows(select: Any) -> Iterator[Any]:
    """Yield the windows with functions that distinguish rows of the same rank. The caller changes them in place."""
    windows = {one.window_def.name: one.window_def for one in select.window_clause}
    yielded_names: set[str] = set()
    for call in _select_calls(select):
        name = schema_and_name(call.funcname)[1]
        if not call.HasField("over") or (
            name not in _ORDER_DEPENDENT_WINDOW_FUNCTIONS and name not in ORDER_DEPENDENT_AGGREGATES
        ):
            continue
        window = windows.get(call.over.name, call.over) if call.over.name else call.over
        if window is call.over or call.over.name not in yielded_names:
            yielded_names.add(call.over.name)
            yield window


def _tie_break_expressions(select: Any) -> Sequence[Any]:
    """Return expressions that distinguish the rows of a SELECT: the group keys, or the source rows as text."""
    if select.HasField("larg") or select.values_lists:
        return ()
    if select.group_clause:
        if any(one.WhichOneof("node") != "column_ref" for one in select.group_clause):
            return ()
        return [_printed_text(one) for one in select.group_clause]
    names = [name for item in select.from_clause for name in _aliases(item)]
    return [_printed_text(_row_expression(name)) for name in names if name] if all(names) else ()


def _aliases(item: Any) -> Iterator[str | None]:
    kind = item.WhichOneof("node")
    if kind == "join_expr":
        join = item.join_expr
        if join.HasField("alias"):
            yield join.alias.aliasname
            return
        yield from _aliases(join.larg)
        yield from _aliases(join.rarg)
    elif kind == "range_var":
        yield item.range_var.alias.aliasname or item.range_var.relname
    elif kind in ("range_subselect", "range_function"):
        yield getattr(item, kind).alias.aliasname or None
    else:
        yield None


def _order_by_positions(select: Any, skipped_columns: Mapping[int, str]) -> None:
    first = select
    while first.HasField("larg"):
        first = first.larg
    for place, target in enumerate(first.target_list):
        value = target.res_target.val
        if value.WhichOneof("node") == "column_ref" and value.column_ref.fields[-1].WhichOneof("node") == "a_star":
            return
        if place not in skipped_columns:
            select.sort_clause.append(_sort_ascending(pb.Node(a_const=pb.A_Const(ival=pb.Integer(ival=place + 1)))))


def _row_expression(name: str) -> Any:
    fields = [pb.Node(string=pb.String(sval=name)), pb.Node(a_star=pb.A_Star())]
    return pb.Node(row_expr=pb.RowExpr(args=[pb.Node(column_ref=pb.ColumnRef(fields=fields))], row_format=1))


def _printed_text(node: Any) -> Any:
    """Return SQL that prints a value, with NULL distinct from ''. A cast could call a function of the type's owner."""
    call = parse_expression("pg_catalog.format('%L', NULL)")
    call.func_call.args[1].CopyFrom(node)
    return call


def _sort_ascending(node: Any) -> Any:
    return pb.Node(sort_by=pb.SortBy(node=node, sortby_dir=pb.SORTBY_DEFAULT, sortby_nulls=pb.SORTBY_NULLS_DEFAULT))
