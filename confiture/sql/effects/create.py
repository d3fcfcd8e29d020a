"""Locks and scans caused by CREATE, RENAME, COMMENT, GRANT, ALTER DOMAIN, and related statements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.models.catalog import DomainType, QualifiedName, Table
from confiture.models.trace import LockMode
from confiture.sql.effects.drop import lock_sequences
from confiture.sql.effects.partitions import lock_partition_relatives
from confiture.sql.effects.queries import QueryUse, analyze_query
from confiture.sql.effects.recorder import EffectRecorder
from confiture.sql.parse_tree import get_definition, pb, strings

_AX = LockMode.ACCESS_EXCLUSIVE
_RELATIONS = (pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_FOREIGN_TABLE, pb.OBJECT_SEQUENCE)
_PARTS = (pb.OBJECT_TABCONSTRAINT, pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE)
"""Objects that belong to a table. Their qualified name is the table name followed by their own name."""
_GRANT_OPENS_TABLE = 18
"""The first PostgreSQL version in which GRANT on a table locks the table."""


def create_table(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE TABLE, which locks tables that it references, inherits from, or becomes a partition
    of.
    """
    if node.if_not_exists and recorder.catalog.relation(node.relation.schemaname or None, node.relation.relname):
        return
    constraints = [one.constraint for one in node.constraints]
    for element in node.table_elts:
        constraints.extend(one.constraint for one in element.column_def.constraints)
        if element.WhichOneof("node") == "constraint":
            constraints.append(element.constraint)
        elif element.WhichOneof("node") == "table_like_clause":
            recorder.lock([recorder.resolve_range_var(element.table_like_clause.relation)], LockMode.ACCESS_SHARE)
    for constraint in constraints:
        if constraint.contype == pb.CONSTR_FOREIGN and constraint.pktable.relname != node.relation.relname:
            recorder.lock(
                recorder.with_partitions(recorder.resolve_range_var(constraint.pktable)), LockMode.SHARE_ROW_EXCLUSIVE
            )
    for parent in node.inh_relations:
        _become_child(recorder.resolve_range_var(parent.range_var), recorder, partition=node.HasField("partbound"))


def _become_child(parent: QualifiedName, recorder: EffectRecorder, *, partition: bool) -> None:
    recorder.lock([parent], _AX if partition else LockMode.SHARE_UPDATE_EXCLUSIVE)
    if partition:
        lock_partition_relatives(parent, recorder)


def create_foreign_table(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE FOREIGN TABLE."""
    create_table(node.base_stmt, recorder)


def create_index(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE INDEX. On a partitioned table, all partitions are affected."""
    name = recorder.resolve_range_var(node.relation)
    members = recorder.with_partitions(name) if node.relation.inh else (name,)
    recorder.lock(members, LockMode.SHARE_UPDATE_EXCLUSIVE if node.concurrent else LockMode.SHARE)
    if not (node.if_not_exists and recorder.catalog.find_index(name.schema, node.idxname)):
        recorder.scan(members)


def create_view(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE VIEW. OR REPLACE locks the existing view."""
    analyze_query(node.query, recorder, QueryUse.DEFINED)
    if node.replace and recorder.resolve_range_var(node.view) in recorder.catalog.views:
        recorder.lock([recorder.resolve_range_var(node.view)], _AX)


def prepare(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of PREPARE."""
    analyze_query(node.query, recorder, QueryUse.DEFINED)


def declare_cursor(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of DECLARE CURSOR, which does not read rows yet."""
    analyze_query(node.query, recorder, QueryUse.PLANNED)


def create_table_as(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE TABLE AS and CREATE MATERIALIZED VIEW."""
    analyze_query(node.query, recorder, QueryUse.DEFINED if node.into.skip_data else QueryUse.RUN)


def create_trigger(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE TRIGGER. On a partitioned table, all partitions are affected."""
    name = recorder.resolve_range_var(node.relation)
    recorder.lock(recorder.with_partitions(name) if node.row else (name,), LockMode.SHARE_ROW_EXCLUSIVE)
    if node.HasField("constrrel"):
        recorder.lock([recorder.resolve_range_var(node.constrrel)], LockMode.ACCESS_SHARE)


def create_or_alter_policy(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE POLICY and ALTER POLICY."""
    recorder.lock([recorder.resolve_range_var(node.table)], _AX)


def create_rule(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE RULE. The relations that the rule's actions name are opened as well."""
    recorder.lock([recorder.resolve_range_var(node.relation)], _AX)
    for action in node.actions:
        analyze_query(action, recorder, QueryUse.DEFINED)


def create_statistics(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE STATISTICS."""
    recorder.lock(_range_var_names(node.relations, recorder), LockMode.SHARE_UPDATE_EXCLUSIVE)


def create_or_alter_publication(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE PUBLICATION and ALTER PUBLICATION if they name tables."""
    tables = [one.publication_obj_spec.pubtable.relation for one in node.pubobjects]
    names = [recorder.resolve_range_var(table) for table in tables if table.relname]
    recorder.lock(names, LockMode.SHARE_UPDATE_EXCLUSIVE)


def create_sequence(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of CREATE SEQUENCE, which locks the table that will own the sequence."""
    _lock_sequence_owner(node, recorder)


def _lock_sequence_owner(node: Any, recorder: EffectRecorder) -> None:
    for option in node.options:
        owner = strings(option.def_elem.arg.list.items) if option.def_elem.defname == "owned_by" else ()
        if len(owner) > 1:
            recorder.lock([recorder.resolve(owner[-3] if len(owner) > 2 else None, owner[-2])], LockMode.ACCESS_SHARE)


def alter_sequence(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of ALTER SEQUENCE."""
    recorder.lock(_existing_sequences(node.sequence, node.missing_ok, recorder), LockMode.SHARE_ROW_EXCLUSIVE)
    _lock_sequence_owner(node, recorder)


def rename(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of ALTER ... RENAME for relations, columns, constraints, triggers, policies, and rules."""
    if not node.HasField("relation") or node.rename_type == pb.OBJECT_ATTRIBUTE:
        return
    name = recorder.resolve_range_var(node.relation)
    parts = recorder.is_partitioned(name) and node.rename_type == pb.OBJECT_TRIGGER
    inherited = node.relation.inh and (parts or node.rename_type in (pb.OBJECT_COLUMN, pb.OBJECT_TABCONSTRAINT))
    weak = node.rename_type == pb.OBJECT_INDEX
    if node.rename_type == pb.OBJECT_TABCONSTRAINT and recorder.catalog.find_index(name.schema, node.subname):
        recorder.lock([QualifiedName(name.schema, node.subname)], LockMode.SHARE_UPDATE_EXCLUSIVE)
    recorder.lock(recorder.with_descendants(name, only=not inherited), LockMode.SHARE_UPDATE_EXCLUSIVE if weak else _AX)


def set_schema(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of ALTER ... SET SCHEMA for relations."""
    if node.HasField("relation"):
        name = recorder.resolve_range_var(node.relation)
        recorder.lock([name], _AX)
        lock_sequences(name, recorder)


def comment(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of COMMENT ON a relation, a column, an index, or an object that belongs to a table."""
    parts = strings(node.object.list.items)
    if node.objtype in (pb.OBJECT_COLUMN, *_PARTS):
        parts = parts[:-1]
    if parts and node.objtype in (*_RELATIONS, *_PARTS, pb.OBJECT_COLUMN, pb.OBJECT_INDEX):
        weak = node.objtype in _PARTS
        name = recorder.resolve(parts[-2] if len(parts) > 1 else None, parts[-1])
        recorder.lock([name], LockMode.ACCESS_SHARE if weak else LockMode.SHARE_UPDATE_EXCLUSIVE)


def grant(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of GRANT and REVOKE on named relations."""
    is_on_named_relations = (
        node.objtype in (pb.OBJECT_TABLE, pb.OBJECT_SEQUENCE) and node.targtype == pb.ACL_TARGET_OBJECT
    )
    if is_on_named_relations and recorder.version >= _GRANT_OPENS_TABLE:
        recorder.lock(_range_var_names(node.objects, recorder), LockMode.ACCESS_SHARE)


def _range_var_names(nodes: Iterable[Any], recorder: EffectRecorder) -> list[QualifiedName]:
    return [recorder.resolve_range_var(node.range_var) for node in nodes if node.WhichOneof("node") == "range_var"]


def _existing_sequences(range_var: Any, missing_ok: bool, recorder: EffectRecorder) -> list[QualifiedName]:
    name = recorder.resolve_range_var(range_var)
    return [] if missing_ok and name not in recorder.catalog.sequences else [name]


def alter_domain(node: Any, recorder: EffectRecorder) -> None:
    """Record the effects of ALTER DOMAIN. A stricter domain scans every table with a column of that domain."""
    kind, constraint = node.subtype, get_definition(node).constraint
    proves = kind in ("O", "V") or (kind == "C" and not constraint.skip_validation)
    if not proves:
        return
    names = strings(node.type_name)
    domain = next(
        (recorder.catalog.types.get(QualifiedName(schema, names[-1])) for schema in _schemas_of(names, recorder)), None
    )
    if isinstance(domain, DomainType):
        tables = [table.name for table in recorder.catalog.tables.values() if _has_column_of(table, domain)]
        recorder.lock(tables, LockMode.SHARE)
        recorder.scan(tables)


def _schemas_of(names: tuple[str, ...], recorder: EffectRecorder) -> tuple[str, ...]:
    return (names[-2],) if len(names) > 1 else tuple(recorder.catalog.search_path)


def _has_column_of(table: Table, domain: DomainType) -> bool:
    return any(column.type == str(domain.name) for column in table.columns)
