"""What VACUUM, ANALYZE, REINDEX, CLUSTER, REFRESH, TRUNCATE, LOCK and COPY lock, scan and rewrite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.models.catalog import Name
from confiture.models.trace import LockMode
from confiture.sql.effects.dropping import lock_sequences, referencing
from confiture.sql.effects.querying import Use, read, relations
from confiture.sql.effects.recording import Recorder
from confiture.sql.options import is_on
from confiture.sql.tree import pb

_AX = LockMode.ACCESS_EXCLUSIVE
_MODES = list(LockMode)


def vacuum(node: Any, recorder: Recorder) -> None:
    """VACUUM and ANALYZE, of the tables that are named, or of all."""
    full = bool(node.is_vacuumcmd) and is_on(node.options, "full")
    named = [one.vacuum_relation.relation for one in node.rels]
    families = [recorder.family(recorder.name(one), only=not one.inh) for one in named]
    members = [name for family in families for name in family] if named else _all(recorder)
    recorder.lock(members, _AX if full else LockMode.SHARE_UPDATE_EXCLUSIVE)
    if full:
        recorder.rewrite(members)


def cluster(node: Any, recorder: Recorder) -> None:
    """CLUSTER of a table; without a name, of those that were clustered before, which nobody knows here."""
    if node.HasField("relation"):
        members = recorder.family(recorder.name(node.relation))
        recorder.lock(members, _AX)
        recorder.rewrite(members)


def reindex(node: Any, recorder: Recorder) -> None:
    """REINDEX: the table can be read, unless a plan wants the index."""
    concurrently = is_on(node.params, "concurrently")
    on_table = LockMode.SHARE_UPDATE_EXCLUSIVE if concurrently else LockMode.SHARE
    on_index = LockMode.SHARE_UPDATE_EXCLUSIVE if concurrently else _AX
    if node.kind == pb.REINDEX_OBJECT_INDEX:
        index = recorder.name(node.relation)
        indexed = recorder.catalog.indexed(*index)
        tables: tuple[Name, ...] = recorder.family(indexed[0].name) if indexed else ()
        recorder.lock([index], on_index)
    else:
        tables = _reindexed(node, recorder)
        for table in tables:
            recorder.lock(recorder.indexes(table), on_index)
    recorder.lock(tables, on_table)
    recorder.scan(tables)


def _reindexed(node: Any, recorder: Recorder) -> tuple[Name, ...]:
    if node.kind == pb.REINDEX_OBJECT_TABLE:
        return recorder.family(recorder.name(node.relation))
    if node.kind == pb.REINDEX_OBJECT_SCHEMA:
        return tuple(name for name in _all(recorder) if name.schema == node.name)
    return tuple(_all(recorder)) if node.kind == pb.REINDEX_OBJECT_DATABASE else ()


def refresh(node: Any, recorder: Recorder) -> None:
    """REFRESH MATERIALIZED VIEW: reads all that its query reads."""
    name = recorder.name(node.relation)
    recorder.lock([name], LockMode.EXCLUSIVE if node.concurrent else _AX)
    recorder.scan([name])
    if not node.concurrent:
        recorder.rewrite([name])
    view = recorder.view(name)
    if view and not node.skip_data:
        sources = [source for relation in view.relations for source in relations(relation, recorder)]
        recorder.lock(sources, LockMode.ACCESS_SHARE)
        recorder.scan(sources)


def truncate(node: Any, recorder: Recorder) -> None:
    """TRUNCATE: by CASCADE also what refers to the tables."""
    found = [name for one in node.relations for name in _truncated(one.range_var, recorder)]
    if node.behavior == pb.DROP_CASCADE:
        for name in found:
            others = [part for other in referencing(name, recorder) for part in recorder.family(other)]
            found.extend(other for other in others if other not in found)
    recorder.lock(found, _AX)
    for name in found:
        if recorder.holds_rows(name):
            recorder.lock(recorder.indexes(name), _AX)
        if node.restart_seqs:
            lock_sequences(name, recorder)


def _truncated(range_var: Any, recorder: Recorder) -> tuple[Name, ...]:
    return recorder.family(recorder.name(range_var), only=not range_var.inh)


def lock(node: Any, recorder: Recorder) -> None:
    """LOCK TABLE: also what inherits, and what a view reads."""
    for one in node.relations:
        names = relations(recorder.name(one.range_var), recorder, only=not one.range_var.inh)
        recorder.lock(names, _MODES[node.mode - 1])


def copy(node: Any, recorder: Recorder) -> None:
    """COPY of a table or a query."""
    if node.HasField("query"):
        read(node.query, recorder)
        return
    name = recorder.name(node.relation)
    if node.is_from:
        recorder.lock(_routed(name, recorder), LockMode.ROW_EXCLUSIVE)
    else:
        recorder.lock([name], LockMode.ACCESS_SHARE)
        recorder.scan([name])


def _routed(name: Name, recorder: Recorder) -> Iterable[Name]:
    return recorder.whole(name)


def explain(node: Any, recorder: Recorder) -> None:
    """EXPLAIN: takes the locks of its statement, and runs it only with ANALYZE."""
    read(node.query, recorder, Use.RUN if is_on(node.options, "analyze") else Use.PLANNED)


def _all(recorder: Recorder) -> list[Name]:
    views = (view.name for view in recorder.catalog.views.values() if view.materialized)
    return [*recorder.catalog.tables, *views]
