"""Locks and scans caused by queries, INSERT, UPDATE, DELETE, and MERGE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from confiture.models.catalog import QualifiedName, Sequence
from confiture.models.trace import LockMode
from confiture.sql.effects.drop import find_referencing_tables
from confiture.sql.effects.recorder import EffectRecorder
from confiture.sql.parse_tree import flatten_and, pb, strings
from confiture.sql.proofs import find_column_name, find_constant_text
from confiture.sql.traversal import LEAVES, child_nodes, inner_nodes, walk

_SEQUENCES = frozenset(("nextval", "currval", "setval"))
_LEVELS = frozenset((pb.SelectStmt, pb.UpdateStmt, pb.DeleteStmt, pb.InsertStmt, pb.MergeStmt))


class QueryUse(Enum):
    """The way in which a statement uses a query that it contains."""

    DEFINED = 1
    """Only the relations that the query names are opened, as for a view."""
    PLANNED = 2
    """The partitions, inheritance children, and view sources are opened as well, as for EXPLAIN."""
    RUN = 3


def analyze_query(query: Any, recorder: EffectRecorder, use: QueryUse = QueryUse.RUN) -> None:
    """Record the effects of a SELECT, INSERT, UPDATE, DELETE, or MERGE, or of all such statements inside a node."""
    for level, cte_names in _iter_query_levels(query):
        _analyze_level(level, cte_names, recorder, use)


def locked_relations(name: QualifiedName, recorder: EffectRecorder, *, only: bool = False) -> tuple[QualifiedName, ...]:
    """Return a relation that a query names and the relations locked with it: partitions, children, and view sources."""
    relations = [name]
    for one in relations:
        view = recorder.find_view(one)
        below = view.relations if view and not view.materialized else recorder.with_descendants(one, only=only)
        relations.extend(other for other in below if other not in relations)
    return tuple(relations)


def _iter_query_levels(query: Any) -> Iterator[tuple[Any, frozenset[str]]]:
    """Return the queries in a tree, each with the names of its visible CTEs."""
    waiting: list[tuple[Any, frozenset[str]]] = [(query, frozenset())]
    while waiting:
        node, cte_names = waiting.pop()
        if type(node) is pb.Node:
            kind = node.WhichOneof("node")
            if kind is None:
                continue
            node = getattr(node, kind)
        if type(node) in _LEVELS:
            if node.HasField("with_clause"):
                cte_names |= {cte.common_table_expr.ctename for cte in node.with_clause.ctes}
            yield node, cte_names
        if type(node) not in LEAVES:
            waiting += [(child, cte_names) for child in reversed(child_nodes(node))]


def _analyze_level(node: Any, cte_names: frozenset[str], recorder: EffectRecorder, use: QueryUse) -> None:
    sources = list(_find_range_vars(node, cte_names))
    for source in sources:
        name = recorder.resolve_range_var(source)
        opened = (name,) if use is QueryUse.DEFINED else locked_relations(name, recorder, only=not source.inh)
        recorder.lock(opened, LockMode.ACCESS_SHARE)
    if use is QueryUse.DEFINED:
        target = [] if isinstance(node, pb.SelectStmt) else [recorder.resolve_range_var(node.relation)]
        recorder.lock(target, LockMode.ROW_EXCLUSIVE)
        return
    if isinstance(node, pb.SelectStmt):
        _lock_rows(node, sources, recorder)
    else:
        _analyze_change(node, recorder)
        if not isinstance(node, pb.InsertStmt):
            sources.append(node.relation)
    _lock_sequences(node, recorder)
    if use is QueryUse.RUN and not _has_limit(node):
        conditions = list(_split_conditions(node))
        for source in sources:
            if not _is_key_lookup(source, conditions, len(sources) == 1, recorder):
                recorder.scan(locked_relations(recorder.resolve_range_var(source), recorder, only=not source.inh))


def _find_range_vars(node: Any, cte_names: frozenset[str]) -> Iterator[Any]:
    """Return the relations in FROM or USING."""
    if isinstance(node, pb.DeleteStmt):
        nodes: Iterable[Any] = node.using_clause
    elif isinstance(node, pb.MergeStmt):
        nodes = (node.source_relation,)
    elif isinstance(node, pb.InsertStmt):
        return
    else:
        nodes = node.from_clause
    for one in nodes:
        yield from _range_vars_in(one, cte_names)


def _range_vars_in(node: Any, cte_names: frozenset[str]) -> Iterator[Any]:
    match node.WhichOneof("node"):
        case "range_var":
            if node.range_var.schemaname or node.range_var.relname not in cte_names:
                yield node.range_var
        case "join_expr":
            yield from _range_vars_in(node.join_expr.larg, cte_names)
            yield from _range_vars_in(node.join_expr.rarg, cte_names)
        case "range_table_sample":
            yield from _range_vars_in(node.range_table_sample.relation, cte_names)


def _lock_rows(node: Any, sources: list[Any], recorder: EffectRecorder) -> None:
    """Record FOR UPDATE and the other locking clauses, for the sources that they name or for all sources."""
    for clause in node.locking_clause:
        aliases = {one.range_var.relname for one in clause.locking_clause.locked_rels}
        for source in sources:
            if not aliases or (source.alias.aliasname or source.relname) in aliases:
                recorder.lock(
                    locked_relations(recorder.resolve_range_var(source), recorder, only=not source.inh),
                    LockMode.ROW_SHARE,
                )


def _lock_sequences(node: Any, recorder: EffectRecorder) -> None:
    """Record the locks of nextval() and related functions, if the sequence name is a constant."""
    for call in inner_nodes(node):
        if isinstance(call, pb.FuncCall) and strings(call.funcname)[-1] in _SEQUENCES and call.args:
            schema, _, name = (find_constant_text(call.args[0]) or "").rpartition(".")
            sequence = recorder.catalog.relation(schema or None, name)
            if isinstance(sequence, Sequence):
                recorder.lock([sequence.name], LockMode.ROW_EXCLUSIVE)


def _analyze_change(node: Any, recorder: EffectRecorder) -> None:
    inserts = isinstance(node, pb.InsertStmt)
    name = recorder.resolve_range_var(node.relation)
    changed = (
        recorder.with_partitions(name) if inserts else locked_relations(name, recorder, only=not node.relation.inh)
    )
    if recorder.find_view(name):
        changed = locked_relations(name, recorder)
    recorder.lock(changed, LockMode.ROW_EXCLUSIVE)
    for one in changed:
        _check_foreign_keys(one, node, recorder)


def _check_foreign_keys(name: QualifiedName, node: Any, recorder: EffectRecorder) -> None:
    """Record the locks that foreign key checks acquire on referenced tables and, if rows are deleted, on referencing
    tables.
    """
    table = recorder.find_table(name)
    if table is None:
        return
    if _has_delete(node):
        for other in find_referencing_tables(name, recorder):
            targets = (name, *recorder.find_ancestors(name))
            keys = [key for key in recorder.catalog.tables[other].foreign_keys if key.target in targets]
            follows = any(key.on_delete not in ("no action", "restrict") for key in keys)
            recorder.lock([other], LockMode.ROW_EXCLUSIVE if follows else LockMode.ROW_SHARE)
    if isinstance(node, pb.DeleteStmt):
        return
    updated = {target.res_target.name for target in node.target_list} if isinstance(node, pb.UpdateStmt) else None
    for key in table.foreign_keys:
        if key.target and (updated is None or updated & set(key.columns)):
            recorder.lock(recorder.with_partitions(key.target), LockMode.ROW_SHARE)


def _has_delete(node: Any) -> bool:
    if isinstance(node, pb.MergeStmt):
        return any(one.merge_when_clause.command_type == pb.CMD_DELETE for one in node.merge_when_clauses)
    return isinstance(node, pb.DeleteStmt)


def _has_limit(node: Any) -> bool:
    """Whether a LIMIT can end a query before all rows are read."""
    return (
        isinstance(node, pb.SelectStmt)
        and node.HasField("limit_count")
        and not (node.sort_clause or node.group_clause or node.distinct_clause)
    )


def _split_conditions(node: Any) -> Iterator[Any]:
    if not isinstance(node, (pb.InsertStmt, pb.MergeStmt)) and node.HasField("where_clause"):
        yield from flatten_and(node.where_clause)


def _is_key_lookup(source: Any, conditions: list[Any], is_only_source: bool, recorder: EffectRecorder) -> bool:
    """Whether a condition compares the first column of an index with values that the query does not read."""
    table = recorder.find_table(recorder.resolve_range_var(source))
    if table is None:
        return False
    leading = {index.columns[0] for index in table.indexes if index.columns and not index.predicate}
    label = source.alias.aliasname or source.relname
    equal = {_find_equal_column(condition, label, is_only_source) for condition in conditions}
    return bool((equal & leading) - {None})


def _find_equal_column(node: Any, label: str, is_only_source: bool) -> str | None:
    """Return the source column that a condition sets equal to an expression without columns."""
    if node.WhichOneof("node") != "a_expr" or strings(node.a_expr.name)[-1] != "=":
        return None
    if node.a_expr.kind not in (pb.AEXPR_OP, pb.AEXPR_IN, pb.AEXPR_OP_ANY):
        return None
    for one, other in ((node.a_expr.lexpr, node.a_expr.rexpr), (node.a_expr.rexpr, node.a_expr.lexpr)):
        fields = strings(one.column_ref.fields) if one.WhichOneof("node") == "column_ref" else ()
        is_of_source = (len(fields) == 1 and is_only_source) or (len(fields) > 1 and fields[-2] == label)
        if is_of_source and not _has_columns_or_queries(other):
            return find_column_name(one)
    return None


def _has_columns_or_queries(node: Any) -> bool:
    """Whether an expression contains columns or subqueries."""
    return any(isinstance(part, (pb.ColumnRef, pb.SubLink)) for part in walk(node))
