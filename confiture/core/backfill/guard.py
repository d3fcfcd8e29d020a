"""Refuses batches that PostgreSQL would carry out by reading a table from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from confiture.core.backfill.batches import batch_failure, with_condition
from confiture.core.backfill.keys import Piece, Values
from confiture.core.backfill.source import failed
from confiture.core.backfill.walking import Position, Walk
from confiture.core.backfill.work import Work
from confiture.core.steps import StepFailed

_EXPLAIN = "EXPLAIN (FORMAT JSON) "
_TIMES_THE_BATCH = 10
"""An estimate that is off by more than this is a plan for another amount of rows."""


def refuse_bad_plan(work: Work, end: Values) -> None:
    """Plans the first batch. Raises StepFailed, with the plan, where it would read the whole driving table, or where
    PostgreSQL expects many times the rows of a batch.

    A table that is not much larger than a batch may be read whole.
    """
    stretch = Walk(work.connection, work.key, end).next(Position(), work.backfill.batch_rows)
    if stretch is None:
        return
    nodes = list(_nodes(_plan(work, stretch.piece)))
    limit = work.backfill.batch_rows * _TIMES_THE_BATCH
    for node in nodes:
        if node.get("Alias") != work.key.alias:
            continue
        if node["Plan Rows"] > limit or (node["Node Type"] == "Seq Scan" and _has_more_rows(work, limit)):
            raise failed(
                work.step,
                "bad-plan",
                f"PostgreSQL plans {node['Node Type']} on {work.key.table} for a batch, and expects"
                f" {node['Plan Rows']:,} rows of it; a batch has {work.backfill.batch_rows:,}",
                f"ANALYZE {work.key.table}; look at what else the WHERE says, and at the index on the batch key",
                detail=tuple(_lines(nodes)),
            )


def _plan(work: Work, piece: Piece) -> dict[str, Any]:
    """The plan of a batch. Raises StepFailed where the statement itself is wrong."""
    (statement,) = work.step.statements
    condition = work.key.predicate(piece).as_string(work.connection)
    text = f"{_EXPLAIN}{with_condition(statement, condition)}"
    try:
        row = work.connection.execute(text.encode()).fetchone()
    except psycopg.Error as error:
        told = batch_failure(error, statement, work.step, condition, prefix=len(_EXPLAIN))
        raise StepFailed(told, error.sqlstate) from error
    plan: dict[str, Any] = row["QUERY PLAN"][0]["Plan"] if row else {}
    return plan


def _has_more_rows(work: Work, number: int) -> bool:
    query = sql.SQL("SELECT FROM {} OFFSET {} LIMIT 1").format(work.key.source, number)
    return work.connection.execute(query).fetchone() is not None


def _nodes(plan: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    yield {**plan, "depth": depth}
    for child in plan.get("Plans", ()):
        yield from _nodes(child, depth + 1)


def _lines(nodes: list[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        named = f" on {node['Relation Name']}" if "Relation Name" in node else ""
        yield f"{'  ' * node['depth']}{node['Node Type']}{named} (about {node['Plan Rows']:,} rows)"
