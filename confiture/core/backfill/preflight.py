"""Check a migration's backfills before its first segment commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confiture.core.backfill.backfill_source import find_source
from confiture.core.db.connection import Connection
from confiture.models.plan import PlannedBackfill, PlannedStep, Segment, TableRef, TransactionMode
from confiture.sql.batching import source_tables
from confiture.sql.parse_tree import parse_rendered

_OPAQUE = frozenset({"do_stmt", "call_stmt"})


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
    """Whether a step in the segments may change one of the tables: the step mentions it, or its effects are unknown."""
    names = {table.name.lower() for table in tables}
    for segment in segments:
        for step in segment.steps:
            if step.hook is not None:
                return True
            for statement in step.statements:
                text = statement.text.lower()
                if statement.node_kind in _OPAQUE or any(name in text for name in names):
                    return True
    return False
