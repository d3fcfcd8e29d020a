"""The internal backfill tables: the key range, and the position in each part of the range."""

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
    """A backfill identifier: the history, the migration attempt, and the segment."""

    history: HistoryKey
    attempt: str
    segment: int

    @property
    def parameters(self) -> dict[str, Any]:
        """The identifier, as query parameters."""
        return {**self.history.parameters, "attempt": self.attempt, "segment": self.segment}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredBackfill:
    """A stored backfill row: the number used in its trigger names, and a hash of its definition.

    `state` is `preparing`, `filling`, `draining` or `done`.
    """

    number: int
    state: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRange:
    """A part of the key range, up to and including `end`. One worker at a time fills it."""

    number: int
    end: KeyValues


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillTotals:
    """The committed work. `busy_ms` is the total batch time of all workers."""

    batches: int
    source_rows: int
    written_rows: int
    busy_ms: float


class BackfillStore:
    """The stored rows of one backfill, accessed over one connection and in its open transaction, if any."""

    def __init__(self, connection: Connection, backfill_id: BackfillId) -> None:
        self._connection = connection
        self.backfill_id = backfill_id

    def load(self) -> StoredBackfill | None:
        """Return the stored backfill, or None if it has not started."""
        row = self._connection.execute(query("backfill"), self.backfill_id.parameters).fetchone()
        return None if row is None else StoredBackfill(**row)

    def insert(self, **described: object) -> int:
        """Insert the backfill with the state `preparing`. Return the backfill's number."""
        return int(
            fetch_named_row(self._connection, "begin_backfill", **self.backfill_id.parameters, **described)["number"]
        )

    def store_upper_bound(self, end: KeyValues) -> None:
        """Store the greatest key, and set the state to `filling`."""
        self._connection.execute(query("fix_end"), self.backfill_id.parameters | {"end_key": list(end)})

    def mark_draining(self) -> None:
        """Record that all ranges are done and that concurrent changes are being applied."""
        self._connection.execute(query("mark_draining"), self.backfill_id.parameters)

    def delete(self) -> None:
        """Delete the backfill."""
        self._connection.execute(query("forget_backfill"), self.backfill_id.parameters)

    def insert_range(self, number: int, start: CursorPosition, end: KeyValues) -> None:
        """Insert a range that begins after `start`."""
        self._connection.execute(
            query("add_range"),
            self.backfill_id.parameters | {"number": number, "end_key": list(end)} | _position_parameters(start),
        )

    def unfinished_ranges(self) -> tuple[StoredRange, ...]:
        """Return the ranges that are not done."""
        rows = self._connection.execute(query("open_ranges"), self.backfill_id.parameters)
        return tuple(StoredRange(number=row["number"], end=tuple(row["end_key"])) for row in rows)

    def lock_range(self, number: int) -> CursorPosition | None:
        """Lock a range until the transaction ends. Return the range's position, or None if the range is done."""
        row = self._connection.execute(query("lock_range"), self.backfill_id.parameters | {"number": number}).fetchone()
        if row is None or row["is_done"]:
            return None
        return CursorPosition(prefix=tuple(row["prefix"]), after=row["after"], bound_depth=row["edge"])

    def advance_range(
        self, number: int, next_position: CursorPosition | None, *, source_rows: int, written_rows: int, busy_ms: float
    ) -> None:
        """Record that a batch is done. `next_position` is where the range continues, or None if the range is done."""
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
        """Return the totals for all batches."""
        row = fetch_named_row(self._connection, "backfill_totals", **self.backfill_id.parameters)
        return BackfillTotals(**{name: row[name] for name in ("batches", "source_rows", "written_rows", "busy_ms")})

    def record_heartbeat(self, *, runner: str, batch_rows: int | None, waiting_for: str | None) -> str | None:
        """Send a heartbeat. Return the requested control: `run`, `pause` or `cancel`; None if the row is missing."""
        status = {"runner": runner, "batch_rows": batch_rows, "waiting_for": waiting_for}
        row = self._connection.execute(query("beat"), self.backfill_id.parameters | status).fetchone()
        return str(row["control"]) if row else None

    def store_written_rows(self, rows: int) -> None:
        """Store the number of rows written so far to the tables that the backfill reads."""
        self._connection.execute(query("remember_written"), self.backfill_id.parameters | {"rows": rows})

    def load_written_rows(self) -> int | None:
        """Return the number stored by `store_written_rows`, or None if it was never called."""
        row = self._connection.execute(query("written_before"), self.backfill_id.parameters).fetchone()
        return None if row is None else row["rows"]

    def mark_finished(self) -> bool:
        """Record that the backfill is done. If a pause or cancel was requested, record nothing and return False."""
        return self._connection.execute(query("end_backfill"), self.backfill_id.parameters).fetchone() is not None

    def is_complete(self) -> bool:
        """Whether all stored progress rows exist: the backfill's own row and all ranges, including finished ones."""
        row = self._connection.execute(query("ranges_complete"), self.backfill_id.parameters).fetchone()
        return row is not None and bool(row["is_complete"])


def _position_parameters(position: CursorPosition) -> dict[str, Any]:
    return {"prefix": list(position.prefix), "after": position.after, "edge": position.bound_depth}
