"""Conditions that bound the number of rows that a query returns or a statement changes.

A bound is an equality or a two-sided range over a whole unique key, or a LIMIT. The selectivity of other conditions
depends on the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.facts.table_sizes import LARGE_ROWS, is_small_table, resolve_relation_name
from confiture.sql.parse_tree import flatten_and, pb, strings
from confiture.sql.traversal import find_nodes

_ROW_ADDRESS = frozenset({"ctid"})
_LOWER, _UPPER = (">", ">="), ("<", "<=")


@dataclass(frozen=True, kw_only=True)
class QueryScope:
    """The scope of a condition: the relation `target` of the parse tree, joined to `sources`.

    `common` maps names to the visible WITH queries. `sources` maps each joined item to whether it returns few rows.
    """

    subject: StatementContext
    target: Any
    common: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, bool] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """The columns of each unique key of the target; for an unknown table, `id` is assumed to be a key."""
        table = self.subject.table(self.target)
        keys = table.unique_keys(deferrable=True) if table else (frozenset({"id"}),)
        return (*keys, _ROW_ADDRESS)

    @property
    def target_alias(self) -> str:
        """The name of the target in conditions."""
        return str(self.target.alias.aliasname or self.target.relname)

    def target_column(self, node: Any) -> str | None:
        """Return the target column that an expression is; None for other expressions."""
        if node.WhichOneof("node") != "column_ref":
            return None
        parts = [part.string.sval for part in node.column_ref.fields]
        return parts[-1] if len(parts) == 1 or parts[-2] == self.target_alias else None

    def is_fixed(self, node: Any) -> bool:
        """Whether an expression has few values, because it uses no columns, or only columns from joined items with few
        rows.
        """
        if node.WhichOneof("node") == "sub_link" and node.sub_link.sub_link_type != pb.EXPR_SUBLINK:
            return has_few_rows(node.sub_link.subselect.select_stmt, self.subject, self.common)
        owners = [one.fields[-2].string.sval if len(one.fields) > 1 else None for one in _column_references(node)]
        if node.WhichOneof("node") == "sub_link":
            return self.target_alias not in owners
        return all(owner is not None and self.sources.get(owner, False) for owner in owners)


def is_bounded(condition: Any, scope: QueryScope) -> bool:
    """Whether only a few rows of the scope's target satisfy a condition."""
    conditions = list(flatten_and(condition))
    if any(_is_false(one) or one.WhichOneof("node") == "current_of_expr" for one in conditions):
        return True
    if any(_split_or(one) and all(is_bounded(branch, scope) for branch in _split_or(one)) for one in conditions):
        return True
    bounded = {column for one in conditions for column in _fixed_columns(one, scope)}
    bounded |= _range_bound_columns(conditions, scope)
    return any(key <= bounded for key in scope.keys)


def has_few_rows(select: Any, context: StatementContext, ctes: Mapping[str, Any]) -> bool:
    """Whether a query returns few rows, because it has a LIMIT, lists values, reads no table, or looks up rows by a
    unique key.
    """
    if select.HasField("limit_count"):
        return _is_small_limit(select.limit_count)
    if select.op != pb.SETOP_NONE:
        return all(has_few_rows(side, context, ctes) for side in (select.larg, select.rarg))
    if select.values_lists:
        return True
    ctes = {**ctes, **collect_ctes(select)}
    items = list(iter_from_items(select.from_clause))
    if all(_item_has_few_rows(item, context, ctes) for item in items):
        return True
    if len(items) == 1 and items[0].WhichOneof("node") == "range_var" and select.HasField("where_clause"):
        return is_bounded(select.where_clause, QueryScope(subject=context, target=items[0].range_var, common=ctes))
    return False


def collect_ctes(node: Any) -> dict[str, Any]:
    """Return the WITH queries in a statement, by name."""
    expressions = (one.common_table_expr for one in node.with_clause.ctes)
    return {one.ctename: one.ctequery for one in expressions}


def iter_from_items(items: Iterable[Any]) -> Iterator[Any]:
    """Return the tables, subqueries, and functions in a FROM clause, with joins flattened."""
    for item in items:
        if item.WhichOneof("node") == "join_expr":
            yield from iter_from_items((item.join_expr.larg, item.join_expr.rarg))
        else:
            yield item


def find_sources(items: Iterable[Any], context: StatementContext, ctes: Mapping[str, Any]) -> dict[str, bool]:
    """Return, by alias, whether each item in a FROM clause has few rows."""
    return {_item_alias(item): _item_has_few_rows(item, context, ctes) for item in iter_from_items(items)}


def _item_alias(item: Any) -> str:
    node = getattr(item, item.WhichOneof("node"))
    alias = node.alias.aliasname
    return alias or (node.relname if item.WhichOneof("node") == "range_var" else "")


def _item_has_few_rows(item: Any, context: StatementContext, ctes: Mapping[str, Any]) -> bool:
    kind = item.WhichOneof("node")
    if kind == "range_var":
        query = None if item.range_var.schemaname else ctes.get(item.range_var.relname)
        if query is None:
            return is_small_table(context, resolve_relation_name(context, item.range_var))
        others = {name: one for name, one in ctes.items() if one is not query}
        return query.WhichOneof("node") == "select_stmt" and has_few_rows(query.select_stmt, context, others)
    if kind == "range_subselect":
        return has_few_rows(item.range_subselect.subquery.select_stmt, context, ctes)
    # unnest('{...}'), jsonb_to_recordset('[...]'): values in the statement itself
    return kind == "range_function" and not _column_references(item)


def _column_references(node: Any) -> list[Any]:
    return list(find_nodes(node, pb.ColumnRef))


def _split_or(condition: Any) -> list[Any]:
    if condition.WhichOneof("node") == "bool_expr" and condition.bool_expr.boolop == pb.OR_EXPR:
        return list(condition.bool_expr.args)
    return []


def _is_false(condition: Any) -> bool:
    constant = condition.a_const
    return bool(constant.HasField("boolval") and not constant.boolval.boolval)


def _fixed_columns(condition: Any, scope: QueryScope) -> frozenset[str]:
    """Return the target columns that a condition limits to a few values."""
    if condition.WhichOneof("node") == "sub_link":
        link = condition.sub_link
        if link.sub_link_type == pb.ANY_SUBLINK and strings(link.oper_name) in ((), ("=",)):
            few = has_few_rows(link.subselect.select_stmt, scope.subject, scope.common)
            return _target_columns(link.testexpr, scope) if few else frozenset()
        return frozenset()
    node = condition.a_expr
    if strings(node.name) != ("=",):
        return frozenset()
    if node.kind == pb.AEXPR_OP:
        return _equal_columns(node.lexpr, node.rexpr, scope) | _equal_columns(node.rexpr, node.lexpr, scope)
    if node.kind == pb.AEXPR_IN:
        few = all(scope.is_fixed(item) for item in node.rexpr.list.items)
        return _target_columns(node.lexpr, scope) if few else frozenset()
    if node.kind == pb.AEXPR_OP_ANY:
        return _target_columns(node.lexpr, scope) if scope.is_fixed(node.rexpr) else frozenset()
    return frozenset()


def _equal_columns(compared: Any, value: Any, scope: QueryScope) -> frozenset[str]:
    if compared.WhichOneof("node") == "row_expr" and value.WhichOneof("node") == "row_expr":
        pairs = zip(compared.row_expr.args, value.row_expr.args, strict=False)
        return frozenset(column for left, right in pairs for column in _equal_columns(left, right, scope))
    return _target_columns(compared, scope) if scope.is_fixed(value) else frozenset()


def _target_columns(node: Any, scope: QueryScope) -> frozenset[str]:
    parts = node.row_expr.args if node.WhichOneof("node") == "row_expr" else [node]
    return frozenset(column for part in parts if (column := scope.target_column(part)))


def _range_bound_columns(conditions: Iterable[Any], scope: QueryScope) -> frozenset[str]:
    """Return the target columns that conditions bound on both sides."""
    lower: dict[str, Any] = {}
    upper: dict[str, Any] = {}
    for condition in conditions:
        node = condition.a_expr
        if node.kind == pb.AEXPR_BETWEEN:
            column = scope.target_column(node.lexpr)
            low, high = node.rexpr.list.items
            if column and scope.is_fixed(low) and scope.is_fixed(high):
                lower[column], upper[column] = low, high
        elif node.kind == pb.AEXPR_OP and strings(node.name)[-1:] and node.HasField("lexpr"):
            operator = strings(node.name)[-1]
            for side, other, above in ((node.lexpr, node.rexpr, _LOWER), (node.rexpr, node.lexpr, _UPPER)):
                column = scope.target_column(side)
                if column and operator in (*_LOWER, *_UPPER) and scope.is_fixed(other):
                    (lower if operator in above else upper)[column] = other
    return frozenset(column for column in lower.keys() & upper.keys() if _is_narrow(lower[column], upper[column]))


def _is_narrow(low: Any, high: Any) -> bool:
    first, last = _integer_constant(low), _integer_constant(high)
    return first is None or last is None or last - first <= LARGE_ROWS


def _is_small_limit(node: Any) -> bool:
    if node.a_const.isnull:
        return False
    number = _integer_constant(node)
    return number is None or number <= LARGE_ROWS


def _integer_constant(node: Any) -> int | None:
    constant = node.a_const
    if constant.HasField("ival"):
        return int(constant.ival.ival)
    text = constant.fval.fval
    return int(text) if text.isdecimal() else None
