"""Locks, scans, and rewrites caused by VACUUM, ANALYZE, REINDEX, CLUSTER, REFRESH, TRUNCATE, LOCK, and COPY."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.models.catalog import QualifiedName
from confiture.models.trace import LockMode
from confiture.sql.effects.drop import find_referencing_tables, lock_sequences
from confiture.sql.effects.queries import QueryUse, analyze_query, locked_relations
from confiture.sql.effects.recorder import EffectRecorder
from confiture.sql.options import is_option_enabled
from confiture.sql.parse_tree import pb

_AX = LockMode.ACCESS_EXCLUSIVE
_MODES = list(LockMode)


def vacuum(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of VACUUM and ANALYZE on the named tables, or on all tables."""
    full = bool(node.is_vacuumcmd) and is_option_enabled(node.options, "full")
    range_vars = [one.vacuum_relation.relation for one in node.rels]
    families = [recorder.with_descendants(recorder.resolve_range_var(one), only=not one.inh) for one in range_vars]
    members = [name for family in families for name in family] if range_vars else _all_relations(recorder)
    recorder.lock(members, _AX if full else LockMode.SHARE_UPDATE_EXCLUSIVE)
    if full:
        recorder.rewrite(members)


def cluster(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CLUSTER.

    Without a table name, CLUSTER processes all previously clustered tables, which are unknown here.
    """
    if node.HasField("relation"):
        members = recorder.with_descendants(recorder.resolve_range_var(node.relation))
        recorder.lock(members, _AX)
        recorder.rewrite(members)


def reindex(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of REINDEX. The table can be read, unless a plan uses the index."""
    concurrently = is_option_enabled(node.params, "concurrently")
    on_table = LockMode.SHARE_UPDATE_EXCLUSIVE if concurrently else LockMode.SHARE
    on_index = LockMode.SHARE_UPDATE_EXCLUSIVE if concurrently else _AX
    if node.kind == pb.REINDEX_OBJECT_INDEX:
        index = recorder.resolve_range_var(node.relation)
        indexed = recorder.catalog.find_index(*index)
        tables: tuple[QualifiedName, ...] = recorder.with_descendants(indexed[0].name) if indexed else ()
        recorder.lock([index], on_index)
    else:
        tables = _find_reindexed(node, recorder)
        for table in tables:
            recorder.lock(recorder.find_indexes(table), on_index)
    recorder.lock(tables, on_table)
    recorder.scan(tables)


def _find_reindexed(node: Any, recorder: EffectRecorder) -> tuple[QualifiedName, ...]:
    if node.kind == pb.REINDEX_OBJECT_TABLE:
        return recorder.with_descendants(recorder.resolve_range_var(node.relation))
    if node.kind == pb.REINDEX_OBJECT_SCHEMA:
        return tuple(name for name in _all_relations(recorder) if name.schema == node.name)
    return tuple(_all_relations(recorder)) if node.kind == pb.REINDEX_OBJECT_DATABASE else ()


def refresh(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of REFRESH MATERIALIZED VIEW, which reads everything that the view's query reads."""
    name = recorder.resolve_range_var(node.relation)
    recorder.lock([name], LockMode.EXCLUSIVE if node.concurrent else _AX)
    recorder.scan([name])
    if not node.concurrent:
        recorder.rewrite([name])
    view = recorder.find_view(name)
    if view and not node.skip_data:
        sources = [source for relation in view.relations for source in locked_relations(relation, recorder)]
        recorder.lock(sources, LockMode.ACCESS_SHARE)
        recorder.scan(sources)


def apply_truncate(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of TRUNCATE. CASCADE also affects the tables that reference the table."""
    names = [name for one in node.relations for name in _find_truncated(one.range_var, recorder)]
    if node.behavior == pb.DROP_CASCADE:
        for name in names:
            others = [
                part for other in find_referencing_tables(name, recorder) for part in recorder.with_descendants(other)
            ]
            names.extend(other for other in others if other not in names)
    recorder.lock(names, _AX)
    for name in names:
        if recorder.has_own_rows(name):
            recorder.lock(recorder.find_indexes(name), _AX)
        if node.restart_seqs:
            lock_sequences(name, recorder)


def _find_truncated(range_var: Any, recorder: EffectRecorder) -> tuple[QualifiedName, ...]:
    return recorder.with_descendants(recorder.resolve_range_var(range_var), only=not range_var.inh)


def lock_table(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of LOCK TABLE, which also locks inheritance children and the relations that a view reads."""
    for one in node.relations:
        names = locked_relations(recorder.resolve_range_var(one.range_var), recorder, only=not one.range_var.inh)
        recorder.lock(names, _MODES[node.mode - 1])


def copy_rows(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of COPY for a table or a query."""
    if node.HasField("query"):
        analyze_query(node.query, recorder)
        return
    name = recorder.resolve_range_var(node.relation)
    if node.is_from:
        recorder.lock(_find_routed(name, recorder), LockMode.ROW_EXCLUSIVE)
    else:
        recorder.lock([name], LockMode.ACCESS_SHARE)
        recorder.scan([name])


def _find_routed(name: QualifiedName, recorder: EffectRecorder) -> Iterable[QualifiedName]:
    return recorder.with_partitions(name)


def explain(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of EXPLAIN, which acquires the statement's locks, and runs the statement only with ANALYZE."""
    analyze_query(
        node.query, recorder, QueryUse.RUN if is_option_enabled(node.options, "analyze") else QueryUse.PLANNED
    )


def _all_relations(recorder: EffectRecorder) -> list[QualifiedName]:
    views = (view.name for view in recorder.catalog.views.values() if view.materialized)
    return [*recorder.catalog.tables, *views]
