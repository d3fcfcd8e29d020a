"""Our own tables of backfills: what is to be filled, and how far each range is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confiture.core.backfill.keys import Values
from confiture.core.backfill.walking import Position
from confiture.core.database import Connection, one_row
from confiture.core.queries import query
from confiture.models.history import HistoryKey


@dataclass(frozen=True, kw_only=True, slots=True)
class FillId:
    """Names a backfill: its history, the attempt of its migration, and its segment there."""

    history: HistoryKey
    attempt: str
    segment: int

    @property
    def parameters(self) -> dict[str, Any]:
        """The same, for our queries."""
        return {**self.history.parameters, "attempt": self.attempt, "segment": self.segment}


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """What is kept of a backfill that began: the number that names its triggers, and a hash of what it does.

    `state` is `preparing`, `filling`, `draining` or `done`.
    """

    number: int
    state: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """A part of the key's range that one worker fills at a time, up to and including `end`."""

    number: int
    end: Values


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """What is committed so far. `busy_ms` is the time of all batches, of all workers together."""

    batches: int
    source_rows: int
    written_rows: int
    busy_ms: float


class FillStore:
    """Reads and writes the rows of one backfill over one connection, in whatever transaction is open there."""

    def __init__(self, connection: Connection, fill: FillId) -> None:
        self._connection = connection
        self._fill = fill

    def begun(self) -> Begun | None:
        """What is kept of its beginning; None where it has not begun."""
        row = self._connection.execute(query("backfill"), self._fill.parameters).fetchone()
        return None if row is None else Begun(**row)

    def begin(self, **described: object) -> int:
        """Enters the backfill, not yet filling. Returns its number."""
        return int(one_row(self._connection, "begin_backfill", **self._fill.parameters, **described)["number"])

    def fix_end(self, end: Values) -> None:
        """Enters the greatest key: from here on it fills."""
        self._connection.execute(query("fix_end"), self._fill.parameters | {"end_key": list(end)})

    def mark_draining(self) -> None:
        """Enters that all ranges are done, and what others wrote meanwhile is filled again."""
        self._connection.execute(query("mark_draining"), self._fill.parameters)

    def forget(self) -> None:
        """Takes back that it had begun."""
        self._connection.execute(query("forget_backfill"), self._fill.parameters)

    def add_range(self, number: int, start: Position, end: Values) -> None:
        """Enters a range that begins behind `start`."""
        self._connection.execute(
            query("add_range"),
            self._fill.parameters | {"number": number, "end_key": list(end)} | _as_columns(start),
        )

    def open_ranges(self) -> tuple[Range, ...]:
        """The ranges that are not done."""
        rows = self._connection.execute(query("open_ranges"), self._fill.parameters)
        return tuple(Range(number=row["number"], end=tuple(row["end_key"])) for row in rows)

    def lock_range(self, number: int) -> Position | None:
        """How far a range is, locked until the transaction ends; None where it is done."""
        row = self._connection.execute(query("lock_range"), self._fill.parameters | {"number": number}).fetchone()
        if row is None or row["is_done"]:
            return None
        return Position(prefix=tuple(row["prefix"]), after=row["after"], edge=row["edge"])

    def move_range(
        self, number: int, then: Position | None, *, source_rows: int, written_rows: int, busy_ms: float
    ) -> None:
        """Enters that a batch is done; `then` is where the range goes on, None where it ends."""
        self._connection.execute(
            query("move_range"),
            self._fill.parameters
            | {
                "number": number,
                "is_done": then is None,
                "source_rows": source_rows,
                "written_rows": written_rows,
                "busy_ms": busy_ms,
            }
            | _as_columns(then or Position()),
        )

    def totals(self) -> Totals:
        """What all its batches did."""
        row = one_row(self._connection, "backfill_totals", **self._fill.parameters)
        return Totals(**{name: row[name] for name in ("batches", "source_rows", "written_rows", "busy_ms")})

    def beat(self, *, runner: str, batch_rows: int | None, waiting_for: str | None) -> str:
        """Gives a sign of life, and returns what the backfill is asked to do."""
        told = {"runner": runner, "batch_rows": batch_rows, "waiting_for": waiting_for}
        row = self._connection.execute(query("beat"), self._fill.parameters | told).fetchone()
        return str(row["control"]) if row else "cancel"

    def remember_written(self, rows: int) -> None:
        """Keeps how many rows had been written to the tables that it reads."""
        self._connection.execute(query("remember_written"), self._fill.parameters | {"rows": rows})

    def written_before(self) -> int | None:
        """What `remember_written` kept; None where it was not called."""
        row = self._connection.execute(query("written_before"), self._fill.parameters).fetchone()
        return None if row is None else row["rows"]

    def end(self) -> None:
        """Enters that all is done."""
        self._connection.execute(query("end_backfill"), self._fill.parameters)


def _as_columns(position: Position) -> dict[str, Any]:
    return {"prefix": list(position.prefix), "after": position.after, "edge": position.edge}
