"""Monitor the workers of a backfill, report their progress, and handle control requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from confiture.core.backfill.batches import Batch
from confiture.core.backfill.concurrent_writes import ConcurrentWritePolicy
from confiture.core.backfill.context import BackfillContext
from confiture.core.backfill.heartbeat import BEAT_S, PAUSED
from confiture.core.backfill.throttle import ThrottleController
from confiture.core.backfill.worker import (
    Worker,
    WorkerBlockedOthers,
    WorkerExited,
    WorkerMessage,
    WorkerMonitorLost,
    WorkerRetry,
    WorkerServerMessage,
)
from confiture.core.backfill.worker_gate import WorkerGate
from confiture.core.db.server_messages import StepMessages
from confiture.models.events import BackfillProgressed, BatchRetried, Notice, OthersBlocked


class BackfillMonitor:
    """The main thread's loop while workers run. No other thread emits events or uses the run's own connection."""

    def __init__(
        self,
        context: BackfillContext,
        gate: WorkerGate,
        outbox: SimpleQueue[WorkerMessage],
        workers: Sequence[Worker],
        writes: ConcurrentWritePolicy,
    ) -> None:
        self._emit = context.emit
        self._identity = context.identity
        self._messages = StepMessages(context.identity, context.emit)
        self._gate = gate
        self._outbox = outbox
        self._workers = workers
        self._writes = writes
        self._estimated_rows = context.estimated_rows
        self._retries = context.settings.retries
        self._throttle = ThrottleController(context, gate)
        self._heartbeat = context.heartbeat
        before = context.store.totals()
        self._batches, self._source_rows, self._written_rows = before.batches, before.source_rows, before.written_rows
        self._rows_before = before.source_rows
        self._started_at = time.monotonic()

    def wait_for_workers(self) -> list[BaseException]:
        """Wait until all workers have exited. Return the workers' errors.

        Raise BackfillCancelled, or the error for a lost connection or a lost lock.
        """
        errors: list[BaseException] = []
        working = len(self._workers)
        next_tick = time.monotonic()
        while working:
            now = time.monotonic()
            if now >= next_tick:
                self._tick()
                next_tick = now + BEAT_S
            try:
                message = self._outbox.get(timeout=max(next_tick - time.monotonic(), 0.01))
            except Empty:
                continue
            if isinstance(message, WorkerExited):
                working -= 1
                if message.error is not None:
                    errors.append(message.error)
                    self._gate.shut_down()
            else:
                self._handle_message(message)
        self._emit_progress()
        self._messages.finish()
        return errors

    def _handle_message(
        self, message: WorkerServerMessage | Batch | WorkerRetry | WorkerBlockedOthers | WorkerMonitorLost
    ) -> None:
        match message:
            case WorkerServerMessage():
                self._messages.add(message.message)
            case Batch():
                self._batches += 1
                self._source_rows += message.source_rows
                self._written_rows += message.written_rows
            case WorkerRetry():
                self._emit(
                    BatchRetried(
                        step=self._identity,
                        rows=message.rows,
                        attempt=message.attempt,
                        attempts=self._retries,
                        wait_ms=message.wait_s * 1000,
                        reason=message.reason,
                    )
                )
            case WorkerMonitorLost():
                self._emit(Notice(text=f"a worker's blocking is no longer monitored: {message.reason}"))
            case WorkerBlockedOthers():
                over = any(waiter.waited_ms > message.budget_ms > 0 for waiter in message.waiters)
                self._emit(
                    OthersBlocked(
                        version=self._identity.version,
                        segment=self._identity.segment,
                        waiters=message.waiters,
                        over_budget=over,
                    )
                )

    def _tick(self) -> None:
        """Once a second, send a heartbeat, handle control requests, and check whether the backfill can continue."""
        self._writes.poll()
        batch_rows = max(worker.batch_rows for worker in self._workers)
        if self._heartbeat.beat(batch_rows, self._gate.reason):
            self._gate.close(PAUSED)
        elif not self._gate.is_shut_down:
            if self._gate.reason == PAUSED:
                self._gate.open()
            self._throttle.poll()
        self._emit_progress()

    def _emit_progress(self) -> None:
        rows = self._source_rows - self._rows_before
        elapsed_s = time.monotonic() - self._started_at
        rate = rows / elapsed_s if rows and elapsed_s > 0 else None
        remaining_rows = max(self._estimated_rows - self._source_rows, 0) if self._estimated_rows is not None else None
        self._emit(
            BackfillProgressed(
                step=self._identity,
                elapsed_s=elapsed_s,
                source_rows=self._source_rows,
                written_rows=self._written_rows,
                batches=self._batches,
                estimated_rows=self._estimated_rows,
                batch_rows=max(worker.batch_rows for worker in self._workers),
                rows_per_s=rate,
                remaining_s=remaining_rows / rate if remaining_rows is not None and rate else None,
                waiting_for=self._gate.reason,
            )
        )
