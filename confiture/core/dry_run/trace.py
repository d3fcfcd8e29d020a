"""Watches what each statement of a dry run does, from inside its transaction.

Locks and the counters of the session last until the transaction ends, so one look after each statement, held against
the look before, tells what that statement added. Names are resolved beforehand: a session that joins its locks to
pg_class afterwards misses what it has just dropped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.queries import query
from confiture.models.plan import Statement, StepId
from confiture.models.trace import LockMode, LockTrace, StatementTrace, TableRows, TableScan

_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "i": "index",
    "I": "partitioned index",
    "S": "sequence",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "t": "TOAST table",
}
CONCURRENTLY_MODE = LockMode.SHARE_UPDATE_EXCLUSIVE
"""What statements with CONCURRENTLY take on tables, by PostgreSQL's manual; DETACH at its end takes more."""
_TEMPORARY_FILE = re.compile(r"LOG: temporary file: .*, size (\d+)")
_LOCK_WAIT = re.compile(
    r"LOG: process \d+ acquired (?P<mode>\w+) on (relation (?P<oid>\d+) )?.*after (?P<ms>[\d.]+) ms"
)
_FRESH_COUNTERS = "SET LOCAL stats_fetch_consistency = none"
"""What other processes counted is else remembered until the transaction ends."""
_FIRST_OID = 16_384
_KEEPS_ROWS = ("r", "m")


@dataclass(frozen=True, slots=True)
class _RelationCounters:
    """The counters of a relation at one moment, and its file."""

    filenode: int | None
    scans: int
    rows_read: int
    inserted: int
    updated: int
    deleted: int
    read_elsewhere: int
    """Rows that all other processes were seen to read, parallel workers too: ours count only when we commit."""


_NOTHING = _RelationCounters(None, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _ServerMessages:
    """What the server told of a statement: its notices, and where the role may ask, temporary files and lock waits."""

    notices: tuple[str, ...]
    temp_bytes: int | None
    waited_ms: float | None
    waits: Mapping[tuple[int, str], float]
    """By OID of the relation and mode of the lock."""


class _PausableClock:
    """Milliseconds since it was made, without those spent inside `stopped`."""

    def __init__(self) -> None:
        self._started_at = time.perf_counter()
        self._stopped_at: float | None = None

    def now_ms(self) -> float:
        now = time.perf_counter() if self._stopped_at is None else self._stopped_at
        return (now - self._started_at) * 1000

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._stopped_at = time.perf_counter()
        try:
            yield
        finally:
            self._started_at += time.perf_counter() - self._stopped_at
            self._stopped_at = None


class Tracer:
    """Traces the statements of one transaction on one connection.

    Times count from the tracer's making, and leave out what looking takes.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._clock = _PausableClock()
        self._names: dict[int, tuple[str, str]] = {}
        self._counters: dict[int, _RelationCounters] = {}
        self._held_modes: dict[int, int] = {}
        self._marks: dict[int, str] = {}
        self._created_oids: set[int] = set()
        self._last_existing_oid = self._last_seen_oid = _FIRST_OID - 1
        self._notices: list[str] = []
        self._can_see_temp_files = False
        self._can_see_lock_waits = False
        self._wal_position = 0
        self._segment_start = 0
        self.traces: list[StatementTrace] = []
        """What was seen so far, in order."""

    @contextmanager
    def tracing(self) -> Iterator[Tracer]:
        """Traces what runs inside, which must be one transaction, or a part of one."""
        with self._clock.paused():
            self._connection.execute(_FRESH_COUNTERS)
            for row in self._connection.execute(query("relations")):
                self._names[row["oid"]] = (row["name"], _KINDS.get(row["kind"], "relation"))
                self._counters[row["oid"]] = _build_counters(row)
            self._last_existing_oid = max(
                self._last_existing_oid, fetch_named_row(self._connection, "last_relation")["oid"]
            )
            self._last_seen_oid = self._last_existing_oid
        self._connection.add_notice_handler(self._collect_notice)
        try:
            yield self
        finally:
            self.end_segment()
            self._connection.remove_notice_handler(self._collect_notice)

    def begin_segment(self) -> None:
        """Called before the first statement of each segment, on a session that was reset."""
        with self._clock.paused():
            self._connection.execute("SET LOCAL client_min_messages = notice")
            self._connection.execute(_FRESH_COUNTERS)
            self._can_see_temp_files = self._try_enable("log_temp_files = 0")
            self._can_see_lock_waits = self._try_enable("log_lock_waits = on")
            if not fetch_named_row(self._connection, "touched_is_prepared")["prepared"]:
                self._connection.execute(query("prepare_touched"))
            self._wal_position = self._read_wal_position()

    def end_segment(self) -> None:
        """Called after the last statement of each segment: a real run would release its locks now."""
        released = self.elapsed_ms()
        self.traces[self._segment_start :] = [
            replace(trace, locks=tuple(replace(lock, released_ms=released) for lock in trace.locks))
            for trace in self.traces[self._segment_start :]
        ]
        self._segment_start = len(self.traces)

    def ignore(self) -> None:
        """Takes in what was read since the last look without tracing it: the dry run's own preparations."""
        with self._clock.paused():
            position, *touched = self._read_touched()
            self._counters |= {row["oid"]: _build_counters(row) for row in touched}
            self._wal_position = position["mark"]
            self._pop_messages()

    @contextmanager
    def ignoring(self) -> Iterator[None]:
        """What is read inside is not traced and takes no time. Its locks must be gone at its end."""
        with self._clock.paused():
            yield
            # what it read is counted, and no lock tells any more which relations these are
            rows = self._connection.execute(query("relations")).fetchall()
            self._counters |= {row["oid"]: _build_counters(row) for row in rows if row["oid"] in self._counters}
            self._wal_position = self._read_wal_position()
            self._pop_messages()

    def mark_sampled(self, count: int, scale_factor: float) -> None:
        """Notes that the last `count` statements are batches of a backfill, each for that many times its work."""
        last = self.traces[len(self.traces) - count :]
        weighed = [replace(trace, weight=scale_factor, is_batch=True) for trace in last]
        self.traces[len(self.traces) - count :] = weighed

    def elapsed_ms(self) -> float:
        """Milliseconds since the tracer was made, without those that looking took."""
        return self._clock.now_ms()

    def record_statement(self, step: StepId, statement: Statement, duration_ms: float) -> None:
        """Looks at what a statement did that has just ended."""
        with self._clock.paused():
            self._trace_statement(step, statement, duration_ms)

    def _trace_statement(self, step: StepId, statement: Statement, duration_ms: float) -> None:
        started_ms = self.elapsed_ms() - duration_ms
        position, *touched = self._read_touched()
        wal = position["mark"]
        rows = [row for row in touched if not row["name"].startswith("pg_toast.")]
        told = self._pop_messages()
        trace = StatementTrace(
            step=step,
            number=len(self.traces) + 1,
            text=statement.text,
            started_ms=started_ms,
            duration_ms=duration_ms,
            rows=tuple(self._written_rows(rows)),
            locks=tuple(self._new_locks(rows, started_ms, statement, told.waits)),
            rewrites=tuple(self._rewrites(rows)),
            scans=tuple(self._scans(rows)),
            indexes_built=tuple(self._new_indexes(rows)),
            wal_bytes=wal - self._wal_position,
            temp_bytes=told.temp_bytes,
            waited_ms=told.waited_ms,
            notices=told.notices,
            original_sql=statement.original_sql,
        )
        self._store_counters(touched)
        self._wal_position = wal
        self.traces.append(trace)

    def _written_rows(self, rows: Iterable[dict[str, Any]]) -> Iterable[TableRows]:
        for row in rows:
            before = self._counters.get(row["oid"], _NOTHING)
            now = _build_counters(row)
            written = (
                max(now.inserted - before.inserted, 0),
                max(now.updated - before.updated, 0),
                max(now.deleted - before.deleted, 0),
            )
            if any(written):
                inserted, updated, deleted = written
                yield TableRows(table=self._relation_name(row), inserted=inserted, updated=updated, deleted=deleted)

    def _read_touched(self) -> list[dict[str, Any]]:
        made, marks = ",".join(map(str, self._created_oids)), ",".join(self._marks.values())
        known = f"{self._last_existing_oid}, {self._last_seen_oid}, '{{{made}}}', '{{{marks}}}'"
        look = f"EXECUTE confiture_touched ({known})"
        cursor = self._try_execute(look, psycopg.errors.InvalidSqlStatementName)
        if cursor is None:
            # the statement dropped all that is prepared; a function that it calls does so unseen
            self._connection.execute(query("prepare_touched"))
            cursor = self._connection.execute(look.encode())
        return cursor.fetchall()

    def _try_execute(self, sql: str, expected: type[psycopg.Error]) -> psycopg.Cursor[dict[str, Any]] | None:
        """What SQL of ours gives, in one message; None where it fails as expected, and then the transaction goes on."""
        try:
            cursor = self._connection.execute(f"SAVEPOINT confiture; {sql}; RELEASE SAVEPOINT confiture".encode())
        except expected:
            self._connection.execute(b"ROLLBACK TO SAVEPOINT confiture; RELEASE SAVEPOINT confiture")
            return None
        cursor.nextset()
        return cursor

    def _new_locks(
        self,
        rows: Iterable[dict[str, Any]],
        started_ms: float,
        statement: Statement,
        waits: Mapping[tuple[int, str], float],
    ) -> Iterable[LockTrace]:
        real = CONCURRENTLY_MODE if statement.original_sql else None
        for row in rows:
            if row["oid"] not in self._names:
                continue
            name, kind = self._names[row["oid"]]
            new = row["modes"] & ~self._held_modes.get(row["oid"], 0)
            for mode in (mode for mode in LockMode if new & 1 << len(mode)):
                yield LockTrace(
                    relation=name,
                    kind=kind,
                    mode=mode,
                    acquired_ms=started_ms + waits.get((row["oid"], mode.value), 0.0),
                    released_ms=started_ms,
                    real_mode=real if real and mode.strength > real.strength else None,
                )

    def _rewrites(self, rows: Iterable[dict[str, Any]]) -> Iterable[str]:
        for row in rows:
            before = self._counters.get(row["oid"], _NOTHING)
            replaced = before.filenode and row["filenode"] and row["filenode"] != before.filenode
            if replaced and row["oid"] in self._names:
                yield self._names[row["oid"]][0]

    def _scans(self, rows: Iterable[dict[str, Any]]) -> Iterable[TableScan]:
        for row in rows:
            if row["oid"] not in self._names or self._names[row["oid"]][1] in ("index", "partitioned index"):
                continue
            before = self._counters.get(row["oid"], _NOTHING)
            now = _build_counters(row)
            if now.scans > before.scans:
                yield TableScan(
                    table=self._relation_name(row),
                    scans=now.scans - before.scans,
                    rows=max(now.rows_read - before.rows_read, 0),
                    is_lower_bound=now.read_elsewhere > before.read_elsewhere,
                )

    def _new_indexes(self, rows: Iterable[dict[str, Any]]) -> Iterable[str]:
        """Indexes that are new, wherever their table came from."""
        for row in rows:
            if row["oid"] not in self._counters and row["kind"] in ("i", "I"):
                yield row["name"]

    def _store_counters(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            oid = row["oid"]
            self._counters[oid] = _build_counters(row)
            self._held_modes[oid] = self._held_modes.get(oid, 0) | row["modes"]
            if oid > self._last_existing_oid:
                self._last_seen_oid = max(self._last_seen_oid, oid)
                if row["kind"] in _KEEPS_ROWS:
                    self._created_oids.add(oid)
            if oid <= self._last_existing_oid or oid in self._created_oids:
                self._marks[oid] = str(row["mark"])

    def _relation_name(self, row: dict[str, Any]) -> str:
        return self._names[row["oid"]][0] if row["oid"] in self._names else str(row["name"])

    def _read_wal_position(self) -> int:
        return int(fetch_named_row(self._connection, "wal_position")["bytes"])

    def _try_enable(self, setting: str) -> bool:
        """Whether the server now tells us of temporary files, or lock waits, in the words that we know; only some roles
        may ask for that.
        """
        in_english = query("messages_in_english").decode()
        asking = f"{in_english} SET LOCAL {setting}; SET LOCAL client_min_messages = log"
        return self._try_execute(asking, psycopg.errors.InsufficientPrivilege) is not None

    def _collect_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        self._notices.append(f"{notice.severity_nonlocalized}: {notice.message_primary}")

    def _pop_messages(self) -> _ServerMessages:
        taken, self._notices = self._notices, []
        sizes = [int(match[1]) for text in taken if (match := _TEMPORARY_FILE.match(text))]
        waits = [match for text in taken if (match := _LOCK_WAIT.match(text))]
        return _ServerMessages(
            notices=tuple(text for text in taken if not text.startswith("LOG:")),
            temp_bytes=sum(sizes) if self._can_see_temp_files else None,
            waited_ms=sum(float(wait["ms"]) for wait in waits) if self._can_see_lock_waits else None,
            waits={(int(wait["oid"]), wait["mode"]): float(wait["ms"]) for wait in waits if wait["oid"]},
        )


def _build_counters(row: dict[str, Any]) -> _RelationCounters:
    rows = (row["scans"], row["rows_read"], row["inserted"], row["updated"], row["deleted"], row["read_elsewhere"])
    return _RelationCounters(row["filenode"], *rows)
