"""Detect statements with CONCURRENTLY that fail in a real run although their dry-run form succeeds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from confiture.core.db.connection import Connection
from confiture.core.db.errors import StepFailed
from confiture.core.db.queries import query, quote_table
from confiture.models.plan import PlannedStep, Segment, Statement, TableRef
from confiture.models.source import RenderedSql
from confiture.sql.parse_tree import parse_rendered, pb

_PARTITIONED, _PARTITIONED_INDEX = "p", "I"


class _TargetRelation(NamedTuple):
    """A statement's target relation, and whether the statement detaches a partition from it."""

    name: str
    is_detach: bool


def reject_failing_statements(connection: Connection, segment: Segment) -> None:
    """Raise StepFailed if a non-transactional segment's statement would fail in a real run.

    The error messages and codes are PostgreSQL's.
    """
    (step,) = segment.steps
    for statement in step.statements:
        _reject_unsupported_form(step, statement)
        _reject_missing_relations(connection, step, statement)
        target = _find_target(statement, step.rendered)
        relation = _read_relation(connection, target) if target else None
        if target is None or relation is None:
            continue
        if target.is_detach and relation["has_default"]:
            message = "cannot detach partitions concurrently when a default partition exists"
            raise _step_failure(step, statement, "55000", message, "DETACH PARTITION without CONCURRENTLY")
        if statement.node_kind == "reindex_stmt" and relation["is_catalog"]:
            message = "cannot reindex system catalogs concurrently"
            raise _step_failure(
                step, statement, "0A000", message, "REINDEX without CONCURRENTLY, in a maintenance window"
            )
        if statement.node_kind == "reindex_stmt" and relation["is_exclusion"]:
            message = "concurrent index creation for exclusion constraints is not supported"
            raise _step_failure(step, statement, "0A000", message, "REINDEX INDEX without CONCURRENTLY")
        if statement.built_index and relation["kind"] == _PARTITIONED:
            message = f"cannot create index on partitioned table {target.name} concurrently"
            hint = "CREATE INDEX ... ON ONLY, then one CONCURRENTLY for each partition, and ATTACH PARTITION"
            raise _step_failure(step, statement, "0A000", message, hint)
        if statement.dropped_index and relation["kind"] == _PARTITIONED_INDEX:
            message = f"cannot drop partitioned index {target.name} concurrently"
            raise _step_failure(step, statement, "0A000", message, "DROP INDEX without CONCURRENTLY")


def drop_unusable_transactional_form(connection: Connection, segment: Segment) -> Segment:
    """Return the segment without the transactional form of its statement, if that form would fail.

    This applies to REINDEX on a partitioned relation, a schema or the database.
    """
    (step,) = segment.steps
    (statement,) = step.statements
    if statement.node_kind != "reindex_stmt":
        return segment
    target = _find_target(statement, step.rendered)
    relation = _read_relation(connection, target) if target else None
    if target and (relation is None or relation["kind"] not in (_PARTITIONED, _PARTITIONED_INDEX)):
        return segment
    return replace(segment, steps=(replace(step, statements=(replace(statement, is_concurrent=False),)),))


def _read_relation(connection: Connection, target: _TargetRelation) -> dict[str, Any] | None:
    """Return the relation's kind and whether it has a default partition; None if the relation does not exist."""
    return connection.execute(query("relation_kind"), {"relation": target.name}).fetchone()


def _reject_unsupported_form(step: PlannedStep, statement: Statement) -> None:
    """Raise StepFailed for DROP INDEX CONCURRENTLY with several indexes or CASCADE."""
    node = _parse(statement, step.rendered)
    if not statement.dropped_index or node is None:
        return
    if len(node.objects) > 1:
        message = "DROP INDEX CONCURRENTLY does not support dropping multiple objects"
        raise _step_failure(step, statement, "0A000", message, "one DROP INDEX CONCURRENTLY for each index")
    if node.behavior == pb.DROP_CASCADE:
        message = "DROP INDEX CONCURRENTLY does not support CASCADE"
        raise _step_failure(step, statement, "0A000", message, "drop the dependent objects first, or omit CONCURRENTLY")


def _reject_missing_relations(connection: Connection, step: PlannedStep, statement: Statement) -> None:
    """Raise StepFailed for VACUUM of a relation that does not exist, because a dry run skips VACUUM."""
    node = _parse(statement, step.rendered)
    if statement.node_kind != "vacuum_stmt" or node is None:
        return
    for item in node.rels:
        relation = item.vacuum_relation.relation
        name = quote_table(TableRef(relation.schemaname, relation.relname))
        if _read_relation(connection, _TargetRelation(name, is_detach=False)) is None:
            raise _step_failure(step, statement, "42P01", f"relation {name} does not exist", "correct the name")


def _parse(statement: Statement, rendered: RenderedSql) -> Any:
    """Return the parse tree of a statement; None if it is not in the rendered text."""
    return next((one.node for one in parse_rendered(rendered) if one.offset == statement.offset), None)


def _find_target(statement: Statement, rendered: RenderedSql) -> _TargetRelation | None:
    """Return a statement's target relation; None if there is no target or more than one."""
    node = _parse(statement, rendered)
    if node is None:
        return None
    if statement.dropped_index:
        return _TargetRelation(
            quote_table(TableRef(statement.dropped_index.schema, statement.dropped_index.name)), is_detach=False
        )
    if statement.node_kind not in ("index_stmt", "alter_table_stmt", "reindex_stmt") or not node.HasField("relation"):
        return None
    detaches = statement.node_kind == "alter_table_stmt" and any(
        command.alter_table_cmd.subtype == pb.AT_DetachPartition for command in node.cmds
    )
    return _TargetRelation(quote_table(TableRef(node.relation.schemaname, node.relation.relname)), detaches)


def _step_failure(step: PlannedStep, statement: Statement, sqlstate: str, message: str, hint: str) -> StepFailed:
    return StepFailed(step.rendered.diagnostic(statement.offset, sqlstate, message, hint=hint), sqlstate)
