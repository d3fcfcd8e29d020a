"""The columns that queries read, held against the tables and views that they read them from."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from confiture.models.catalog import Name, Sequence
from confiture.sql.catalog.queries import relation_columns
from confiture.sql.catalog.state import CatalogState
from confiture.sql.tree import pb, strings
from confiture.sql.walking import below

_SYSTEM = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
_APART = frozenset({"with_clause", "larg", "rarg", "into_clause", "locking_clause"})
"""Parts of a SELECT that name relations and columns which are not those of its FROM."""
_UNREAD = frozenset({None, "a_const", "string", "type_name", "sqlvalue_function", "a_star"})
_NAMED = frozenset({pb.RangeSubselect, pb.RangeFunction, pb.RangeTableFunc, pb.JsonTable})


@dataclass(slots=True)
class _Level:
    """One SELECT: what its FROM names, by alias (None where the columns are not known), and what it reads."""

    sources: dict[str, tuple[Name, Set[str]] | None] = field(default_factory=dict)
    references: list[Any] = field(default_factory=list)
    nested: list[Any] = field(default_factory=list)
    outputs: set[str] = field(default_factory=set)
    merges: bool = False
    """Whether a join makes one column of two."""


def check_columns(state: CatalogState, query: Any) -> None:
    """Notes the columns which a query (a Node) reads of tables and views that do not have them.

    Only where that is plain: names with an alias, and any in a query of one table that no other query is around.
    """
    if query.WhichOneof("node") == "select_stmt":
        _check(state, query.select_stmt, (), frozenset())


def _check(state: CatalogState, select: Any, around: tuple[_Level, ...], common: Set[str]) -> None:
    expressions = [one.common_table_expr for one in select.with_clause.ctes]
    common = common | {one.ctename for one in expressions}
    for one in expressions:
        if one.ctequery.WhichOneof("node") == "select_stmt":
            _check(state, one.ctequery.select_stmt, around, common)
    if select.HasField("larg"):
        _check(state, select.larg, around, common)
        _check(state, select.rarg, around, common)
        return
    level = _read(state, select, common)
    for reference in level.references:
        _hold(state, reference, (*around, level))
    for inner in level.nested:
        _check(state, inner, (*around, level), common)


def _read(state: CatalogState, select: Any, common: Set[str]) -> _Level:
    level = _Level()
    level.outputs.update(one.res_target.name for one in select.target_list)
    waiting = [part for name, part in _parts(select) if name not in _APART]
    while waiting:
        node = waiting.pop()
        if type(node) is pb.Node:
            kind = node.WhichOneof("node")
            if kind in _UNREAD:
                continue
            node = getattr(node, kind)
        kind = type(node)
        if kind is pb.ColumnRef:
            level.references.append(node)
        elif kind is pb.SelectStmt:
            level.nested.append(node)
        else:
            if kind is pb.RangeVar:
                _add(level, node.alias.aliasname or node.relname, _source(state, node, common))
            elif kind in _NAMED:
                _add(level, node.alias.aliasname, None)
            elif kind is pb.JoinExpr:
                level.merges = level.merges or bool(node.using_clause) or node.is_natural
            waiting += below(node)
    return level


def _parts(select: Any) -> Iterator[tuple[str, Any]]:
    for descriptor, value in select.ListFields():
        if descriptor.message_type:
            for one in value if isinstance(value, list | type(select.target_list)) else (value,):
                yield descriptor.name, one


def _add(level: _Level, alias: str, source: tuple[Name, Set[str]] | None) -> None:
    level.sources[alias] = None if alias in level.sources else source


def _source(state: CatalogState, node: Any, common: Set[str]) -> tuple[Name, Set[str]] | None:
    if not node.schemaname and node.relname in common:
        return None
    relation = state.names.relation(node)
    columns = relation_columns(state, relation)
    if relation is None or columns is None or isinstance(relation, Sequence):
        return None
    renamed = strings(node.alias.colnames)
    return relation.name, {*renamed, *(one.name for one in columns[len(renamed) :])}


def _hold(state: CatalogState, reference: Any, levels: tuple[_Level, ...]) -> None:
    parts = [one.string.sval for one in reference.fields if one.WhichOneof("node") == "string"]
    if len(parts) != len(reference.fields) or len(parts) > 2 or parts[-1] in _SYSTEM:
        return
    source = _qualified(parts[0], levels) if len(parts) == 2 else _only(parts[0], levels)
    if source and parts[-1] not in source[1] and not _is_function(state, parts[-1]):
        state.issues.report_missing_column(source[0], parts[-1], reference.location)


def _qualified(alias: str, levels: tuple[_Level, ...]) -> tuple[Name, Set[str]] | None:
    return next((level.sources[alias] for level in reversed(levels) if alias in level.sources), None)


def _only(column: str, levels: tuple[_Level, ...]) -> tuple[Name, Set[str]] | None:
    """What a bare name must be of, where that is sure."""
    (level, *others) = levels
    if others or len(level.sources) != 1 or level.merges or column in level.outputs or column in level.sources:
        return None
    return next(iter(level.sources.values()))


def _is_function(state: CatalogState, name: str) -> bool:
    """Whether `alias.name` may be a call of a function with a row of the table."""
    return any(one.name == name for one in state.functions.overloads)
