"""Checks that the columns that queries read exist in the tables and views that they read from."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from confiture.models.catalog import QualifiedName, Sequence
from confiture.sql.catalog.queries import relation_columns
from confiture.sql.catalog.state import CatalogState
from confiture.sql.parse_tree import pb, strings
from confiture.sql.traversal import child_nodes

_SYSTEM = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
_SEPARATE_CLAUSES = frozenset({"with_clause", "larg", "rarg", "into_clause", "locking_clause"})
"""Parts of a SELECT in which relations and columns do not refer to the FROM clause."""
_IGNORED_NODES = frozenset({None, "a_const", "string", "type_name", "sqlvalue_function", "a_star"})
_ALIASED_ITEMS = frozenset({pb.RangeSubselect, pb.RangeFunction, pb.RangeTableFunc, pb.JsonTable})


@dataclass(slots=True)
class _QueryLevel:
    """A SELECT: its FROM items by alias (None if the columns are unknown), and the columns that it reads."""

    sources: dict[str, tuple[QualifiedName, Set[str]] | None] = field(default_factory=dict)
    references: list[Any] = field(default_factory=list)
    nested: list[Any] = field(default_factory=list)
    outputs: set[str] = field(default_factory=set)
    has_merged_columns: bool = False
    """Whether a join merges two columns into one."""


def column_checks(state: CatalogState, query: Any) -> None:
    """Report columns that a query (a Node) reads from tables and views that do not contain them.

    Only unambiguous references are checked: names qualified with an alias, and unqualified names in a top-level query
    on a single table.
    """
    if query.WhichOneof("node") == "select_stmt":
        _check_query(state, query.select_stmt, (), frozenset())


def _check_query(state: CatalogState, select: Any, outer_levels: tuple[_QueryLevel, ...], ctes: Set[str]) -> None:
    expressions = [one.common_table_expr for one in select.with_clause.ctes]
    ctes = ctes | {one.ctename for one in expressions}
    for one in expressions:
        if one.ctequery.WhichOneof("node") == "select_stmt":
            _check_query(state, one.ctequery.select_stmt, outer_levels, ctes)
    if select.HasField("larg"):
        _check_query(state, select.larg, outer_levels, ctes)
        _check_query(state, select.rarg, outer_levels, ctes)
        return
    level = _read_level(state, select, ctes)
    for reference in level.references:
        _check_reference(state, reference, (*outer_levels, level))
    for inner in level.nested:
        _check_query(state, inner, (*outer_levels, level), ctes)


def _read_level(state: CatalogState, select: Any, ctes: Set[str]) -> _QueryLevel:
    level = _QueryLevel()
    level.outputs.update(one.res_target.name for one in select.target_list)
    waiting = [part for name, part in _iter_fields(select) if name not in _SEPARATE_CLAUSES]
    while waiting:
        node = waiting.pop()
        if type(node) is pb.Node:
            kind = node.WhichOneof("node")
            if kind in _IGNORED_NODES:
                continue
            node = getattr(node, kind)
        kind = type(node)
        if kind is pb.ColumnRef:
            level.references.append(node)
        elif kind is pb.SelectStmt:
            level.nested.append(node)
        else:
            if kind is pb.RangeVar:
                _add_source(level, node.alias.aliasname or node.relname, _resolve_source(state, node, ctes))
            elif kind in _ALIASED_ITEMS:
                _add_source(level, node.alias.aliasname, None)
            elif kind is pb.JoinExpr:
                level.has_merged_columns = level.has_merged_columns or bool(node.using_clause) or node.is_natural
            waiting += child_nodes(node)
    return level


def _iter_fields(select: Any) -> Iterator[tuple[str, Any]]:
    for descriptor, value in select.ListFields():
        if descriptor.message_type:
            for one in value if isinstance(value, list | type(select.target_list)) else (value,):
                yield descriptor.name, one


def _add_source(level: _QueryLevel, alias: str, source: tuple[QualifiedName, Set[str]] | None) -> None:
    level.sources[alias] = None if alias in level.sources else source


def _resolve_source(state: CatalogState, node: Any, ctes: Set[str]) -> tuple[QualifiedName, Set[str]] | None:
    if not node.schemaname and node.relname in ctes:
        return None
    relation = state.names.relation(node)
    columns = relation_columns(state, relation)
    if relation is None or columns is None or isinstance(relation, Sequence):
        return None
    column_aliases = strings(node.alias.colnames)
    return relation.name, {*column_aliases, *(one.name for one in columns[len(column_aliases) :])}


def _check_reference(state: CatalogState, reference: Any, levels: tuple[_QueryLevel, ...]) -> None:
    parts = [one.string.sval for one in reference.fields if one.WhichOneof("node") == "string"]
    if len(parts) != len(reference.fields) or len(parts) > 2 or parts[-1] in _SYSTEM:
        return
    source = _find_by_alias(parts[0], levels) if len(parts) == 2 else _find_single_source(parts[0], levels)
    if source and parts[-1] not in source[1] and not _can_be_function_call(state, parts[-1]):
        state.issues.report_missing_column(source[0], parts[-1], reference.location)


def _find_by_alias(alias: str, levels: tuple[_QueryLevel, ...]) -> tuple[QualifiedName, Set[str]] | None:
    return next((level.sources[alias] for level in reversed(levels) if alias in level.sources), None)


def _find_single_source(column: str, levels: tuple[_QueryLevel, ...]) -> tuple[QualifiedName, Set[str]] | None:
    """Return the only source that an unqualified name can refer to, if that is certain."""
    (level, *others) = levels
    if (
        others
        or len(level.sources) != 1
        or level.has_merged_columns
        or column in level.outputs
        or column in level.sources
    ):
        return None
    return next(iter(level.sources.values()))


def _can_be_function_call(state: CatalogState, name: str) -> bool:
    """Whether `alias.name` can be a function call with the table's row as its argument."""
    return any(one.name == name for one in state.functions.overloads)
