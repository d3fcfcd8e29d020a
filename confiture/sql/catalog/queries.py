"""Query columns: their names, and their types if obvious."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confiture.models.catalog import QualifiedName, Table, View
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.type_names import format_type_node
from confiture.sql.parse_tree import column_result_name, pb, strings


class QueryColumn(NamedTuple):
    """A query column; the type is empty if unknown."""

    name: str
    type: str = ""


Columns = Sequence[QueryColumn]


@dataclass(slots=True)
class FromItem:
    """A FROM item.

    `columns` is None if the columns are unknown; `merged_columns` are the columns that a join merged.
    """

    alias: str
    columns: Columns | None
    merged_columns: frozenset[str] = field(default_factory=frozenset)


_Ctes = Mapping[str, Columns | None]


def find_query_columns(state: CatalogState, query: Any, ctes: _Ctes | None = None) -> Columns | None:
    """Return the columns of a query (a Node), None if some of them are unknown."""
    if query.WhichOneof("node") != "select_stmt":
        return None
    return _select_columns(state, query.select_stmt, ctes or {})


def _select_columns(state: CatalogState, select: Any, ctes: _Ctes) -> Columns | None:
    ctes = _with_ctes(state, select, ctes)
    if select.HasField("larg"):
        return _select_columns(state, select.larg, ctes)
    if select.values_lists:
        first = select.values_lists[0].list.items
        return [
            QueryColumn(f"column{number}", _expression_type(state, node, [])) for number, node in enumerate(first, 1)
        ]
    sources: list[FromItem] = []
    for node in select.from_clause:
        sources += _from_items(state, node, ctes)
    outputs: list[QueryColumn] = []
    for target in select.target_list:
        columns = _target_columns(state, target.res_target, sources)
        if columns is None:
            return None
        outputs += columns
    return outputs


def _with_ctes(state: CatalogState, select: Any, ctes: _Ctes) -> _Ctes:
    """Return the CTEs that a query can refer to."""
    if not select.HasField("with_clause"):
        return ctes
    ctes_here = dict(ctes)
    for item in select.with_clause.ctes:
        expression = item.common_table_expr
        columns = find_query_columns(state, expression.ctequery, ctes_here)
        ctes_here[expression.ctename] = _rename_columns(columns, strings(expression.aliascolnames))
    return ctes_here


def _rename_columns(columns: Columns | None, names: Sequence[str]) -> Columns | None:
    """Rename columns; columns without a new name keep their old name."""
    if columns is None:
        return None
    return [QueryColumn(names[number], one.type) if number < len(names) else one for number, one in enumerate(columns)]


def _from_items(state: CatalogState, node: Any, ctes: _Ctes) -> list[FromItem]:
    kind = node.WhichOneof("node")
    if kind == "join_expr":
        return _join_items(state, node.join_expr, ctes)
    if kind == "range_var":
        return [_relation_item(state, node.range_var, ctes)]
    if kind == "range_subselect":
        inner = node.range_subselect
        return [_make_from_item(inner.alias, find_query_columns(state, inner.subquery, ctes))]
    if kind == "range_function":
        return [_function_item(state, node.range_function)]
    return [FromItem("", None)]


def _make_from_item(alias: Any, columns: Columns | None) -> FromItem:
    return FromItem(alias.aliasname, _rename_columns(columns, strings(alias.colnames)))


def _relation_item(state: CatalogState, node: Any, ctes: _Ctes) -> FromItem:
    alias = node.alias.aliasname or node.relname
    columns = (
        ctes[node.relname]
        if not node.schemaname and node.relname in ctes
        else relation_columns(state, state.names.relation(node))
    )
    return FromItem(alias, _rename_columns(columns, strings(node.alias.colnames)))


def relation_columns(state: CatalogState, relation: object) -> Columns | None:
    """Return the columns of a table or view, None if they are unknown."""
    if isinstance(relation, Table):
        if relation.name in state.issues.partial:
            return None
        return [QueryColumn(one.name, one.type) for one in relation.columns]
    if isinstance(relation, View):
        kinds = state.view_types.get(relation.name, ())
        types = kinds if len(kinds) == len(relation.columns) else ("",) * len(relation.columns)
        return [QueryColumn(*pair) for pair in zip(relation.columns, types, strict=True)] or None
    return None


def _function_item(state: CatalogState, node: Any) -> FromItem:
    """Return the item for a function in FROM. A single column is named after the function."""
    names = strings(node.alias.colnames)
    if node.coldeflist:
        columns = [
            QueryColumn(one.column_def.colname, format_type_node(state, one.column_def.type_name))
            for one in node.coldeflist
        ]
        return FromItem(node.alias.aliasname, columns)
    if names and not node.ordinality:
        return FromItem(node.alias.aliasname, [QueryColumn(name) for name in names])
    return FromItem(node.alias.aliasname, None)


def _join_items(state: CatalogState, node: Any, ctes: _Ctes) -> list[FromItem]:
    left, right = _from_items(state, node.larg, ctes), _from_items(state, node.rarg, ctes)
    merged = list(strings(node.using_clause))
    if node.is_natural:
        here, there = _star_columns(left), _star_columns(right)
        if here is None or there is None:
            return [FromItem("", None), *left, *right]
        merged = [one.name for one in here if any(one.name == other.name for other in there)]
    if merged:
        outer = right if node.jointype == pb.JOIN_RIGHT else left
        outer_columns = _star_columns(outer)
        columns_by_name = None if outer_columns is None else {one.name: one for one in reversed(outer_columns)}
        columns = None if columns_by_name is None else [columns_by_name.get(name, QueryColumn(name)) for name in merged]
        for one in (*left, *right):
            one.merged_columns = one.merged_columns | frozenset(merged)
        left = [FromItem("", columns), *left]
    if node.HasField("alias"):
        return [_make_from_item(node.alias, _star_columns([*left, *right]))]
    return [*left, *right]


def _star_columns(sources: Sequence[FromItem]) -> Columns | None:
    """Return the columns that `*` expands to."""
    columns: list[QueryColumn] = []
    for source in sources:
        if source.columns is None:
            return None
        columns += [one for one in source.columns if one.name not in source.merged_columns]
    return columns


def _target_columns(state: CatalogState, target: Any, sources: Sequence[FromItem]) -> Columns | None:
    value = target.val
    if value.WhichOneof("node") == "column_ref":
        parts = value.column_ref.fields
        if parts and parts[-1].WhichOneof("node") == "a_star":
            if len(parts) == 1:
                return _star_columns(sources)
            return next((one.columns for one in sources if one.alias == parts[-2].string.sval), None)
    if value.WhichOneof("node") == "a_indirection" and any(
        one.WhichOneof("node") == "a_star" for one in value.a_indirection.indirection
    ):
        return None
    name = target.name or column_result_name(value) or "?column?"
    return [QueryColumn(name, _expression_type(state, value, sources))]


_CONSTANTS = {"ival": "integer", "fval": "numeric", "boolval": "boolean", "sval": "text"}
_FUNCTIONS = {
    "count": "bigint",
    "row_number": "bigint",
    "rank": "bigint",
    "now": "timestamp with time zone",
    "lower": "text",
    "upper": "text",
    "concat": "text",
    "md5": "text",
    "length": "integer",
    "to_tsvector": "tsvector",
    "gen_random_uuid": "uuid",
    "jsonb_build_object": "jsonb",
    "jsonb_agg": "jsonb",
    "json_build_object": "json",
    "json_agg": "json",
    "string_agg": "text",
    "date_part": "double precision",
    "bool_and": "boolean",
    "bool_or": "boolean",
}
_SAME_TYPE_FUNCTIONS = frozenset({"min", "max"})


def _expression_type(state: CatalogState, node: Any, sources: Sequence[FromItem]) -> str:
    """Return the type of an expression, empty if it is not obvious."""
    kind = node.WhichOneof("node")
    if kind == "type_cast":
        return format_type_node(state, node.type_cast.type_name)
    if kind == "a_const":
        return _CONSTANTS.get(node.a_const.WhichOneof("val") or "", "")
    if kind == "column_ref":
        return _column_type(node.column_ref, sources)
    if kind == "func_call":
        name = strings(node.func_call.funcname)[-1]
        if name in _SAME_TYPE_FUNCTIONS and len(node.func_call.args) == 1:
            return _expression_type(state, node.func_call.args[0], sources)
        return _FUNCTIONS.get(name, "")
    if kind in ("bool_expr", "null_test", "boolean_test"):
        return "boolean"
    return ""


def _column_type(node: Any, sources: Sequence[FromItem]) -> str:
    parts = [one.string.sval for one in node.fields]
    for source in sources:
        if len(parts) == 1 or source.alias == parts[-2]:
            for one in source.columns or ():
                if one.name == parts[-1]:
                    return one.type
    return ""


def resolve_relations(state: CatalogState, nodes: Any) -> tuple[QualifiedName, ...]:
    """Return the relations that RangeVars name; report missing ones."""
    names: dict[QualifiedName, None] = {}
    for node in nodes:
        relation = state.names.relation(node)
        if relation:
            names[relation.name] = None
        else:
            state.names.report_missing(node)
            names[QualifiedName(node.schemaname or state.names.creation_schema, node.relname)] = None
    return tuple(names)
