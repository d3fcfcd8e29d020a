"""What a backfill does about writes of others to the tables it reads: notes them, or stops where it sees any."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import psycopg

from confiture.core.backfill.capture import Capture, CapturedTable, remove_capture
from confiture.core.backfill.draining import Draining
from confiture.core.backfill.source import failed
from confiture.core.backfill.tables import captured_tables, own_rows, read_tables, require_replaceable
from confiture.core.backfill.work import Work
from confiture.core.database import Connection, one_row
from confiture.core.failures import StepFailed, plain_failure
from confiture.core.queries import query
from confiture.core.waiting import retry_wait_s
from confiture.errors import DatabaseUnavailable
from confiture.models.events import Noted
from confiture.models.migration import OnWrites
from confiture.models.words import count

LOCK_TIMEOUT_MS = 500
_STOP_WRITERS = "use `on_writes: capture`, or stop the writers; then undo what it filled, and run it again"
_RETRYABLE = frozenset({"55P03", "40P01"})


class Writes(Protocol):
    """How writes of others are dealt with."""

    def prepare(self) -> None:
        """Called before the first batch; may be called again after a crash."""

    def require(self) -> None:
        """Called where a backfill goes on. Raises StepFailed where what `prepare` made is not there any more."""

    @property
    def clears(self) -> Callable[[Connection], Callable[[], None]] | None:
        """Makes what deletes rows of the target that will be made anew; None where none are known."""

    def look(self) -> None:
        """Called about once a second meanwhile. Raises StepFailed where the backfill cannot go on."""

    def settle(self) -> str | None:
        """Called after the last batch: ends the backfill, and says what people should know of that."""

    def release(self) -> None:
        """Takes away what `prepare` made; nothing where it is gone."""


class NotedWrites:
    """Triggers note the keys that others write; those are filled again before the end."""

    def __init__(self, work: Work, tables: Sequence[CapturedTable]) -> None:
        self._work = work
        self._capture = Capture(work.connection, work.number, work.key)
        self._draining = Draining(work, self._capture)
        self._tables = tables

    @property
    def clears(self) -> Callable[[Connection], Callable[[], None]] | None:
        work, targets = self._work, self._work.backfill.target_columns
        if targets is None:
            return None
        names = [targets[column.name] for column in work.key.columns]

        def clearing(connection: Connection) -> Callable[[], None]:
            capture = Capture(connection, work.number, work.key)
            return partial(capture.clear, work.into, names, own_rows(connection, work.backfill, work.into))

        return clearing

    def prepare(self) -> None:
        work = self._work
        require_replaceable(work.connection, work.step, work.backfill, work.into)
        self._work.connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}".encode())
        self._retrying(self._capture.make_notes)
        for place, table in enumerate(self._tables):
            self._work.pulse.between()
            self._retrying(partial(self._install, table, place))
        self._capture.remember_leaves(self._capture.leaves(self._tables))

    def _install(self, table: CapturedTable, place: int) -> None:
        with self._work.connection.transaction():
            self._capture.install(table, place)

    def require(self) -> None:
        work = self._work
        missing = [table for table in self._tables if not self._capture.is_installed(table)]
        if missing:
            names = ", ".join(str(table.name) for table in missing)
            raise failed(
                work.step,
                "capture-lost",
                f"the triggers that note what others write are gone from {names}",
                f"`confiture backfill cancel`, empty {work.backfill.into}, and run again",
            )

    def look(self) -> None:
        return None

    def settle(self) -> str | None:
        self._work.store.mark_draining()
        locked_ms = self._draining.all(self._tables)
        refilled = self._draining.refilled
        again = f"{count(refilled, 'write')} of others filled again; " if refilled else ""
        return f"{again}others could not write for {locked_ms:.0f} ms at the end"

    def release(self) -> None:
        connection = self._work.connection
        try:
            connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}".encode())
            self._retrying(lambda: remove_capture(connection, self._work.number))
        except (StepFailed, psycopg.Error) as error:
            hint = "`confiture backfill clean` removes them"
            self._work.emit(Noted(text=f"triggers of the backfill are left: {error}; {hint}"))

    def _retrying(self, work: Callable[[], None]) -> None:
        """Does the work, which must not wait long for its locks, again and again."""
        attempt = 0
        while True:
            try:
                return work()
            except DatabaseUnavailable as error:
                raise StepFailed(error.diagnostics[0], None) from error
            except psycopg.Error as error:
                attempt += 1
                if error.sqlstate not in _RETRYABLE or attempt > self._work.retries:
                    told = plain_failure(error, "the writes of others cannot be noted")
                    raise StepFailed(told, error.sqlstate) from error
                time.sleep(retry_wait_s(attempt))


class RefusedWrites:
    """Nobody writes, it was said: the backfill stops where the server's statistics tell otherwise."""

    def __init__(self, work: Work) -> None:
        self._work = work
        tables = read_tables(work.connection, work.step)
        self._tables = [table.oid for table in tables if table.name != work.into]
        self._before = work.store.written_before()

    @property
    def clears(self) -> Callable[[Connection], Callable[[], None]] | None:
        return None

    def prepare(self) -> None:
        # an earlier migration of this run may just have written these tables: that is no one else's writing
        self._work.connection.execute(query("flush_statistics"))
        self._before = self._written()
        self._work.store.remember_written(self._before)

    def require(self) -> None:
        return None

    def look(self) -> None:
        written = self._written() - (self._before or 0)
        if written > 0:
            raise failed(
                self._work.step,
                "source-written",
                f"others wrote {count(written, 'row')} to the tables that the backfill reads: its result would not hold"
                " them",
                _STOP_WRITERS,
            )

    def settle(self) -> str | None:
        # statistics count what is committed
        self._refuse_open_writers()
        self.look()
        self._work.store.end()
        return None

    def release(self) -> None:
        return None

    def _refuse_open_writers(self) -> None:
        rows = self._work.connection.execute(query("open_writers"), {"tables": self._tables}).fetchall()
        if rows:
            others = ", ".join(f"{row['who']} writes {row['table']}" for row in rows)
            raise failed(
                self._work.step,
                "source-written",
                f"what the backfill reads is being written and not committed: {others}",
                _STOP_WRITERS,
            )

    def _written(self) -> int:
        return int(one_row(self._work.connection, "written_so_far", tables=self._tables)["rows"])


def writes_for(work: Work) -> Writes:
    """How the writes of others are dealt with in a backfill. Raises StepFailed where they cannot be noted."""
    if work.backfill.on_writes is OnWrites.IGNORE:
        return RefusedWrites(work)
    return NotedWrites(work, captured_tables(work.connection, work.step, work.backfill, work.key, work.into))
