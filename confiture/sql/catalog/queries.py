"""The columns of a query: their names, and their types as far as they are plain to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confiture.models.catalog import Name, Table, View
from confiture.sql.catalog.resolving import type_text
from confiture.sql.catalog.state import CatalogState
from confiture.sql.tree import pb, result_name, strings


class Output(NamedTuple):
    """A column of a query; the type is empty where it is not known."""

    name: str
    type: str = ""


Columns = Sequence[Output]


@dataclass(slots=True)
class Source:
    """Something that FROM names. `columns` is None where they are not known; `hidden` are those that a join merged."""

    alias: str
    columns: Columns | None
    hidden: frozenset[str] = field(default_factory=frozenset)


_Common = Mapping[str, Columns | None]


def columns_of(state: CatalogState, query: Any, common: _Common | None = None) -> Columns | None:
    """The columns of a query (a Node), None where not all of them are known."""
    if query.WhichOneof("node") != "select_stmt":
        return None
    return _of_select(state, query.select_stmt, common or {})


def _of_select(state: CatalogState, select: Any, common: _Common) -> Columns | None:
    common = _with_common(state, select, common)
    if select.HasField("larg"):
        return _of_select(state, select.larg, common)
    if select.values_lists:
        first = select.values_lists[0].list.items
        return [Output(f"column{number}", _type(state, node, [])) for number, node in enumerate(first, 1)]
    sources: list[Source] = []
    for node in select.from_clause:
        sources += _sources(state, node, common)
    found: list[Output] = []
    for target in select.target_list:
        columns = _of_target(state, target.res_target, sources)
        if columns is None:
            return None
        found += columns
    return found


def _with_common(state: CatalogState, select: Any, common: _Common) -> _Common:
    """The WITH queries that are known inside of a query."""
    if not select.HasField("with_clause"):
        return common
    known = dict(common)
    for item in select.with_clause.ctes:
        expression = item.common_table_expr
        columns = columns_of(state, expression.ctequery, known)
        known[expression.ctename] = _renamed(columns, strings(expression.aliascolnames))
    return known


def _renamed(columns: Columns | None, names: Sequence[str]) -> Columns | None:
    """Columns with those names, as far as the names reach."""
    if columns is None:
        return None
    return [Output(names[number], one.type) if number < len(names) else one for number, one in enumerate(columns)]


def _sources(state: CatalogState, node: Any, common: _Common) -> list[Source]:
    kind = node.WhichOneof("node")
    if kind == "join_expr":
        return _joined(state, node.join_expr, common)
    if kind == "range_var":
        return [_relation(state, node.range_var, common)]
    if kind == "range_subselect":
        inner = node.range_subselect
        return [_aliased(inner.alias, columns_of(state, inner.subquery, common))]
    if kind == "range_function":
        return [_function(state, node.range_function)]
    return [Source("", None)]


def _aliased(alias: Any, columns: Columns | None) -> Source:
    return Source(alias.aliasname, _renamed(columns, strings(alias.colnames)))


def _relation(state: CatalogState, node: Any, common: _Common) -> Source:
    alias = node.alias.aliasname or node.relname
    columns = (
        common[node.relname]
        if not node.schemaname and node.relname in common
        else relation_columns(state, state.names.relation(node))
    )
    return Source(alias, _renamed(columns, strings(node.alias.colnames)))


def relation_columns(state: CatalogState, relation: object) -> Columns | None:
    """The columns of a table or view, None where they are not known."""
    if isinstance(relation, Table):
        if relation.name in state.issues.partial:
            return None
        return [Output(one.name, one.type) for one in relation.columns]
    if isinstance(relation, View):
        kinds = state.view_types.get(relation.name, ())
        types = kinds if len(kinds) == len(relation.columns) else ("",) * len(relation.columns)
        return [Output(*pair) for pair in zip(relation.columns, types, strict=True)] or None
    return None


def _function(state: CatalogState, node: Any) -> Source:
    """A function in FROM: its column is called as the function, unless the function makes several."""
    names = strings(node.alias.colnames)
    if node.coldeflist:
        columns = [
            Output(one.column_def.colname, type_text(state, one.column_def.type_name)) for one in node.coldeflist
        ]
        return Source(node.alias.aliasname, columns)
    if names and not node.ordinality:
        return Source(node.alias.aliasname, [Output(name) for name in names])
    return Source(node.alias.aliasname, None)


def _joined(state: CatalogState, node: Any, common: _Common) -> list[Source]:
    left, right = _sources(state, node.larg, common), _sources(state, node.rarg, common)
    merged = list(strings(node.using_clause))
    if node.is_natural:
        here, there = _all(left), _all(right)
        if here is None or there is None:
            return [Source("", None), *left, *right]
        merged = [one.name for one in here if any(one.name == other.name for other in there)]
    if merged:
        outer = right if node.jointype == pb.JOIN_RIGHT else left
        shown = _all(outer)
        known = None if shown is None else {one.name: one for one in reversed(shown)}
        columns = None if known is None else [known.get(name, Output(name)) for name in merged]
        for one in (*left, *right):
            one.hidden = one.hidden | frozenset(merged)
        left = [Source("", columns), *left]
    if node.HasField("alias"):
        return [_aliased(node.alias, _all([*left, *right]))]
    return [*left, *right]


def _all(sources: Sequence[Source]) -> Columns | None:
    """What `*` means."""
    found: list[Output] = []
    for source in sources:
        if source.columns is None:
            return None
        found += [one for one in source.columns if one.name not in source.hidden]
    return found


def _of_target(state: CatalogState, target: Any, sources: Sequence[Source]) -> Columns | None:
    value = target.val
    if value.WhichOneof("node") == "column_ref":
        parts = value.column_ref.fields
        if parts and parts[-1].WhichOneof("node") == "a_star":
            if len(parts) == 1:
                return _all(sources)
            return next((one.columns for one in sources if one.alias == parts[-2].string.sval), None)
    if value.WhichOneof("node") == "a_indirection" and any(
        one.WhichOneof("node") == "a_star" for one in value.a_indirection.indirection
    ):
        return None
    name = target.name or result_name(value) or "?column?"
    return [Output(name, _type(state, value, sources))]


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
_SAME = frozenset({"min", "max"})


def _type(state: CatalogState, node: Any, sources: Sequence[Source]) -> str:
    """The type of an expression, empty where it takes more than a look to know it."""
    kind = node.WhichOneof("node")
    if kind == "type_cast":
        return type_text(state, node.type_cast.type_name)
    if kind == "a_const":
        return _CONSTANTS.get(node.a_const.WhichOneof("val") or "", "")
    if kind == "column_ref":
        return _column_type(node.column_ref, sources)
    if kind == "func_call":
        name = strings(node.func_call.funcname)[-1]
        if name in _SAME and len(node.func_call.args) == 1:
            return _type(state, node.func_call.args[0], sources)
        return _FUNCTIONS.get(name, "")
    if kind in ("bool_expr", "null_test", "boolean_test"):
        return "boolean"
    return ""


def _column_type(node: Any, sources: Sequence[Source]) -> str:
    parts = [one.string.sval for one in node.fields]
    for source in sources:
        if len(parts) == 1 or source.alias == parts[-2]:
            for one in source.columns or ():
                if one.name == parts[-1]:
                    return one.type
    return ""


def read_names(state: CatalogState, nodes: Any) -> tuple[Name, ...]:
    """The relations that RangeVars mean; those that are not there are noted as missing."""
    found: dict[Name, None] = {}
    for node in nodes:
        relation = state.names.relation(node)
        if relation:
            found[relation.name] = None
        else:
            state.names.report_missing(node)
            found[Name(node.schemaname or state.names.creation_schema, node.relname)] = None
    return tuple(found)
