"""Fills a table in batches: fixes what is to be done, sends workers, listens to them, and says when all is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import psycopg

from confiture.core.backfill.batches import BatchFailed
from confiture.core.backfill.gate import Gate
from confiture.core.backfill.keys import BatchKey
from confiture.core.backfill.listening import Cancelled, Listening
from confiture.core.backfill.ranges import split
from confiture.core.backfill.source import Source, failed, find_source
from confiture.core.backfill.store import FillId, FillStore, Range
from confiture.core.backfill.walking import last_key
from confiture.core.backfill.worker import Job, Message, Worker, as_step_failure
from confiture.core.database import Connection, Database
from confiture.core.events import Emit
from confiture.core.steps import StepRecord
from confiture.models.plan import PlannedBackfill, PlannedStep, StepId
from confiture.models.settings import DatabaseSettings
from confiture.plan.checksums import digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What a filling works with. `connection` is in autocommit and belongs to the run."""

    connection: Connection
    database: Database
    settings: DatabaseSettings
    emit: Emit


class Filling:
    """One backfill of one run, begun or resumed."""

    def __init__(self, orders: Orders, step: PlannedStep, identity: StepId, fill: FillId) -> None:
        if step.backfill is None:
            raise ValueError(step.name)
        self._orders = orders
        self._step = step
        self._backfill: PlannedBackfill = step.backfill
        self._identity = identity
        self._fill = fill
        self._store = FillStore(orders.connection, fill)
        self._gate = Gate()
        self._outbox: SimpleQueue[Message] = SimpleQueue()

    def run(self) -> StepRecord:
        """Fills until nothing is left. Raises StepFailed, ConfitureError or KeyboardInterrupt; what is committed by
        then stays, and the next run goes on behind it.
        """
        source = find_source(self._orders.connection, self._step, self._backfill)
        self._begin(source)
        started = time.perf_counter()
        ranges = self._store.open_ranges()
        if ranges:
            self._send_workers(source, ranges)
        with self._orders.connection.transaction():
            self._store.end()
        totals = self._store.totals()
        return StepRecord(
            phase=self._step.phase.value,
            name=self._step.label,
            rows=totals.written_rows,
            duration_ms=(time.perf_counter() - started) * 1000,
        )

    def _begin(self, source: Source) -> None:
        """Fixes the end of the key's range, and cuts it up; or sees that an earlier run did so for the same work."""
        connection = self._orders.connection
        fingerprint = digest(self._step.statements[0].text, [column.name for column in source.key.columns])
        begun = self._store.begun()
        if begun is not None:
            if begun.fingerprint != fingerprint:
                raise failed(
                    self._step,
                    "drift",
                    "the backfill stopped midway, and its statement or key was changed since",
                    "put it back as it was; or undo what it filled, `confiture backfill cancel`, and begin anew",
                )
            return
        with connection.transaction():
            end = last_key(connection, source.key) or ()
            self._store.begin(
                version=self._identity.version,
                step=self._step.label,
                target=str(self._backfill.into),
                source=str(source.key.table),
                key=[column.name for column in source.key.columns],
                end_key=list(end),
                fingerprint=fingerprint,
                estimated_rows=source.estimated_rows,
            )
            if end:
                parts = split(connection, source.key, end, self._backfill.workers)
                for number, (start, stop) in enumerate(parts, start=1):
                    self._store.add_range(number, start, stop)

    def _send_workers(self, source: Source, open_ranges: Sequence[Range]) -> None:
        ranges: SimpleQueue[Range] = SimpleQueue()
        for part in open_ranges:
            ranges.put(part)
        job = Job(
            database=self._orders.database,
            settings=self._orders.settings,
            step=self._step,
            key=source.key,
            fill=self._fill,
            batch_rows=self._backfill.batch_rows,
            batch_time_ms=self._backfill.batch_time_ms,
        )
        count = min(self._backfill.workers, len(open_ranges))
        workers = [Worker(number, job, ranges, self._gate, self._outbox) for number in range(1, count + 1)]
        for worker in workers:
            worker.thread.start()
        try:
            errors = Listening(
                self._orders.emit,
                self._identity,
                self._store,
                self._gate,
                self._outbox,
                workers,
                source.estimated_rows,
                self._orders.settings.retries,
            ).until_all_are_gone()
        except Cancelled as error:
            self._gate.end()
            hint = "undo what it filled, then `confiture migrate up` begins it anew"
            raise failed(self._step, "cancelled", "the backfill was cancelled from another terminal", hint) from error
        except BaseException:
            self._gate.end()
            for worker in workers:
                worker.interrupt()
            raise
        finally:
            for worker in workers:
                worker.thread.join()
        if errors:
            raise self._as_raised(errors[0], source.key)

    def _as_raised(self, error: BaseException, key: BatchKey) -> BaseException:
        if isinstance(error, BatchFailed | psycopg.Error):
            return as_step_failure(error, self._step, key)
        return error
