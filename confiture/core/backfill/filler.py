"""What the runner knows of backfills: a step goes in, its record comes out."""

from __future__ import annotations

import time
from collections.abc import Callable

from confiture.core.backfill.capture import remove_capture
from confiture.core.backfill.filling import Filling, Orders
from confiture.core.backfill.store import FillId, FillStore
from confiture.core.backfill.writes import LOCK_TIMEOUT_MS
from confiture.core.database import Connection, Database
from confiture.core.events import Emit
from confiture.core.queries import query
from confiture.core.steps import StepRecord, step_id
from confiture.models.events import Outcome, StepFinished, StepStarted
from confiture.models.plan import Segment
from confiture.models.settings import DatabaseSettings


class Filler:
    """Runs the batched backfills of a run, on one database."""

    def __init__(
        self, database: Database, settings: DatabaseSettings, emit: Emit, require_lock: Callable[[], None]
    ) -> None:
        self._require_lock = require_lock
        self._database = database
        self._settings = settings
        self._emit = emit

    def fill(self, connection: Connection, version: str, segment: Segment, fill: FillId) -> StepRecord:
        """Fills until nothing is left, beginning where an earlier run stopped. `connection` is in autocommit.

        Raises StepFailed, psycopg.Error or KeyboardInterrupt; what is committed by then stays.
        """
        (step,) = segment.steps
        identity = step_id(version, segment, step)
        orders = Orders(
            connection=connection,
            database=self._database,
            settings=self._settings,
            emit=self._emit,
            require_lock=self._require_lock,
        )
        self._emit(StepStarted(step=identity))
        started = time.perf_counter()
        try:
            filling = Filling(orders, step, identity, fill)
            record = filling.run()
        except BaseException:
            spent_ms = (time.perf_counter() - started) * 1000
            self._emit(StepFinished(step=identity, outcome=Outcome.FAILED, duration_ms=spent_ms))
            raise
        self._emit(
            StepFinished(
                step=identity,
                outcome=Outcome.DONE,
                duration_ms=record.duration_ms,
                rows=record.rows,
                note=filling.note,
            )
        )
        return record

    def give_up(self, connection: Connection, version: str) -> None:
        """Takes away the triggers and the progress of what a migration left midway: it is to be undone."""
        # others queue behind whoever waits to drop a trigger
        connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}".encode())
        for row in connection.execute(query("unfinished_of_version"), {"version": version}).fetchall():
            remove_capture(connection, row["number"])
            FillStore(connection, FillId(attempt=row["attempt"], segment=row["segment"])).forget()
