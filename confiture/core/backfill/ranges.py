"""Cuts the key's range into parts that workers take one after the other."""

from __future__ import annotations

from psycopg import sql

from confiture.core.backfill.keys import BatchKey, Values
from confiture.core.backfill.walking import Position, starting_behind
from confiture.core.database import Connection, one_row
from confiture.core.names import quoted
from confiture.core.queries import query

_PARTS_PER_WORKER = 12
"""Sampled parts differ by a third: with many of them, no worker is left over with a large one."""
_SAMPLED_PAGES = 1_000
_MIN_SAMPLE = 200


def split(connection: Connection, key: BatchKey, end: Values, workers: int) -> list[tuple[Position, Values]]:
    """Where each part starts, and the key it goes up to; one part for one worker, or for a small table.

    The cuts are keys of rows sampled from the table.
    """
    found = cuts(connection, key, end, workers * _PARTS_PER_WORKER) if workers > 1 else []
    ends = [*found, end]
    starts = [
        Position(),
        *(starting_behind(connection, key, cut, stop) for cut, stop in zip(found, ends[1:], strict=True)),
    ]
    return list(zip(starts, ends, strict=True))


def cuts(connection: Connection, key: BatchKey, end: Values, parts: int) -> list[Values]:
    """Keys before `end`, in order, that cut the table into about equal parts; none where it is small."""
    pages = one_row(connection, "pages", table=quoted(key.table))["pages"]
    percent = min(100.0, 100.0 * _SAMPLED_PAGES / max(pages, 1))
    columns = sql.SQL(", ").join(key.text(place) for place in range(len(key)))
    found = sql.SQL(query("cuts").decode()).format(
        least=sql.Literal(max(_MIN_SAMPLE, parts)),
        parts=sql.Literal(parts),
        order=key.order(),
        columns=columns,
        source=key.source,
        percent=sql.Literal(percent),
        before=key.precedes(end),
    )
    return [tuple(row["key"]) for row in connection.execute(found)]
