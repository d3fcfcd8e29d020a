"""Check a migration's backfills before its first segment commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confiture.core.backfill.backfill_source import find_source
from confiture.core.db.connection import Connection
from confiture.models.plan import PlannedBackfill, PlannedStep, Segment, TableRef, TransactionMode
from confiture.sql.batching import source_tables
from confiture.sql.parse_tree import parse_rendered
from confiture.sql.parser import parse_sql, pb
from confiture.sql.traversal import find_nodes

_KNOWN = frozenset(
    {"create_stmt", "create_seq_stmt", "create_enum_stmt", "composite_type_stmt", "view_stmt", "comment_stmt"}
)
"""Statements that change only what they name. All others may call functions, or change what they do not name."""


def check_backfills(
    connection: Connection, segments: Sequence[Segment], begin_session: Callable[[Segment], None]
) -> None:
    """Raise StepFailed for the first backfill that would be rejected only after earlier segments have committed.

    A backfill is checked only if its tables exist and no earlier segment can change them.
    `begin_session` prepares the connection for a segment's session.
    """
    for position, segment in enumerate(segments):
        if segment.transaction_mode is not TransactionMode.BATCHED or position == 0:
            continue
        (step,) = segment.steps
        if step.backfill is None or _can_change(segments[:position], _read_tables(step, step.backfill)):
            continue
        begin_session(segment)
        find_source(connection, step, step.backfill)


def _read_tables(step: PlannedStep, backfill: PlannedBackfill) -> list[TableRef]:
    return [backfill.source, *source_tables(parse_rendered(step.rendered)[0])]


def _can_change(segments: Sequence[Segment], tables: Sequence[TableRef]) -> bool:
    """Whether a statement may change one of the tables: it names the table, or its effects are unknown."""
    names = {table.name for table in tables}
    for segment in segments:
        for step in segment.steps:
            if step.hook is not None or any(statement.node_kind not in _KNOWN for statement in step.statements):
                return True
            for statement in step.statements:
                relations = find_nodes(parse_sql(statement.text).stmts[0].stmt, pb.RangeVar)
                if any(relation.relname in names for relation in relations):
                    return True
    return False
