"""Our own tables of backfills: what is to be filled, and how far each range is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confiture.core.backfill.batch_key import KeyValues
from confiture.core.backfill.keyset_cursor import CursorPosition
from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.queries import query
from confiture.models.history import HistoryKey


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillId:
    """Names a backfill: its history, the attempt of its migration, and its segment there."""

    history: HistoryKey
    attempt: str
    segment: int

    @property
    def parameters(self) -> dict[str, Any]:
        """The same, for our queries."""
        return {**self.history.parameters, "attempt": self.attempt, "segment": self.segment}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredBackfill:
    """What is kept of a backfill that began: the number that names its triggers, and a hash of what it does.

    `state` is `preparing`, `filling`, `draining` or `done`.
    """

    number: int
    state: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRange:
    """A part of the key's range that one worker fills at a time, up to and including `end`."""

    number: int
    end: KeyValues


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillTotals:
    """What is committed so far. `busy_ms` is the time of all batches, of all workers together."""

    batches: int
    source_rows: int
    written_rows: int
    busy_ms: float


class BackfillStore:
    """Reads and writes the rows of one backfill over one connection, in whatever transaction is open there."""

    def __init__(self, connection: Connection, backfill_id: BackfillId) -> None:
        self._connection = connection
        self.backfill_id = backfill_id

    def load(self) -> StoredBackfill | None:
        """What is kept of its beginning; None where it has not begun."""
        row = self._connection.execute(query("backfill"), self.backfill_id.parameters).fetchone()
        return None if row is None else StoredBackfill(**row)

    def insert(self, **described: object) -> int:
        """Enters the backfill, not yet filling. Returns its number."""
        return int(
            fetch_named_row(self._connection, "begin_backfill", **self.backfill_id.parameters, **described)["number"]
        )

    def store_upper_bound(self, end: KeyValues) -> None:
        """Enters the greatest key: from here on it fills."""
        self._connection.execute(query("fix_end"), self.backfill_id.parameters | {"end_key": list(end)})

    def mark_draining(self) -> None:
        """Enters that all ranges are done, and what others wrote meanwhile is filled again."""
        self._connection.execute(query("mark_draining"), self.backfill_id.parameters)

    def delete(self) -> None:
        """Takes back that it had begun."""
        self._connection.execute(query("forget_backfill"), self.backfill_id.parameters)

    def insert_range(self, number: int, start: CursorPosition, end: KeyValues) -> None:
        """Enters a range that begins behind `start`."""
        self._connection.execute(
            query("add_range"),
            self.backfill_id.parameters | {"number": number, "end_key": list(end)} | _position_parameters(start),
        )

    def unfinished_ranges(self) -> tuple[StoredRange, ...]:
        """The ranges that are not done."""
        rows = self._connection.execute(query("open_ranges"), self.backfill_id.parameters)
        return tuple(StoredRange(number=row["number"], end=tuple(row["end_key"])) for row in rows)

    def lock_range(self, number: int) -> CursorPosition | None:
        """How far a range is, locked until the transaction ends; None where it is done."""
        row = self._connection.execute(query("lock_range"), self.backfill_id.parameters | {"number": number}).fetchone()
        if row is None or row["is_done"]:
            return None
        return CursorPosition(prefix=tuple(row["prefix"]), after=row["after"], bound_depth=row["edge"])

    def advance_range(
        self, number: int, next_position: CursorPosition | None, *, source_rows: int, written_rows: int, busy_ms: float
    ) -> None:
        """Enters that a batch is done; `next_position` is where the range goes on, None where it ends."""
        self._connection.execute(
            query("move_range"),
            self.backfill_id.parameters
            | {
                "number": number,
                "is_done": next_position is None,
                "source_rows": source_rows,
                "written_rows": written_rows,
                "busy_ms": busy_ms,
            }
            | _position_parameters(next_position or CursorPosition()),
        )

    def totals(self) -> BackfillTotals:
        """What all its batches did."""
        row = fetch_named_row(self._connection, "backfill_totals", **self.backfill_id.parameters)
        return BackfillTotals(**{name: row[name] for name in ("batches", "source_rows", "written_rows", "busy_ms")})

    def record_heartbeat(self, *, runner: str, batch_rows: int | None, waiting_for: str | None) -> str:
        """Gives a sign of life, and returns what the backfill is asked to do."""
        told = {"runner": runner, "batch_rows": batch_rows, "waiting_for": waiting_for}
        row = self._connection.execute(query("beat"), self.backfill_id.parameters | told).fetchone()
        return str(row["control"]) if row else "cancel"

    def store_written_rows(self, rows: int) -> None:
        """Keeps how many rows had been written to the tables that it reads."""
        self._connection.execute(query("remember_written"), self.backfill_id.parameters | {"rows": rows})

    def load_written_rows(self) -> int | None:
        """What `store_written_rows` kept; None where it was not called."""
        row = self._connection.execute(query("written_before"), self.backfill_id.parameters).fetchone()
        return None if row is None else row["rows"]

    def mark_finished(self) -> None:
        """Enters that all is done."""
        self._connection.execute(query("end_backfill"), self.backfill_id.parameters)


def _position_parameters(position: CursorPosition) -> dict[str, Any]:
    return {"prefix": list(position.prefix), "after": position.after, "edge": position.bound_depth}
