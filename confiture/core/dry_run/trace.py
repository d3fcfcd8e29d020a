"""Trace the effects of each statement in a dry run, from inside the dry run's transaction.

Locks and the session's counters last until the transaction ends, so the difference between the polls before and after a
statement shows the statement's effects. Names are resolved beforehand, because joining the locks to pg_class afterwards
would miss dropped relations.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from typing import Any

import psycopg

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.queries import query
from confiture.core.dry_run.counters import CounterLog, RelationNames
from confiture.core.dry_run.held_locks import HeldLocks
from confiture.core.dry_run.server_reports import ServerReports
from confiture.core.run.session_check import OWN_STATEMENT
from confiture.core.state_machine import StateMachine
from confiture.models.plan import Statement, StepId
from confiture.models.trace import StatementTrace

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
_FRESH_COUNTERS = "SET LOCAL stats_fetch_consistency = none"
"""Without this setting, other processes' counters are cached until the transaction ends."""


class PausableClock:
    """Measures the milliseconds since its creation, excluding time spent inside `paused`."""

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


class TracerState(Enum):
    """The state of a tracer."""

    NEW = "new"
    """Tracing has not started yet."""
    BETWEEN_SEGMENTS = "between segments"
    IN_SEGMENT = "in a segment"
    ENDED = "ended"


_TRANSITIONS = {
    TracerState.NEW: {TracerState.BETWEEN_SEGMENTS},
    TracerState.BETWEEN_SEGMENTS: {TracerState.IN_SEGMENT, TracerState.ENDED},
    TracerState.IN_SEGMENT: {TracerState.BETWEEN_SEGMENTS},
    TracerState.ENDED: set[TracerState](),
}


class Tracer:
    """Traces the statements in one transaction on one connection.

    Times count from the tracer's creation, excluding the time spent polling.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._clock = PausableClock()
        self._state = StateMachine(TracerState.NEW, _TRANSITIONS)
        self._names: RelationNames = {}
        self._counters = CounterLog(self._names)
        self._locks = HeldLocks(self._names)
        self._reports = ServerReports(connection, self._try_execute)
        self._wal_position = 0
        self._segment_start = 0
        self.traces: list[StatementTrace] = []
        """The traces so far, in order."""

    @contextmanager
    def tracing(self) -> Iterator[Tracer]:
        """Trace the statements that run inside the context. They must all belong to one transaction."""
        self._state.enter(TracerState.BETWEEN_SEGMENTS)
        with self._clock.paused():
            self._connection.execute(_FRESH_COUNTERS)
            relations = self._connection.execute(query("relations")).fetchall()
            self._names.update((row["oid"], (row["name"], _KINDS.get(row["kind"], "relation"))) for row in relations)
            self._counters.reset(relations)
            self._counters.begin(fetch_named_row(self._connection, "last_relation")["oid"])
            self._reports.begin()
        self._connection.add_notice_handler(self._reports.collect)
        try:
            yield self
        finally:
            if self._state.state is TracerState.IN_SEGMENT:
                self.end_segment()
            self._state.enter(TracerState.ENDED)
            self._connection.remove_notice_handler(self._reports.collect)

    def begin_segment(self) -> None:
        """Start a segment. Must be called before its first statement, on a reset session."""
        self._state.enter(TracerState.IN_SEGMENT)
        with self._clock.paused():
            self._connection.execute("SET LOCAL client_min_messages = notice")
            self._connection.execute(_FRESH_COUNTERS)
            self._reports.enable()
            if not fetch_named_row(self._connection, "touched_is_prepared")["prepared"]:
                self._connection.execute(query("prepare_touched"))
            self._wal_position = self._read_wal_position()

    def prepare(self, statement: Statement) -> None:
        """Prepare for tracing a statement that is about to run.

        Without this call, the plans of queries in functions may be missing.
        """
        with self._clock.paused():
            self._reports.prepare(statement)

    def end_segment(self) -> None:
        """End a segment after its last statement. A real run would release the segment's locks at this point."""
        self._state.enter(TracerState.BETWEEN_SEGMENTS)
        released = self.elapsed_ms()
        self.traces[self._segment_start :] = [
            replace(trace, locks=tuple(replace(lock, released_ms=released) for lock in trace.locks))
            for trace in self.traces[self._segment_start :]
        ]
        self._segment_start = len(self.traces)

    def ignore(self) -> None:
        """Skip rows read since the last poll, because the dry run itself read them during preparation."""
        with self._clock.paused():
            position, *touched = self._read_touched_tables()
            self._counters.reset(touched)
            self._wal_position = position["mark"]
            self._reports.discard()

    @contextmanager
    def untraced(self) -> Iterator[None]:
        """Exclude the reads and the time inside the context from the trace. Its locks must be released on exit."""
        with self._clock.paused():
            yield
            # The reads are counted, but no locks are left that identify the relations.
            self._counters.reset_known(self._connection.execute(query("relations")).fetchall())
            self._wal_position = self._read_wal_position()
            self._reports.discard()

    def mark_sampled(self, count: int, scale_factor: float) -> None:
        """Mark the last `count` statements as sample batches from a backfill; each counts `scale_factor` times."""
        last = self.traces[len(self.traces) - count :]
        weighed = [replace(trace, weight=scale_factor, is_batch=True) for trace in last]
        self.traces[len(self.traces) - count :] = weighed

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the tracer's creation, excluding the time spent polling."""
        return self._clock.now_ms()

    def record_statement(self, step: StepId, statement: Statement, duration_ms: float) -> None:
        """Record the effects of a statement that has just ended."""
        with self._clock.paused():
            self._trace_statement(step, statement, duration_ms)

    def _trace_statement(self, step: StepId, statement: Statement, duration_ms: float) -> None:
        started_ms = self.elapsed_ms() - duration_ms
        # Before the poll, which the server may report too.
        pending = self._reports.take()
        settings, *touched = self._read_touched_tables()
        wal = settings["mark"]
        rows = [row for row in touched if not row["name"].startswith("pg_toast.")]
        indexes_built, rewrites = tuple(self._counters.new_indexes(rows)), tuple(self._counters.rewrites(rows))
        builds_indexes = bool(indexes_built or (rewrites and statement.node_kind != "truncate_stmt"))
        report = pending.read(statement, settings, builds_indexes=builds_indexes)
        messages = report.messages
        trace = StatementTrace(
            step=step,
            number=len(self.traces) + 1,
            text=statement.text,
            started_ms=started_ms,
            duration_ms=duration_ms,
            rows=tuple(self._counters.written_rows(rows)),
            locks=tuple(self._locks.new_locks(rows, started_ms, statement, messages.waits)),
            rewrites=rewrites,
            scans=tuple(self._counters.scans(rows)),
            indexes_built=indexes_built,
            wal_bytes=wal - self._wal_position,
            temp_bytes=messages.temp_bytes,
            temp_file_limit_bytes=settings["temp_file_limit"],
            memory=report.memory,
            waited_ms=messages.waited_ms,
            notices=messages.notices,
            original_sql=statement.original_sql,
        )
        self._counters.add(touched)
        self._locks.add(touched)
        self._wal_position = wal
        self.traces.append(trace)
        self._reports.restore(statement, settings)
        self._reports.discard()

    def _read_touched_tables(self) -> list[dict[str, Any]]:
        poll = f'EXECUTE "{OWN_STATEMENT}" ({self._counters.query_arguments()})'
        cursor = self._try_execute(poll, psycopg.errors.InvalidSqlStatementName)
        if cursor is None:
            # The statement, or a function called by it, deallocated all prepared statements.
            self._connection.execute(query("prepare_touched"))
            cursor = self._connection.execute(poll.encode())
        return cursor.fetchall()

    def _try_execute(self, sql: str, *expected: type[psycopg.Error]) -> psycopg.Cursor[dict[str, Any]] | None:
        """Run internal SQL in a savepoint, as one message; return None if the SQL fails as `expected`."""
        try:
            cursor = self._connection.execute(f"SAVEPOINT confiture; {sql}; RELEASE SAVEPOINT confiture".encode())
        except expected:
            self._connection.execute(b"ROLLBACK TO SAVEPOINT confiture; RELEASE SAVEPOINT confiture")
            return None
        cursor.nextset()
        return cursor

    def _read_wal_position(self) -> int:
        return int(fetch_named_row(self._connection, "wal_position")["bytes"])
