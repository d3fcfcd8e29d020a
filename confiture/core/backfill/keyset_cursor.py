"""Walks over a table by its batch key, piece by piece, each of about as many rows as asked for.

With a key of several columns a piece stays inside one value of the leading columns, or takes whole values of them: a
huge tenant is walked through from inside, tiny ones are taken many at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from confiture.core.backfill.batch_key import BatchKey, KeyRange, KeyValues
from confiture.core.db.connection import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class CursorPosition:
    """How far a walk has come: among the rows that begin with `prefix`, all up to `after` are done.

    `bound_depth` is how many values of the prefix are those of the walk's end: there the walk has to stop at the end
    itself.
    """

    prefix: KeyValues = ()
    after: str | None = None
    bound_depth: int = 0

    @property
    def is_at_upper_bound(self) -> bool:
        """Whether what follows the prefix is bounded by the walk's end."""
        return self.bound_depth == len(self.prefix)

    def descend(self, value: str, *, is_end: bool = False) -> CursorPosition:
        """The beginning of the rows that go on with `value`."""
        return CursorPosition(prefix=(*self.prefix, value), bound_depth=self.bound_depth + is_end)

    def after_prefix(self) -> CursorPosition:
        """After all rows of the prefix."""
        outer = self.prefix[:-1]
        return CursorPosition(prefix=outer, after=self.prefix[-1], bound_depth=min(self.bound_depth, len(outer)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of the walk, and where the walk stands after it; None at its end.

    One that `is_full` has as many rows as were asked for; of others, nobody has counted them.
    """

    key_range: KeyRange
    next_position: CursorPosition | None
    is_full: bool = False


class KeysetCursor:
    """A walk up to and including the key `end`."""

    def __init__(self, connection: Connection, key: BatchKey, end: KeyValues) -> None:
        self._connection = connection
        self._key = key
        self._end = end

    def next_chunk(self, position: CursorPosition, rows: int) -> Chunk | None:
        """The next piece of at most about `rows` rows (at least 1); None where nothing is left.

        Rows with the same key stay together, so a piece can be larger by those.
        """
        here: CursorPosition | Chunk | None = position
        while isinstance(here, CursorPosition):
            innermost = len(here.prefix) == len(self._key) - 1
            here = self._last_column_chunk(here, rows) if innermost else self._outer_column_chunk(here, rows)
        return here

    def _last_column_chunk(self, position: CursorPosition, rows: int) -> CursorPosition | Chunk | None:
        """All columns but the last are fixed: the piece ends at the row that is `rows` further on."""
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
        piece = replace(rest, up_to=row["value"])
        if position.is_at_upper_bound and row["is_end"]:
            return Chunk(key_range=piece, next_position=self._position_after_prefix(position), is_full=True)
        return Chunk(key_range=piece, next_position=replace(position, after=row["value"]), is_full=True)

    def _outer_column_chunk(self, position: CursorPosition, rows: int) -> CursorPosition | Chunk | None:
        """Whole values of this column, as many as have about `rows` rows; a value that has more is walked inside."""
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
        piece = replace(rest, before=None, up_to=row["previous"])
        return Chunk(key_range=piece, next_position=replace(position, after=row["previous"]))

    def _position_at_bound(self, position: CursorPosition) -> CursorPosition | None:
        """Where the walk goes on when all values before its end are done."""
        if position.is_at_upper_bound:
            return position.descend(self._end[len(position.prefix)], is_end=True)
        return self._position_after_prefix(position)

    def _position_after_prefix(self, position: CursorPosition) -> CursorPosition | None:
        return None if position.is_at_upper_bound else position.after_prefix()

    def _fetch_boundaries(self, remaining: KeyRange, rows: int) -> dict[str, Any] | None:
        """The value `rows` rows further on, and the last one before it; None where there are no rows at all."""
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
    """The greatest key that the table has now; None where it is empty."""
    columns = sql.SQL(", ").join(key.text(position) for position in range(len(key)))
    descending = sql.SQL(", ").join(sql.SQL("{} DESC").format(key.column(position)) for position in range(len(key)))
    query = sql.SQL("SELECT ARRAY[{}] AS key FROM {} ORDER BY {} LIMIT 1").format(columns, key.from_clause, descending)
    row = connection.execute(query).fetchone()
    return tuple(row["key"]) if row else None


def count_rows(connection: Connection, key: BatchKey, key_range: KeyRange) -> int:
    """How many rows of the table a piece has now."""
    query = sql.SQL("SELECT pg_catalog.count(*) AS rows FROM {} WHERE {}").format(
        key.from_clause, key.predicate(key_range)
    )
    (row,) = connection.execute(query)
    return int(row["rows"])


def position_after(connection: Connection, key: BatchKey, start: KeyValues, end: KeyValues) -> CursorPosition:
    """The position behind the row `start` of a walk to `end`: where one range ends and the next begins."""
    equal = sql.SQL(", ").join(
        column.compare(column.literal(one), "=", column.literal(other))
        for column, one, other in zip(key.columns, start, end, strict=True)
    )
    (row,) = connection.execute(sql.SQL("SELECT ARRAY[{}] AS equal").format(equal))
    outer = len(key) - 1
    edge = next((depth for depth, same in enumerate(row["equal"][:outer]) if not same), outer)
    return CursorPosition(prefix=start[:-1], after=start[-1], bound_depth=edge)
