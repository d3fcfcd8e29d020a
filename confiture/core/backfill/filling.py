"""Fills a table in batches: fixes what is to be done, sends workers, listens to them, and says when all is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import psycopg

from confiture.core.backfill.batches import BatchFailed
from confiture.core.backfill.gate import Gate
from confiture.core.backfill.guard import refuse_bad_plan
from confiture.core.backfill.keys import BatchKey
from confiture.core.backfill.listening import Listening
from confiture.core.backfill.pulse import Cancelled, Pulse
from confiture.core.backfill.ranges import split
from confiture.core.backfill.source import Source, failed, find_source
from confiture.core.backfill.store import Begun, FillId, FillStore, Range
from confiture.core.backfill.tables import resolved
from confiture.core.backfill.walking import last_key
from confiture.core.backfill.work import Work
from confiture.core.backfill.worker import Job, Message, Worker, as_step_failure, prepare_session
from confiture.core.backfill.writes import Writes, writes_for
from confiture.core.database import Connection, Database
from confiture.core.events import Emit
from confiture.core.failures import StepFailed
from confiture.models.backfills import CANCELLED
from confiture.models.plan import PlannedBackfill, PlannedStep, StepId
from confiture.models.settings import DatabaseSettings
from confiture.plan.checksums import digest

_PATIENCE_S, _CANCEL_AGAIN_S = 3.0, 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What a filling works with. `connection` is in autocommit and belongs to the run; `require_lock` raises where the
    project's lock is lost.
    """

    connection: Connection
    database: Database
    settings: DatabaseSettings
    emit: Emit
    require_lock: Callable[[], None]


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
        self.note: str | None = None
        """What people should know of how it ended."""

    def run(self) -> int:
        """Fills until nothing is left; gives how many rows were written in all.

        Raises StepFailed, ConfitureError or KeyboardInterrupt; what is committed by then stays, and the next run goes
        on behind it.
        """
        prepare_session(self._orders.connection)
        source = find_source(self._orders.connection, self._step, self._backfill)
        begun = self._store.begun()
        self._require_same(begun, source)
        work = self._work(source, begun.number if begun else self._enter(source))
        writes = self._prepared(work, begun.state if begun else "preparing")
        if begun is None or begun.state != "done":
            self._fill_all(work, writes)
        writes.release()
        return self._store.totals().written_rows

    def _fill_all(self, work: Work, writes: Writes) -> None:
        try:
            ranges = self._store.open_ranges()
            if ranges:
                self._send_workers(work, ranges, writes)
            self.note = writes.settle()
        except Cancelled:
            raise self._cancelled(writes) from None
        except psycopg.Error as error:
            if self._orders.connection.closed:
                raise
            raise as_step_failure(error, self._step, work.key) from error

    def _require_same(self, begun: Begun | None, source: Source) -> None:
        if begun is not None and begun.fingerprint != self._fingerprint(source):
            raise failed(
                self._step,
                "drift",
                "the backfill stopped midway, and its statement or key was changed since",
                "put it back as it was; or undo what it filled, `confiture backfill cancel`, and begin anew",
            )

    def _fingerprint(self, source: Source) -> str:
        """Of what must not change while a backfill is midway."""
        captures = sorted((str(capture.table), capture.columns) for capture in self._backfill.captures)
        columns = [column.name for column in source.key.columns]
        return digest(self._step.statements[0].text, columns, self._backfill.on_writes.value, captures)

    def _prepared(self, work: Work, state: str) -> Writes:
        """Sees to it that nothing others write goes unseen, then fixes what is to be filled.

        What is refused here leaves nothing behind.
        """
        is_ready = state != "preparing"
        try:
            writes = writes_for(work)
        except StepFailed:
            self._forget_unready(is_ready=is_ready)
            raise
        if is_ready:
            if state != "done":
                writes.require()
            return writes
        try:
            writes.prepare()
            self._cut(work)
        except Cancelled:
            raise self._cancelled(writes) from None
        except StepFailed:
            writes.release()
            self._forget_unready(is_ready=False)
            raise
        except psycopg.Error as error:
            if self._orders.connection.closed:
                raise
            writes.release()
            self._forget_unready(is_ready=False)
            raise as_step_failure(error, self._step, work.key) from error
        return writes

    def _forget_unready(self, *, is_ready: bool) -> None:
        if not is_ready:
            self._store.forget()

    def _work(self, source: Source, number: int) -> Work:
        return Work(
            connection=self._orders.connection,
            emit=self._orders.emit,
            retries=self._orders.settings.retries,
            max_blocking_ms=self._orders.settings.max_blocking_ms,
            pulse=Pulse(self._store, self._orders.require_lock),
            step=self._step,
            backfill=self._backfill,
            key=source.key,
            into=resolved(self._orders.connection, self._step, self._backfill.into),
            store=self._store,
            number=number,
            estimated_rows=source.estimated_rows,
        )

    def _enter(self, source: Source) -> int:
        return self._store.begin(
            version=self._identity.version,
            step=self._step.label,
            into_table=str(self._backfill.into),
            source=str(source.key.table),
            key=[column.name for column in source.key.columns],
            fingerprint=self._fingerprint(source),
            estimated_rows=source.estimated_rows,
        )

    def _cut(self, work: Work) -> None:
        """Fixes the end of the key's range, and cuts it into parts."""
        connection = self._orders.connection
        with connection.transaction():
            end = last_key(connection, work.key) or ()
            self._store.fix_end(end)
            if end:
                refuse_bad_plan(connection, self._step, work.key, end)
            parts = split(connection, work.key, end, self._backfill.workers) if end else []
            for number, (start, stop) in enumerate(parts, start=1):
                self._store.add_range(number, start, stop)

    def _send_workers(self, work: Work, open_ranges: Sequence[Range], writes: Writes) -> None:
        ranges: SimpleQueue[Range] = SimpleQueue()
        for part in open_ranges:
            ranges.put(part)
        job = Job(
            database=self._orders.database,
            settings=self._orders.settings,
            step=self._step,
            key=work.key,
            fill=self._fill,
            batch_rows=self._backfill.batch_rows,
            batch_time_ms=self._backfill.batch_time_ms,
            clears=writes.clears,
        )
        count = min(self._backfill.workers, len(open_ranges))
        workers = [Worker(number, job, ranges, self._gate, self._outbox) for number in range(1, count + 1)]
        # it counts what is committed now: what workers do from here on, they tell
        listening = Listening(work, self._identity, self._gate, self._outbox, workers, writes)
        try:
            for worker in workers:
                worker.thread.start()
            errors = listening.until_all_are_gone()
        except BaseException:
            self._send_home(workers)
            raise
        if errors:
            raise self._as_raised(errors[0], work.key)

    def _send_home(self, workers: Sequence[Worker]) -> None:
        """Ends all batches. A cancel that arrives between two statements is lost, so it is sent again and again; who
        waits for a server that does not answer is left behind, and holds nothing there.
        """
        self._gate.end()
        deadline = time.monotonic() + _PATIENCE_S
        for worker in workers:
            while worker.thread.is_alive() and time.monotonic() < deadline:
                worker.interrupt()
                worker.thread.join(timeout=_CANCEL_AGAIN_S)

    def _cancelled(self, writes: Writes) -> StepFailed:
        """Takes away what the backfill had made for itself; the rows that it filled stay."""
        writes.release()
        self._store.forget()
        return failed(
            self._step,
            CANCELLED,
            "the backfill was cancelled by `confiture backfill cancel`",
            f"the rows that it filled stay in {self._backfill.into}: empty it, then `confiture migrate up` begins anew",
        )

    def _as_raised(self, error: BaseException, key: BatchKey) -> BaseException:
        if isinstance(error, BatchFailed | psycopg.Error):
            return as_step_failure(error, self._step, key)
        return error
