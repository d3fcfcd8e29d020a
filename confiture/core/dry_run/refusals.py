"""What PostgreSQL refuses of statements with CONCURRENTLY, and would not refuse of the form that a dry run runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from confiture.core.database import Connection
from confiture.core.failures import StepFailed
from confiture.core.names import quoted
from confiture.core.queries import query
from confiture.models.plan import PlannedStep, Segment, Statement, TableRef
from confiture.models.source import Rendered
from confiture.sql.tree import parsed, pb

_PARTITIONED, _PARTITIONED_INDEX = "p", "I"


class _Target(NamedTuple):
    """What a statement is about, and whether it detaches a partition from it."""

    name: str
    detaches: bool


def refuse_what_fails(connection: Connection, segment: Segment) -> None:
    """Raises StepFailed where the statement of a segment outside a transaction fails for real, whatever its
    transactional form does. Messages and codes are those of PostgreSQL.
    """
    (step,) = segment.steps
    for statement in step.statements:
        target = _target(statement, step.rendered)
        found = _relation(connection, target) if target else None
        if target is None or found is None:
            continue
        if target.detaches and found["has_default"]:
            message = "cannot detach partitions concurrently when a default partition exists"
            raise _failed(step, statement, "55000", message, "DETACH PARTITION without CONCURRENTLY")
        if statement.builds and found["kind"] == _PARTITIONED:
            message = f"cannot create index on partitioned table {target.name} concurrently"
            hint = "CREATE INDEX ... ON ONLY, then one CONCURRENTLY for each partition, and ATTACH PARTITION"
            raise _failed(step, statement, "0A000", message, hint)
        if statement.drops and found["kind"] == _PARTITIONED_INDEX:
            message = f"cannot drop partitioned index {target.name} concurrently"
            raise _failed(step, statement, "0A000", message, "DROP INDEX without CONCURRENTLY")


def without_false_forms(connection: Connection, segment: Segment) -> Segment:
    """The segment, its statement without a transactional form where that fails: REINDEX of what has partitions, of a
    schema, or of the database.
    """
    (step,) = segment.steps
    (statement,) = step.statements
    if statement.node != "reindex_stmt":
        return segment
    target = _target(statement, step.rendered)
    found = _relation(connection, target) if target else None
    if target and (found is None or found["kind"] not in (_PARTITIONED, _PARTITIONED_INDEX)):
        return segment
    return replace(segment, steps=(replace(step, statements=(replace(statement, concurrently=False),)),))


def _relation(connection: Connection, target: _Target) -> dict[str, Any] | None:
    """Its kind, and whether it has a default partition; None where it is not there."""
    return connection.execute(query("relation_kind"), {"relation": target.name}).fetchone()


def _target(statement: Statement, rendered: Rendered) -> _Target | None:
    """The relation that a statement is about; None where it is about none, or many."""
    node = next((one.node for one in parsed(rendered) if one.offset == statement.offset), None)
    if node is None:
        return None
    if statement.drops:
        return _Target(quoted(TableRef(statement.drops.schema, statement.drops.name)), detaches=False)
    if statement.node not in ("index_stmt", "alter_table_stmt", "reindex_stmt") or not node.HasField("relation"):
        return None
    detaches = statement.node == "alter_table_stmt" and any(
        command.alter_table_cmd.subtype == pb.AT_DetachPartition for command in node.cmds
    )
    return _Target(quoted(TableRef(node.relation.schemaname, node.relation.relname)), detaches)


def _failed(step: PlannedStep, statement: Statement, sqlstate: str, message: str, hint: str) -> StepFailed:
    return StepFailed(step.rendered.diagnostic(statement.offset, sqlstate, message, hint=hint), sqlstate)
