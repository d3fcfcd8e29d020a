"""Fill a table in batches: fix the key range, start the workers, monitor them, and finish."""

from __future__ import annotations

import time
from collections.abc import Sequence
from queue import SimpleQueue

import psycopg

from confiture.core.backfill.backfill_source import backfill_error
from confiture.core.backfill.backfill_store import StoredRange
from confiture.core.backfill.batches import BatchFailed
from confiture.core.backfill.concurrent_writes import ConcurrentWritePolicy, make_write_policy
from confiture.core.backfill.context import BackfillContext
from confiture.core.backfill.heartbeat import BackfillCancelled, ProgressLost
from confiture.core.backfill.key_ranges import split_ranges
from confiture.core.backfill.keyset_cursor import find_last_key
from confiture.core.backfill.monitor import BackfillMonitor
from confiture.core.backfill.plan_check import check_batch_plan
from confiture.core.backfill.worker import Worker, WorkerMessage, to_step_failure
from confiture.core.backfill.worker_gate import WorkerGate
from confiture.core.db.errors import StepFailed
from confiture.models.backfills import CANCELLED, PROGRESS_LOST

_PATIENCE_S, _CANCEL_AGAIN_S = 3.0, 0.1


class BackfillRun:
    """One backfill in one run, new or resumed."""

    def __init__(self, context: BackfillContext) -> None:
        self._context = context
        self._gate = WorkerGate()
        self._outbox: SimpleQueue[WorkerMessage] = SimpleQueue()
        self.note: str | None = None
        """A note for the user about how the backfill ended."""

    def run(self) -> int:
        """Run batches until no rows are left. Return the total number of rows written.

        Raise StepFailed, ConfitureError or KeyboardInterrupt. Committed batches are kept, and the next run continues
        after them.
        """
        writes = self._prepare()
        if self._context.state != "done":
            self._run_batches(writes)
        writes.remove_triggers()
        return self._context.store.totals().written_rows

    def _run_batches(self, writes: ConcurrentWritePolicy) -> None:
        try:
            ranges = self._context.store.unfinished_ranges()
            if ranges:
                self._run_workers(ranges, writes)
            self._require_progress()
            self.note = writes.finish()
        except BackfillCancelled:
            raise self._handle_cancel(writes) from None
        except ProgressLost:
            raise self._handle_lost_progress(writes) from None
        except psycopg.Error as error:
            if self._context.connection.closed:
                raise
            raise to_step_failure(error, self._context.step, self._context.key) from error

    def _prepare(self) -> ConcurrentWritePolicy:
        """Ensure that no concurrent write is missed, then fix the key range.

        A backfill rejected at this point leaves nothing behind.
        """
        context = self._context
        is_new = context.state == "preparing"
        try:
            writes = make_write_policy(context)
        except StepFailed:
            if is_new:
                context.store.delete()
            raise
        if not is_new:
            if context.state != "done":
                writes.ensure_installed()
            return writes
        try:
            writes.prepare()
            self._split_key_range()
        except BackfillCancelled:
            raise self._handle_cancel(writes) from None
        except ProgressLost:
            raise self._handle_lost_progress(writes) from None
        except StepFailed:
            writes.remove_triggers()
            context.store.delete()
            raise
        except psycopg.Error as error:
            if context.connection.closed:
                raise
            writes.remove_triggers()
            context.store.delete()
            raise to_step_failure(error, context.step, context.key) from error
        return writes

    def _split_key_range(self) -> None:
        """Fix the end of the key range, and split the range into parts."""
        context = self._context
        connection, key = context.connection, context.key
        with connection.transaction():
            end = find_last_key(connection, key) or ()
            context.store.store_upper_bound(end)
            if end:
                check_batch_plan(connection, context.step, key, end)
            parts = split_ranges(connection, key, end, context.backfill.workers) if end else []
            for number, (start, stop) in enumerate(parts, start=1):
                context.store.insert_range(number, start, stop)

    def _run_workers(self, unfinished_ranges: Sequence[StoredRange], writes: ConcurrentWritePolicy) -> None:
        ranges: SimpleQueue[StoredRange] = SimpleQueue()
        for part in unfinished_ranges:
            ranges.put(part)
        config = self._context.worker_config(writes.clear_factory)
        count = min(self._context.backfill.workers, len(unfinished_ranges))
        workers = [Worker(number, config, ranges, self._gate, self._outbox) for number in range(1, count + 1)]
        # The monitor starts from the batches committed so far. From here on, the workers report new batches.
        monitor = BackfillMonitor(self._context, self._gate, self._outbox, workers, writes)
        try:
            for worker in workers:
                worker.thread.start()
            errors = monitor.wait_for_workers()
        except BaseException:
            self._stop_workers(workers)
            raise
        if errors:
            raise self._to_raisable(errors[0])

    def _require_progress(self) -> None:
        """Raise StepFailed or ProgressLost if stored rows are missing, because their ranges may not be filled."""
        if self._context.store.load() is None:
            raise ProgressLost
        if not self._context.store.is_complete():
            raise backfill_error(
                self._context.step,
                PROGRESS_LOST,
                "rows of the backfill's progress are missing from the schema confiture: their ranges may not be filled",
                f"run `confiture backfill cancel`, empty {self._context.backfill.into}, and run again",
            )

    def _stop_workers(self, workers: Sequence[Worker]) -> None:
        """Stop all batches. A cancel request that arrives between two statements is lost, so send it repeatedly.

        A worker waiting for an unresponsive server is abandoned, because it holds no locks on that server.
        """
        self._gate.shut_down()
        deadline = time.monotonic() + _PATIENCE_S
        for worker in workers:
            while worker.thread.is_alive() and time.monotonic() < deadline:
                worker.interrupt()
                worker.thread.join(timeout=_CANCEL_AGAIN_S)

    def _handle_cancel(self, writes: ConcurrentWritePolicy) -> StepFailed:
        """Remove the backfill's own triggers and tables; keep the filled rows."""
        writes.remove_triggers()
        self._context.store.delete()
        into = self._context.backfill.into
        return backfill_error(
            self._context.step,
            CANCELLED,
            "the backfill was cancelled by `confiture backfill cancel`",
            f"the filled rows are still in {into}: empty the table, then run `confiture migrate up` to start over",
        )

    def _handle_lost_progress(self, writes: ConcurrentWritePolicy) -> StepFailed:
        """Remove the backfill's own triggers and tables; keep the filled rows and the intent."""
        writes.remove_triggers()
        into = self._context.backfill.into
        return backfill_error(
            self._context.step,
            PROGRESS_LOST,
            "the backfill's row is missing from confiture.backfills, so it is not known which rows are filled",
            f"empty {into}, then run `confiture migrate up` to start over",
        )

    def _to_raisable(self, error: BaseException) -> BaseException:
        if isinstance(error, BatchFailed | psycopg.Error):
            return to_step_failure(error, self._context.step, self._context.key)
        return error
