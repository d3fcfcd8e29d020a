"""Fills again what others wrote while the batches ran, until nothing is left of it.

Each drain takes notes, and what they are about is deleted and made anew, in one READ COMMITTED transaction: the
statement that makes it sees every write whose note was taken, and a write that commits later leaves its note for the
next drain. The last one keeps writers out for a moment, so that nothing is left after it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import psycopg
from psycopg import sql

from confiture.core.backfill.batches import batch_failure, with_condition
from confiture.core.backfill.capture import Capture, CapturedTable, Truncated
from confiture.core.backfill.keys import Values
from confiture.core.backfill.source import failed
from confiture.core.backfill.work import Work
from confiture.core.steps import StepFailed

_NOTES = 2_000
"""How many notes one drain takes."""
_LAST_NOTES = 500
"""The last drain begins when no more than these are left: others wait for it."""
_LOCK_TIMEOUT_MS = 500
_RETRYABLE = frozenset({"55P03", "40P01", "40001", "57014"})
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0


class Draining:
    """The drains of one backfill, one after the other, over the run's own connection (in autocommit)."""

    def __init__(self, work: Work, capture: Capture) -> None:
        self._work = work
        self._connection = work.connection
        self._capture = capture

    def all(self, tables: Sequence[CapturedTable]) -> float:
        """Drains until nothing is left, and ends the backfill. Returns for how many milliseconds writers were kept out.

        Raises StepFailed and psycopg.Error.
        """
        attempt = 0
        while True:
            try:
                while self._drain() > _LAST_NOTES:
                    attempt = 0
                return self._last(tables)
            except (psycopg.Error, StepFailed) as error:
                attempt += 1
                if error.sqlstate not in _RETRYABLE or attempt > self._work.retries:
                    raise
                longest = min(_FIRST_WAIT_S * 2 ** (attempt - 1), _LONGEST_WAIT_S)
                time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - spreads retries, protects nothing

    def _drain(self) -> int:
        with self._connection.transaction():
            self._connection.execute("SET LOCAL confiture.filling = 'on'")
            return self._take(_NOTES)

    def _last(self, tables: Sequence[CapturedTable]) -> float:
        with self._connection.transaction():
            self._connection.execute(
                f"SET LOCAL confiture.filling = 'on'; SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}".encode()
            )
            names = sql.SQL(", ").join(sql.Identifier(*table.name) for table in tables)
            self._connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))
            locked = time.perf_counter()
            while self._take(_NOTES):
                pass
            self._work.store.end()
        return (time.perf_counter() - locked) * 1000

    def _take(self, limit: int) -> int:
        """Fills again what some notes are about; returns how many notes that were."""
        try:
            notes, keys = self._capture.take(limit)
        except Truncated as error:
            raise failed(
                self._work.step,
                "source-truncated",
                "a table that the backfill reads was truncated meanwhile",
                f"`confiture backfill cancel`, TRUNCATE {self._work.backfill.into}, and run again",
            ) from error
        if keys:
            self._refill(keys)
        return notes

    def _refill(self, keys: Sequence[Values]) -> None:
        """Makes anew what belongs to some keys; of keys that are gone, nothing comes back."""
        work = self._work
        targets = work.backfill.target_columns
        if targets is not None:
            columns = [sql.Identifier(targets[column.name]) for column in work.key.columns]
            gone = self._capture.keys_condition(keys, columns)
            self._connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier(*work.into), gone))
        read = [work.key.column(place) for place in range(len(work.key))]
        condition = self._capture.keys_condition(keys, read).as_string(self._connection)
        (statement,) = work.step.statements
        try:
            self._connection.execute(with_condition(statement, condition).encode())
        except psycopg.Error as error:
            raise StepFailed(batch_failure(error, statement, work.step, condition), error.sqlstate) from error
