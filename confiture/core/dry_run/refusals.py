"""What PostgreSQL refuses of statements with CONCURRENTLY, and would not refuse of the form that a dry run runs."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from confiture.core.database import Connection
from confiture.core.failures import StepFailed
from confiture.core.queries import query
from confiture.models.plan import PlannedStep, Segment, Statement
from confiture.models.source import Rendered
from confiture.sql.tree import identifier, parsed, pb

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
        row = connection.execute(query("relation_kind"), {"relation": target.name}).fetchone() if target else None
        if target and row and target.detaches and row["has_default"]:
            message = "cannot detach partitions concurrently when a default partition exists"
            raise _failed(step, statement, "55000", message, "DETACH PARTITION without CONCURRENTLY")
        if target and row and statement.builds and row["kind"] == _PARTITIONED:
            message = f"cannot create index on partitioned table {target.name} concurrently"
            hint = "CREATE INDEX ... ON ONLY, then one CONCURRENTLY for each partition, and ATTACH PARTITION"
            raise _failed(step, statement, "0A000", message, hint)
        if target and row and statement.drops and row["kind"] == _PARTITIONED_INDEX:
            message = f"cannot drop partitioned index {target.name} concurrently"
            raise _failed(step, statement, "0A000", message, "DROP INDEX without CONCURRENTLY")


def without_false_forms(connection: Connection, segment: Segment) -> Segment:
    """The segment, its statement without a transactional form where that fails: REINDEX of what has partitions."""
    (step,) = segment.steps
    (statement,) = step.statements
    if statement.node != "reindex_stmt":
        return segment
    target = _target(statement, step.rendered)
    row = connection.execute(query("relation_kind"), {"relation": target.name}).fetchone() if target else None
    if row is None or row["kind"] not in (_PARTITIONED, _PARTITIONED_INDEX):
        return segment
    return replace(segment, steps=(replace(step, statements=(replace(statement, concurrently=False),)),))


def _target(statement: Statement, rendered: Rendered) -> _Target | None:
    node = next((one.node for one in parsed(rendered) if one.offset == statement.offset), None)
    if node is None:
        return None
    if statement.drops:
        return _Target(_quoted(statement.drops.schema, statement.drops.name), detaches=False)
    if statement.node not in ("index_stmt", "alter_table_stmt", "reindex_stmt"):
        return None
    detaches = statement.node == "alter_table_stmt" and any(
        command.alter_table_cmd.subtype == pb.AT_DetachPartition for command in node.cmds
    )
    return _Target(_quoted(node.relation.schemaname, node.relation.relname), detaches)


def _quoted(schema: str | None, name: str) -> str:
    return ".".join(identifier(part) for part in (schema, name) if part)


def _failed(step: PlannedStep, statement: Statement, sqlstate: str, message: str, hint: str) -> StepFailed:
    return StepFailed(step.rendered.diagnostic(statement.offset, sqlstate, message, hint=hint), sqlstate)
