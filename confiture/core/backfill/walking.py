"""Walks over a table by its batch key, piece by piece, each of about as many rows as asked for.

With a key of several columns a piece stays inside one value of the leading columns, or takes whole values of them: a
huge tenant is walked through from inside, tiny ones are taken many at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from confiture.core.backfill.keys import BatchKey, Piece, Values
from confiture.core.database import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """How far a walk has come: among the rows that begin with `prefix`, all up to `after` are done.

    `edge` is how many values of the prefix are those of the walk's end: there the walk has to stop at the end itself.
    """

    prefix: Values = ()
    after: str | None = None
    edge: int = 0

    @property
    def is_on_edge(self) -> bool:
        """Whether what follows the prefix is bounded by the walk's end."""
        return self.edge == len(self.prefix)

    def inside(self, value: str, *, is_end: bool = False) -> Position:
        """The beginning of the rows that go on with `value`."""
        return Position(prefix=(*self.prefix, value), edge=self.edge + is_end)

    def behind(self) -> Position:
        """After all rows of the prefix."""
        outer = self.prefix[:-1]
        return Position(prefix=outer, after=self.prefix[-1], edge=min(self.edge, len(outer)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A piece of the walk, and where the walk stands after it; None at its end.

    One that `is_full` has as many rows as were asked for; of others, nobody has counted them.
    """

    piece: Piece
    then: Position | None
    is_full: bool = False


class Walk:
    """A walk up to and including the key `end`."""

    def __init__(self, connection: Connection, key: BatchKey, end: Values) -> None:
        self._connection = connection
        self._key = key
        self._end = end

    def next(self, position: Position, rows: int) -> Stretch | None:
        """The next piece of at most about `rows` rows (at least 1); None where nothing is left.

        Rows with the same key stay together, so a piece can be larger by those.
        """
        here: Position | Stretch | None = position
        while isinstance(here, Position):
            innermost = len(here.prefix) == len(self._key) - 1
            here = self._innermost(here, rows) if innermost else self._outer(here, rows)
        return here

    def _innermost(self, position: Position, rows: int) -> Position | Stretch | None:
        """All columns but the last are fixed: the piece ends at the row that is `rows` further on."""
        end = self._end[-1] if position.is_on_edge else None
        rest = Piece(prefix=position.prefix, after=position.after, upto=end)
        last = len(self._key) - 1
        column = self._key.column(last)
        is_end = self._key.columns[last].compare(column, ">=", self._key.columns[last].literal(self._end[last]))
        row = self._first(
            sql.SQL("SELECT {text} AS value, {is_end} AS is_end{body} OFFSET {skip} LIMIT 1").format(
                text=self._key.text(last), is_end=is_end, body=self._body(rest), skip=rows - 1
            )
        )
        if row is None:
            return Stretch(piece=rest, then=self._up(position))
        piece = replace(rest, upto=row["value"])
        if position.is_on_edge and row["is_end"]:
            return Stretch(piece=piece, then=self._up(position), is_full=True)
        return Stretch(piece=piece, then=replace(position, after=row["value"]), is_full=True)

    def _outer(self, position: Position, rows: int) -> Position | Stretch | None:
        """Whole values of this column, as many as have about `rows` rows; a value that has more is walked inside."""
        depth = len(position.prefix)
        end = self._end[depth] if position.is_on_edge else None
        rest = Piece(prefix=position.prefix, after=position.after, before=end)
        row = self._values(rest, rows)
        if row is None:
            return self._at_end(position)
        if row["nth"] is None:
            return Stretch(piece=rest, then=self._at_end(position))
        if row["previous"] is None:
            return position.inside(row["nth"])
        piece = replace(rest, before=None, upto=row["previous"])
        return Stretch(piece=piece, then=replace(position, after=row["previous"]))

    def _at_end(self, position: Position) -> Position | None:
        """Where the walk goes on when all values before its end are done."""
        if position.is_on_edge:
            return position.inside(self._end[len(position.prefix)], is_end=True)
        return self._up(position)

    def _up(self, position: Position) -> Position | None:
        return None if position.is_on_edge else position.behind()

    def _values(self, rest: Piece, rows: int) -> dict[str, Any] | None:
        """The value `rows` rows further on, and the last one before it; None where there are no rows at all."""
        column, key_column = self._key.column(len(rest.prefix)), self._key.columns[len(rest.prefix)]
        text, nth = key_column.text, sql.SQL("nth.value")
        return self._first(
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
                body=self._body(rest),
                skip=rows - 1,
                source=self._key.source,
                rest=self._key.predicate(rest),
            )
        )

    def _body(self, piece: Piece) -> sql.Composed:
        return sql.SQL(" FROM {} WHERE {} ORDER BY {}").format(
            self._key.source, self._key.predicate(piece), self._key.order(len(piece.prefix))
        )

    def _first(self, query: sql.Composed) -> dict[str, Any] | None:
        return self._connection.execute(query).fetchone()


def last_key(connection: Connection, key: BatchKey) -> Values | None:
    """The greatest key that the table has now; None where it is empty."""
    columns = sql.SQL(", ").join(key.text(position) for position in range(len(key)))
    descending = sql.SQL(", ").join(sql.SQL("{} DESC").format(key.column(position)) for position in range(len(key)))
    query = sql.SQL("SELECT ARRAY[{}] AS key FROM {} ORDER BY {} LIMIT 1").format(columns, key.source, descending)
    row = connection.execute(query).fetchone()
    return tuple(row["key"]) if row else None


def count_rows(connection: Connection, key: BatchKey, piece: Piece) -> int:
    """How many rows of the table a piece has now."""
    query = sql.SQL("SELECT pg_catalog.count(*) AS rows FROM {} WHERE {}").format(key.source, key.predicate(piece))
    (row,) = connection.execute(query)
    return int(row["rows"])


def starting_behind(connection: Connection, key: BatchKey, start: Values, end: Values) -> Position:
    """The position behind the row `start` of a walk to `end`: where one range ends and the next begins."""
    equal = sql.SQL(", ").join(
        column.compare(column.literal(one), "=", column.literal(other))
        for column, one, other in zip(key.columns, start, end, strict=True)
    )
    (row,) = connection.execute(sql.SQL("SELECT ARRAY[{}] AS equal").format(equal))
    outer = len(key) - 1
    edge = next((depth for depth, same in enumerate(row["equal"][:outer]) if not same), outer)
    return Position(prefix=start[:-1], after=start[-1], edge=edge)
