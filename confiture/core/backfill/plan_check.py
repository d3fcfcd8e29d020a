"""Reject batches that would make PostgreSQL scan a whole table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from confiture.core.backfill.backfill_source import backfill_error
from confiture.core.backfill.batch_key import BatchKey, KeyRange, KeyValues
from confiture.core.backfill.batches import add_where, batch_diagnostic
from confiture.core.backfill.keyset_cursor import CursorPosition, KeysetCursor
from confiture.core.db.connection import Connection
from confiture.core.db.errors import StepFailed
from confiture.core.db.queries import query, quote_table
from confiture.models.catalog import QualifiedName
from confiture.models.plan import PlannedStep
from confiture.text import pluralize

_EXPLAIN = "EXPLAIN (VERBOSE, FORMAT JSON) "
_ASIDE = ("InitPlan", "SubPlan")
_TIMES_THE_BATCH = 10
"""A plan is rejected if it expects more than this many times the rows of a batch."""


def check_batch_plan(connection: Connection, step: PlannedStep, key: BatchKey, end: KeyValues) -> None:
    """Plan the first batch, and check the plan.

    Raise StepFailed if the query would aggregate all rows into one. Also raise StepFailed, with the plan, if the query
    would scan the whole driving table or a whole partition of it, or if PostgreSQL expects to read many times the rows
    of a batch from the table. Scanning a table or partition that is not much larger than a batch is allowed.
    """
    rows = step.backfill.batch_rows if step.backfill else 1
    chunk = KeysetCursor(connection, key, end).next_chunk(CursorPosition(), rows)
    if chunk is None:
        return
    plan = _explain_batch(connection, step, key, chunk.key_range)
    if _is_single_row_aggregate(plan):
        # Only PostgreSQL knows which functions are aggregates.
        columns = ", ".join(f"{key.alias}.{column.name}" for column in key.columns)
        message = "the query aggregates without GROUP BY: it would return one row per batch"
        raise backfill_error(step, "backfill-groups", message, f"GROUP BY {columns}")
    nodes = list(_iterate_nodes(plan))
    limit = rows * _TIMES_THE_BATCH
    for node in _driving_table_nodes(connection, key, nodes):
        is_bad = node["Plan Rows"] > limit or node["Node Type"] == "Seq Scan"
        if is_bad and _has_more_rows(connection, node, limit):
            raise backfill_error(
                step,
                "bad-plan",
                f"PostgreSQL plans {node['Node Type']} on {_node_relation(node)} for a batch, and expects"
                f" {pluralize(node['Plan Rows'], 'row')}; a batch has {rows:,}",
                f"run ANALYZE {quote_table(key.table)}; check the other WHERE conditions, and the index on"
                " the batch key",
                detail=tuple(_format_nodes(nodes)),
            )


def _is_single_row_aggregate(plan: dict[str, Any]) -> bool:
    """Whether the outermost query aggregates all rows into one, with a plain aggregate above its joins."""
    while plan["Node Type"] != "Aggregate":
        inputs = [child for child in plan.get("Plans", ()) if child["Parent Relationship"] not in _ASIDE]
        if len(inputs) != 1:
            return False
        (plan,) = inputs
    return str(plan["Strategy"]) == "Plain" and "Grouping Sets" not in plan


def _driving_table_nodes(
    connection: Connection, key: BatchKey, nodes: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the plan nodes that read the driving table; the aliases of its partitions have a numeric suffix."""
    rows = connection.execute(query("holders_of_rows"), {"table": quote_table(key.table)})
    holders = {QualifiedName(row["schema"], row["name"]) for row in rows}
    alias = re.compile(rf"{re.escape(key.alias)}(_\d+)?")
    return [node for node in nodes if alias.fullmatch(node.get("Alias", "")) and _node_relation(node) in holders]


def _node_relation(node: dict[str, Any]) -> QualifiedName | None:
    return QualifiedName(node["Schema"], node["Relation Name"]) if "Relation Name" in node else None


def _explain_batch(connection: Connection, step: PlannedStep, key: BatchKey, key_range: KeyRange) -> dict[str, Any]:
    """Return the query plan for a batch. Raise StepFailed if the statement itself is invalid."""
    (statement,) = step.statements
    condition = key.predicate(key_range).as_string(connection)
    text = f"{_EXPLAIN}{add_where(statement, condition)}"
    try:
        row = connection.execute(text.encode()).fetchone()
    except psycopg.Error as error:
        diagnostic = batch_diagnostic(error, statement, step, condition, prefix=len(_EXPLAIN))
        raise StepFailed(diagnostic, error.sqlstate) from error
    plan: dict[str, Any] = row["QUERY PLAN"][0]["Plan"] if row else {}
    return plan


def _has_more_rows(connection: Connection, node: dict[str, Any], number: int) -> bool:
    """Whether the relation read by a plan node has more than `number` rows."""
    table = sql.Identifier(node["Schema"], node["Relation Name"])
    return connection.execute(sql.SQL("SELECT FROM {} OFFSET {} LIMIT 1").format(table, number)).fetchone() is not None


def _iterate_nodes(plan: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    yield {**plan, "depth": depth}
    for child in plan.get("Plans", ()):
        yield from _iterate_nodes(child, depth + 1)


def _format_nodes(nodes: list[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        named = f" on {node['Relation Name']}" if "Relation Name" in node else ""
        yield f"{'  ' * node['depth']}{node['Node Type']}{named} (about {pluralize(node['Plan Rows'], 'row')})"
