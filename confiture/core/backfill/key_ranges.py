"""Split the key range into parts that workers process one after another."""

from __future__ import annotations

from psycopg import sql

from confiture.core.backfill.batch_key import BatchKey, KeyValues
from confiture.core.backfill.keyset_cursor import CursorPosition, position_after
from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.queries import query, quote_table

_PARTS_PER_WORKER = 12
"""Sampled parts differ in size by up to a third. With many parts, no worker is left with a large remainder."""
_SAMPLED_PAGES = 1_000
_MIN_SAMPLE = 200


def split_ranges(
    connection: Connection, key: BatchKey, end: KeyValues, workers: int
) -> list[tuple[CursorPosition, KeyValues]]:
    """Return the start and the inclusive end key of each part. For one worker or a small table, return a single part.

    The split points are the keys of sampled rows.
    """
    split_points = sample_split_points(connection, key, end, workers * _PARTS_PER_WORKER) if workers > 1 else []
    ends = [*split_points, end]
    starts = [
        CursorPosition(),
        *(position_after(connection, key, cut, stop) for cut, stop in zip(split_points, ends[1:], strict=True)),
    ]
    return list(zip(starts, ends, strict=True))


def sample_split_points(connection: Connection, key: BatchKey, end: KeyValues, parts: int) -> list[KeyValues]:
    """Return ordered keys before `end` that split the table into roughly equal parts; none for a small table."""
    pages = fetch_named_row(connection, "pages", table=quote_table(key.table))["pages"]
    percent = min(100.0, 100.0 * _SAMPLED_PAGES / max(pages, 1))
    columns = sql.SQL(", ").join(key.text(place) for place in range(len(key)))
    statement = sql.SQL(query("cuts").decode()).format(
        least=sql.Literal(max(_MIN_SAMPLE, parts)),
        parts=sql.Literal(parts),
        order=key.order_by(),
        columns=columns,
        source=key.from_clause,
        percent=sql.Literal(percent),
        before=key.precedes(end),
    )
    return [tuple(row["key"]) for row in connection.execute(statement)]
