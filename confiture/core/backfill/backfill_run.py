"""Fills a table in batches: fixes what is to be done, sends workers, listens to them, and says when all is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import psycopg

from confiture.core.backfill.backfill_source import BackfillSource, backfill_error, find_source
from confiture.core.backfill.backfill_store import BackfillId, BackfillStore, StoredBackfill, StoredRange
from confiture.core.backfill.batch_key import BatchKey
from confiture.core.backfill.batches import BatchFailed
from confiture.core.backfill.concurrent_writes import ConcurrentWritePolicy, make_write_policy
from confiture.core.backfill.context import BackfillContext
from confiture.core.backfill.heartbeat import BackfillCancelled, Heartbeat
from confiture.core.backfill.key_ranges import split_ranges
from confiture.core.backfill.keyset_cursor import find_last_key
from confiture.core.backfill.monitor import BackfillMonitor
from confiture.core.backfill.plan_check import check_batch_plan
from confiture.core.backfill.source_tables import resolve_table
from confiture.core.backfill.worker import Worker, WorkerConfig, WorkerMessage, prepare_session, to_step_failure
from confiture.core.backfill.worker_gate import WorkerGate
from confiture.core.db.connection import Connection, ConnectionTarget
from confiture.core.db.errors import StepFailed
from confiture.models.backfills import CANCELLED
from confiture.models.events import Emit
from confiture.models.plan import PlannedBackfill, PlannedStep, StepId
from confiture.models.settings import DatabaseSettings
from confiture.plan.checksums import digest

_PATIENCE_S, _CANCEL_AGAIN_S = 3.0, 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillResources:
    """What a filling works with. `connection` is in autocommit and belongs to the run; `require_lock` raises where the
    project's lock is lost.
    """

    connection: Connection
    database: ConnectionTarget
    settings: DatabaseSettings
    emit: Emit
    require_lock: Callable[[], None]


class BackfillRun:
    """One backfill of one run, begun or resumed."""

    def __init__(
        self, resources: BackfillResources, step: PlannedStep, identity: StepId, backfill_id: BackfillId
    ) -> None:
        if step.backfill is None:
            raise ValueError(step.name)
        self._resources = resources
        self._step = step
        self._backfill: PlannedBackfill = step.backfill
        self._identity = identity
        self._backfill_id = backfill_id
        self._store = BackfillStore(resources.connection, backfill_id)
        self._gate = WorkerGate()
        self._outbox: SimpleQueue[WorkerMessage] = SimpleQueue()
        self.note: str | None = None
        """What people should know of how it ended."""

    def run(self) -> int:
        """Fills until nothing is left; gives how many rows were written in all.

        Raises StepFailed, ConfitureError or KeyboardInterrupt; what is committed by then stays, and the next run goes
        on behind it.
        """
        prepare_session(self._resources.connection)
        source = find_source(self._resources.connection, self._step, self._backfill)
        begun = self._store.load()
        self._check_unchanged(begun, source)
        work = self._build_context(source, begun.number if begun else self._insert(source))
        writes = self._prepare(work, begun.state if begun else "preparing")
        if begun is None or begun.state != "done":
            self._run_batches(work, writes)
        writes.remove_triggers()
        return self._store.totals().written_rows

    def _run_batches(self, context: BackfillContext, writes: ConcurrentWritePolicy) -> None:
        try:
            ranges = self._store.unfinished_ranges()
            if ranges:
                self._run_workers(context, ranges, writes)
            self.note = writes.finish()
        except BackfillCancelled:
            raise self._handle_cancel(writes) from None
        except psycopg.Error as error:
            if self._resources.connection.closed:
                raise
            raise to_step_failure(error, self._step, context.key) from error

    def _check_unchanged(self, stored: StoredBackfill | None, source: BackfillSource) -> None:
        if stored is not None and stored.fingerprint != self._fingerprint(source):
            raise backfill_error(
                self._step,
                "drift",
                "the backfill stopped midway, and its statement or key was changed since",
                "put it back as it was; or undo what it filled, `confiture backfill cancel`, and begin anew",
            )

    def _fingerprint(self, source: BackfillSource) -> str:
        """Of what must not change while a backfill is midway."""
        captures = sorted((str(capture.table), capture.columns) for capture in self._backfill.captures)
        columns = [column.name for column in source.key.columns]
        return digest(self._step.statements[0].text, columns, self._backfill.on_writes.value, captures)

    def _prepare(self, context: BackfillContext, state: str) -> ConcurrentWritePolicy:
        """Sees to it that nothing others write goes unseen, then fixes what is to be filled.

        What is refused here leaves nothing behind.
        """
        is_ready = state != "preparing"
        try:
            writes = make_write_policy(context)
        except StepFailed:
            self._delete_unprepared(is_prepared=is_ready)
            raise
        if is_ready:
            if state != "done":
                writes.ensure_installed()
            return writes
        try:
            writes.prepare()
            self._split_key_range(context)
        except BackfillCancelled:
            raise self._handle_cancel(writes) from None
        except StepFailed:
            writes.remove_triggers()
            self._delete_unprepared(is_prepared=False)
            raise
        except psycopg.Error as error:
            if self._resources.connection.closed:
                raise
            writes.remove_triggers()
            self._delete_unprepared(is_prepared=False)
            raise to_step_failure(error, self._step, context.key) from error
        return writes

    def _delete_unprepared(self, *, is_prepared: bool) -> None:
        if not is_prepared:
            self._store.delete()

    def _build_context(self, source: BackfillSource, number: int) -> BackfillContext:
        return BackfillContext(
            connection=self._resources.connection,
            emit=self._resources.emit,
            retries=self._resources.settings.retries,
            max_blocking_ms=self._resources.settings.max_blocking_ms,
            heartbeat=Heartbeat(self._store, self._resources.require_lock),
            step=self._step,
            backfill=self._backfill,
            key=source.key,
            into=resolve_table(self._resources.connection, self._step, self._backfill.into),
            store=self._store,
            number=number,
            estimated_rows=source.estimated_rows,
        )

    def _insert(self, source: BackfillSource) -> int:
        return self._store.insert(
            version=self._identity.version,
            step=self._step.label,
            into_table=str(self._backfill.into),
            source=str(source.key.table),
            key=[column.name for column in source.key.columns],
            fingerprint=self._fingerprint(source),
            estimated_rows=source.estimated_rows,
        )

    def _split_key_range(self, context: BackfillContext) -> None:
        """Fixes the end of the key's range, and cuts it into parts."""
        connection = self._resources.connection
        with connection.transaction():
            end = find_last_key(connection, context.key) or ()
            self._store.store_upper_bound(end)
            if end:
                check_batch_plan(connection, self._step, context.key, end)
            parts = split_ranges(connection, context.key, end, self._backfill.workers) if end else []
            for number, (start, stop) in enumerate(parts, start=1):
                self._store.insert_range(number, start, stop)

    def _run_workers(
        self, context: BackfillContext, unfinished_ranges: Sequence[StoredRange], writes: ConcurrentWritePolicy
    ) -> None:
        ranges: SimpleQueue[StoredRange] = SimpleQueue()
        for part in unfinished_ranges:
            ranges.put(part)
        job = WorkerConfig(
            database=self._resources.database,
            settings=self._resources.settings,
            step=self._step,
            key=context.key,
            backfill_id=self._backfill_id,
            batch_rows=self._backfill.batch_rows,
            batch_time_ms=self._backfill.batch_time_ms,
            clear_factory=writes.clear_factory,
        )
        count = min(self._backfill.workers, len(unfinished_ranges))
        workers = [Worker(number, job, ranges, self._gate, self._outbox) for number in range(1, count + 1)]
        # it counts what is committed now: what workers do from here on, they tell
        listening = BackfillMonitor(context, self._identity, self._gate, self._outbox, workers, writes)
        try:
            for worker in workers:
                worker.thread.start()
            errors = listening.wait_for_workers()
        except BaseException:
            self._stop_workers(workers)
            raise
        if errors:
            raise self._to_raisable(errors[0], context.key)

    def _stop_workers(self, workers: Sequence[Worker]) -> None:
        """Ends all batches. A cancel that arrives between two statements is lost, so it is sent again and again; who
        waits for a server that does not answer is left behind, and holds nothing there.
        """
        self._gate.shut_down()
        deadline = time.monotonic() + _PATIENCE_S
        for worker in workers:
            while worker.thread.is_alive() and time.monotonic() < deadline:
                worker.interrupt()
                worker.thread.join(timeout=_CANCEL_AGAIN_S)

    def _handle_cancel(self, writes: ConcurrentWritePolicy) -> StepFailed:
        """Takes away what the backfill had made for itself; the rows that it filled stay."""
        writes.remove_triggers()
        self._store.delete()
        return backfill_error(
            self._step,
            CANCELLED,
            "the backfill was cancelled by `confiture backfill cancel`",
            f"the rows that it filled stay in {self._backfill.into}: empty it, then `confiture migrate up` begins anew",
        )

    def _to_raisable(self, error: BaseException, key: BatchKey) -> BaseException:
        if isinstance(error, BatchFailed | psycopg.Error):
            return to_step_failure(error, self._step, key)
        return error
