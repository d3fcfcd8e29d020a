"""Parse tree traversal: all nodes, or the nodes that are needed most often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from google.protobuf.message import Message

from confiture.sql.parser import pb


def walk(node: Any, without: str = "") -> Iterator[Any]:
    """Return a parse tree message and all messages below it, in tree order; wrappers (Node) are omitted.

    `without` is a kind of message to omit, together with everything below it.
    """
    return _walk(node, frozenset([getattr(pb, without)] if without else []))


def find_nodes(node: Any, kind: type) -> Iterator[Any]:
    """Return the messages of one kind in a tree, in tree order."""
    return (one for one in walk(node) if type(one) is kind)


def inner_nodes(node: Any, without: str = "") -> Iterator[Any]:
    """Return the same messages as `walk`, except kinds that contain neither queries nor calls: columns, constants, and
    types.
    """
    return _walk(node, LEAVES | {getattr(pb, without)} if without else LEAVES)


def _walk(node: Any, without: frozenset[type[Message]]) -> Iterator[Any]:
    wrapped = _wrapper_names(without)
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if type(current) is pb.Node:
            kind = current.WhichOneof("node")
            if kind is None or kind in wrapped:
                continue
            current = getattr(current, kind)
        elif type(current) in without:
            continue
        yield current
        parts = child_nodes(current)
        if parts:
            parts.reverse()
            waiting += parts


@cache
def _wrapper_names(kinds: frozenset[type[Message]]) -> frozenset[str]:
    """Return the wrapper field names for these kinds of messages."""
    names = {kind.DESCRIPTOR.full_name for kind in kinds}
    return frozenset(field.name for field in pb.Node.DESCRIPTOR.fields if field.message_type.full_name in names)


def child_nodes(node: Any) -> list[Any]:
    """Return the direct children of a message, in tree order, including wrappers."""
    children: list[Any] = []
    for _, part in node.ListFields():
        kind = type(part)
        if kind is _REPEATED:
            children += part
        elif kind not in _SCALARS:
            children.append(part)
    return children


_SCALARS = frozenset({bool, float, int, str, type(pb.TableFunc().notnulls)})
_REPEATED = type(pb.SelectStmt().target_list)
LEAVES = frozenset({pb.ColumnRef, pb.A_Const, pb.TypeName})
"""Kinds of messages below which there are neither queries nor calls."""


def column_names(node: Any) -> tuple[str, ...]:
    """Return the columns that an expression reads, each once, without table names."""
    names: dict[str, None] = {}
    _collect_columns(node, names)
    return tuple(names)


def _collect_columns(node: Any, names: dict[str, None]) -> None:
    kind = node.WhichOneof("node") if type(node) is pb.Node else ""
    if kind in _WITHOUT_COLUMNS:
        return
    if kind == "column_ref":
        _collect_column(node.column_ref, names)
    elif kind in _CHILD_READERS:  # the common forms in checks; reading every field takes five times as long
        for part in _CHILD_READERS[kind](getattr(node, kind)):
            _collect_columns(part, names)
    else:
        for one in find_nodes(node, pb.ColumnRef):
            _collect_column(one, names)


def _collect_column(reference: Any, names: dict[str, None]) -> None:
    fields = reference.fields
    if fields and fields[-1].WhichOneof("node") == "string":
        names[fields[-1].string.sval] = None


_WITHOUT_COLUMNS = frozenset({None, "a_const", "sqlvalue_function"})
_CHILD_READERS: dict[str, Callable[[Any], Iterable[Any]]] = {
    "a_expr": lambda node: (node.lexpr, node.rexpr),
    "bool_expr": lambda node: node.args,
    "func_call": lambda node: (
        *node.args,
        *node.agg_order,
        *((node.agg_filter,) if node.HasField("agg_filter") else ()),
        *((node.over,) if node.HasField("over") else ()),
    ),
    "list": lambda node: node.items,
    "null_test": lambda node: (node.arg,),
    "type_cast": lambda node: (node.arg,),
}


_NOT_RELATIONS = LEAVES | {pb.IntoClause}


def find_relations_read(node: Any) -> Iterator[Any]:
    """Return the RangeVars that a query reads, except those that name one of the query's CTEs."""
    nodes = list(_walk(node, _NOT_RELATIONS))
    cte_names = {one.ctename for one in nodes if type(one) is pb.CommonTableExpr}
    for one in nodes:
        if type(one) is pb.RangeVar and (one.schemaname or one.relname not in cte_names):
            yield one
