"""Traverse a table by its batch key, in chunks of about the requested number of rows.

With a multicolumn key, a chunk either stays within one value of the leading columns or contains only whole values. A
huge tenant is divided into many chunks, and many tiny tenants share one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from confiture.core.backfill.batch_key import BatchKey, KeyRange, KeyValues
from confiture.core.db.connection import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class CursorPosition:
    """A cursor position: all rows with the key prefix `prefix` are done up to `after`.

    `bound_depth` is the number of leading prefix values that equal the upper bound. If all of them do, the cursor must
    stop at the upper bound.
    """

    prefix: KeyValues = ()
    after: str | None = None
    bound_depth: int = 0

    @property
    def is_at_upper_bound(self) -> bool:
        """Whether the upper bound limits the rows with this prefix."""
        return self.bound_depth == len(self.prefix)

    def descend(self, value: str, *, is_end: bool = False) -> CursorPosition:
        """Return the position before the rows whose next column is `value`."""
        return CursorPosition(prefix=(*self.prefix, value), bound_depth=self.bound_depth + is_end)

    def after_prefix(self) -> CursorPosition:
        """Return the position after all rows with this prefix."""
        outer = self.prefix[:-1]
        return CursorPosition(prefix=outer, after=self.prefix[-1], bound_depth=min(self.bound_depth, len(outer)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A range of keys, and the position after the range; None at the end.

    With `is_full`, the chunk contains as many rows as requested. Otherwise, its rows were not counted.
    """

    key_range: KeyRange
    next_position: CursorPosition | None
    is_full: bool = False


class KeysetCursor:
    """Iterates over the rows up to and including the key `end`."""

    def __init__(self, connection: Connection, key: BatchKey, end: KeyValues) -> None:
        self._connection = connection
        self._key = key
        self._end = end

    def next_chunk(self, position: CursorPosition, rows: int) -> Chunk | None:
        """Return the next chunk of about `rows` rows or fewer (at least 1); None if no rows are left.

        Rows with the same key stay together, so a chunk can be larger.
        """
        here: CursorPosition | Chunk | None = position
        while isinstance(here, CursorPosition):
            innermost = len(here.prefix) == len(self._key) - 1
            here = self._last_column_chunk(here, rows) if innermost else self._outer_column_chunk(here, rows)
        return here

    def _last_column_chunk(self, position: CursorPosition, rows: int) -> CursorPosition | Chunk | None:
        """Return a chunk of `rows` rows within one prefix that covers all columns except the last."""
        end = self._end[-1] if position.is_at_upper_bound else None
        rest = KeyRange(prefix=position.prefix, after=position.after, up_to=end)
        last = len(self._key) - 1
        column = self._key.column(last)
        is_end = self._key.columns[last].compare(column, ">=", self._key.columns[last].literal(self._end[last]))
        row = self._fetch_row(
            sql.SQL("SELECT {text} AS value, {is_end} AS is_end{body} OFFSET {skip} LIMIT 1").format(
                text=self._key.text(last), is_end=is_end, body=self._select_body(rest), skip=rows - 1
            )
        )
        if row is None:
            return Chunk(key_range=rest, next_position=self._position_after_prefix(position))
        key_range = replace(rest, up_to=row["value"])
        if position.is_at_upper_bound and row["is_end"]:
            return Chunk(key_range=key_range, next_position=self._position_after_prefix(position), is_full=True)
        return Chunk(key_range=key_range, next_position=replace(position, after=row["value"]), is_full=True)

    def _outer_column_chunk(self, position: CursorPosition, rows: int) -> CursorPosition | Chunk | None:
        """Return a chunk of whole column values with about `rows` rows; descend into a value that has more rows."""
        depth = len(position.prefix)
        end = self._end[depth] if position.is_at_upper_bound else None
        rest = KeyRange(prefix=position.prefix, after=position.after, before=end)
        row = self._fetch_boundaries(rest, rows)
        if row is None:
            return self._position_at_bound(position)
        if row["nth"] is None:
            return Chunk(key_range=rest, next_position=self._position_at_bound(position))
        if row["previous"] is None:
            return position.descend(row["nth"])
        key_range = replace(rest, before=None, up_to=row["previous"])
        return Chunk(key_range=key_range, next_position=replace(position, after=row["previous"]))

    def _position_at_bound(self, position: CursorPosition) -> CursorPosition | None:
        """Return the position after all values before the upper bound."""
        if position.is_at_upper_bound:
            return position.descend(self._end[len(position.prefix)], is_end=True)
        return self._position_after_prefix(position)

    def _position_after_prefix(self, position: CursorPosition) -> CursorPosition | None:
        return None if position.is_at_upper_bound else position.after_prefix()

    def _fetch_boundaries(self, remaining: KeyRange, rows: int) -> dict[str, Any] | None:
        """Return the value that is `rows` rows ahead and the last value before that one; None if there are no rows."""
        column, key_column = self._key.column(len(remaining.prefix)), self._key.columns[len(remaining.prefix)]
        text, nth = key_column.text, sql.SQL("nth.value")
        return self._fetch_row(
            sql.SQL(
                "SELECT {nth} AS nth, {previous} AS previous"
                " FROM (SELECT{body} LIMIT 1) AS present"
                " LEFT JOIN LATERAL (SELECT {column} AS value{body} OFFSET {skip} LIMIT 1) AS nth ON true"
                " LEFT JOIN LATERAL (SELECT {column} AS value FROM {source} WHERE {rest} AND {is_before}"
                " ORDER BY {column} DESC LIMIT 1) AS previous ON true"
            ).format(
                nth=text(nth),
                is_before=key_column.compare(column, "<", nth),
                previous=text(sql.SQL("previous.value")),
                column=column,
                body=self._select_body(remaining),
                skip=rows - 1,
                source=self._key.from_clause,
                rest=self._key.predicate(remaining),
            )
        )

    def _select_body(self, key_range: KeyRange) -> sql.Composed:
        return sql.SQL(" FROM {} WHERE {} ORDER BY {}").format(
            self._key.from_clause, self._key.predicate(key_range), self._key.order_by(len(key_range.prefix))
        )

    def _fetch_row(self, query: sql.Composed) -> dict[str, Any] | None:
        return self._connection.execute(query).fetchone()


def find_last_key(connection: Connection, key: BatchKey) -> KeyValues | None:
    """Return the greatest key in the table; None if it is empty."""
    columns = sql.SQL(", ").join(key.text(position) for position in range(len(key)))
    descending = sql.SQL(", ").join(sql.SQL("{} DESC").format(key.column(position)) for position in range(len(key)))
    query = sql.SQL("SELECT ARRAY[{}] AS key FROM {} ORDER BY {} LIMIT 1").format(columns, key.from_clause, descending)
    row = connection.execute(query).fetchone()
    return tuple(row["key"]) if row else None


def count_rows(connection: Connection, key: BatchKey, key_range: KeyRange) -> int:
    """Return the number of table rows in a range."""
    query = sql.SQL("SELECT pg_catalog.count(*) AS rows FROM {} WHERE {}").format(
        key.from_clause, key.predicate(key_range)
    )
    (row,) = connection.execute(query)
    return int(row["rows"])


def position_after(connection: Connection, key: BatchKey, start: KeyValues, end: KeyValues) -> CursorPosition:
    """Return the position after the key `start` for a cursor that ends at `end`."""
    equal = sql.SQL(", ").join(
        column.compare(column.literal(one), "=", column.literal(other))
        for column, one, other in zip(key.columns, start, end, strict=True)
    )
    (row,) = connection.execute(sql.SQL("SELECT ARRAY[{}] AS equal").format(equal))
    outer = len(key) - 1
    edge = next((depth for depth, same in enumerate(row["equal"][:outer]) if not same), outer)
    return CursorPosition(prefix=start[:-1], after=start[-1], bound_depth=edge)
