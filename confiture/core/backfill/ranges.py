"""Cuts the key's range into parts that workers take one after the other."""

from __future__ import annotations

from psycopg import sql

from confiture.core.backfill.keys import BatchKey, Values
from confiture.core.backfill.walking import Position, starting_behind
from confiture.core.database import Connection, one_row
from confiture.core.names import quoted

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
    row_of = sql.SQL("({})").format(key.order())
    stop = sql.SQL("({})").format(
        sql.SQL(", ").join(column.literal(value) for column, value in zip(key.columns, end, strict=True))
    )
    query = sql.SQL(
        "SELECT n.key FROM (SELECT s.key, s.nth, max(s.nth) OVER () AS found FROM ("
        "SELECT DISTINCT ON ({order}) ARRAY[{columns}] AS key, dense_rank() OVER (ORDER BY {order}) AS nth"
        " FROM {source} TABLESAMPLE SYSTEM ({percent}) WHERE {row} < {stop} ORDER BY {order}) AS s) AS n"
        " WHERE n.found >= {least} AND n.nth * {parts} / n.found <> (n.nth - 1) * {parts} / n.found AND n.nth < n.found"
        " ORDER BY n.nth"
    ).format(
        least=sql.Literal(max(_MIN_SAMPLE, parts)),
        parts=sql.Literal(parts),
        order=key.order(),
        columns=columns,
        source=key.source,
        percent=sql.Literal(percent),
        row=row_of,
        stop=stop,
    )
    return [tuple(row["key"]) for row in connection.execute(query)]
