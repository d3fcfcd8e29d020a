"""A worker: takes ranges and fills them batch by batch, over a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

import psycopg

from confiture.core.backfill.batches import Batch, BatchFailed, BatchRunner
from confiture.core.backfill.gate import Gate
from confiture.core.backfill.keys import BatchKey
from confiture.core.backfill.pace import Pace
from confiture.core.backfill.store import FillId, FillStore, Range
from confiture.core.database import Connection, Database, check_client, one_row
from confiture.core.failures import OVER_BUDGET, RETRYABLE, StepFailed, plain_failure
from confiture.core.waiting import retry_wait_s
from confiture.core.watcher import BlockingWatch
from confiture.errors import DatabaseUnavailable
from confiture.models.events import Waiter
from confiture.models.plan import PlannedStep
from confiture.models.settings import DatabaseSettings

_TOO_MUCH = frozenset({"57014", "55P03", OVER_BUDGET})
"""After these a smaller batch has a better chance: too slow, no lock in time, others waited too long."""
_AGAIN = RETRYABLE | _TOO_MUCH | {"25006", "57P01", "57P02", "57P03"}
_TAKEN = frozenset({"23505", "23P01"})
"""Another row of the target is in the way."""
_BAD_DATA = ("22", "23")
"""Classes of SQLSTATE that say that one row is wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What all workers of a backfill share."""

    database: Database
    settings: DatabaseSettings
    step: PlannedStep
    key: BatchKey
    fill: FillId
    batch_rows: int
    batch_time_ms: int
    clears: Callable[[Connection], Callable[[], None]] | None
    """Makes what deletes rows of the target that are stale, and will be made anew; None where none are known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """A worker tries a batch again, with `rows` rows, after `wait_s` seconds."""

    rows: int
    attempt: int
    wait_s: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Waited:
    """Others waited for a batch; `budget_ms` is how long they may, 0 for ever."""

    waiters: tuple[Waiter, ...]
    budget_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Unwatched:
    """Nobody looks any more at who waits for a worker's batches, because of `reason`."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gone:
    """A worker went home, because of `error` or because there is nothing left to do."""

    error: BaseException | None


Message = Batch | Retry | Waited | Unwatched | Gone


class Worker:
    """One worker. What happens it puts into `outbox`; its thread ends with a `Gone`."""

    def __init__(
        self, number: int, job: Job, ranges: SimpleQueue[Range], gate: Gate, outbox: SimpleQueue[Message]
    ) -> None:
        self._job = job
        self._ranges = ranges
        self._gate = gate
        self._outbox = outbox
        self._pace = Pace(job.batch_rows, job.batch_time_ms)
        self._connection: Connection | None = None
        self._clearing = False
        """Whether stale rows of the target are deleted before the next batch, because one was in its way."""
        self._suspects = 0
        """How many of the next rows hold one that is wrong; 0 where none is known to."""
        self.thread = threading.Thread(target=self._work, name=f"backfill {number}", daemon=True)

    @property
    def batch_rows(self) -> int:
        """How many rows its next batch takes."""
        return min(max(self._suspects // 2, 1), self._pace.rows) if self._suspects else self._pace.rows

    def interrupt(self) -> None:
        """Cancels the statement at hand."""
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=1)

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            while not self._gate.ended:
                self._fill_range(self._ranges.get_nowait())
        except Empty:
            pass
        except BaseException as failure:
            error = failure
        finally:
            self._outbox.put(Gone(error=error))

    def _fill_range(self, part: Range) -> None:
        failures = 0
        while not self._gate.ended:
            try:
                with self._line() as (connection, runner, watch):
                    for batch in self._batches(connection, runner, watch, part):
                        failures = 0
                        self._outbox.put(batch)
                return
            except (BatchFailed, psycopg.Error, DatabaseUnavailable) as failure:
                failures += 1
                self._try_again(failure, failures)

    @contextmanager
    def _line(self) -> Iterator[tuple[Connection, BatchRunner, BlockingWatch]]:
        """A connection with who watches it, for as long as it lasts."""
        job = self._job
        with ExitStack() as stack:
            connection = stack.enter_context(job.database.connect("backfill"))
            _prepare(connection, job.step, job.settings)
            pid = int(one_row(connection, "server")["backend_pid"])
            watch = stack.enter_context(BlockingWatch(job.database, pid, job.settings.max_blocking_ms))
            self._connection = connection
            try:
                store = FillStore(connection, job.fill)
                runner = BatchRunner(connection, job.step, job.key, store, watch, job.settings.max_blocking_ms)
                yield connection, runner, watch
            finally:
                self._connection = None

    def _batches(
        self, connection: Connection, runner: BatchRunner, watch: BlockingWatch, part: Range
    ) -> Iterator[Batch]:
        last_s = 0.0
        while self._gate.passed(last_s):
            try:
                clear = self._job.clears(connection) if self._clearing and self._job.clears else None
                batch = runner.run(part, self.batch_rows, clear)
            finally:
                self._tell_of(watch)
            if batch is None:
                return
            last_s = batch.duration_ms / 1000
            self._suspects = max(self._suspects - batch.source_rows, 0)
            self._clearing = False
            self._pace.done(batch.source_rows, batch.duration_ms)
            yield batch
            if batch.is_last:
                return

    def _tell_of(self, watch: BlockingWatch) -> None:
        """Tells who waited; workers of the same run that waited for each other are no one's loss."""
        if loss := watch.take_loss():
            self._outbox.put(Unwatched(reason=loss))
        own = self._connection.info.parameter_status("application_name") if self._connection else None
        others = tuple(waiter for waiter in watch.waiters if waiter.application_name != own)
        if others:
            self._outbox.put(Waited(waiters=others, budget_ms=self._job.settings.max_blocking_ms))

    def _try_again(self, failure: BatchFailed | psycopg.Error | DatabaseUnavailable, attempt: int) -> None:
        """Waits before the next try, with a smaller batch where that helps. Raises where it does not."""
        if self._gate.ended:
            return
        wait_s = 0.0
        if isinstance(failure, BatchFailed) and (failure.sqlstate or "")[:2] in _BAD_DATA:
            if failure.rows == 1 and failure.sqlstate in _TAKEN and self._job.clears and not self._clearing:
                # by a row whose key others have written since, perhaps: it is to be made anew anyway
                self._clearing = True
            elif failure.rows == 1 and attempt > 1:
                raise failure
            # the row that is wrong is found by halves; what is right before it is committed on the way
            self._suspects = failure.rows
        else:
            if not _may_pass(failure) or attempt > self._job.settings.retries:
                raise failure
            if isinstance(failure, BatchFailed) and failure.sqlstate in _TOO_MUCH:
                self._pace.halve()
            wait_s = retry_wait_s(attempt)
        self._outbox.put(Retry(rows=self.batch_rows, attempt=attempt, wait_s=wait_s, reason=_reason(failure)))
        self._gate.sleep(wait_s)


def _may_pass(failure: BatchFailed | psycopg.Error | DatabaseUnavailable) -> bool:
    if isinstance(failure, DatabaseUnavailable):
        return True
    sqlstate = failure.sqlstate
    return sqlstate is None or sqlstate in _AGAIN or sqlstate.startswith("08")


def _reason(failure: BatchFailed | psycopg.Error | DatabaseUnavailable) -> str:
    if isinstance(failure, BatchFailed):
        return failure.failure.diagnostic.message
    if isinstance(failure, DatabaseUnavailable):
        return failure.diagnostics[0].message
    return plain_failure(failure, "the batch was lost").message


def as_step_failure(failure: BatchFailed | psycopg.Error, step: PlannedStep, key: BatchKey) -> StepFailed:
    """What ended a backfill, told with the row that is wrong where it was found."""
    if isinstance(failure, psycopg.Error):
        return StepFailed(plain_failure(failure, f"the backfill {step.name!r} failed"), failure.sqlstate)
    told = failure.failure.diagnostic
    if failure.rows == 1 and failure.piece is not None and failure.piece.upto is not None:
        names = ", ".join(column.name for column in key.columns)
        values = ", ".join((*failure.piece.prefix, failure.piece.upto))
        told = replace(told, detail=(*told.detail, f"the row: {key.table} ({names}) = ({values})"))
    return StepFailed(told, failure.sqlstate)


def _prepare(connection: Connection, step: PlannedStep, settings: DatabaseSettings) -> None:
    lock_timeout = settings.lock_timeout_ms if step.lock_timeout_ms is None else step.lock_timeout_ms
    connection.execute(
        f"SET lock_timeout = {lock_timeout}; SET statement_timeout = {step.timeout_ms or 0}; SET jit = off;"
        " SET idle_session_timeout = 0; SET confiture.filling = 'on'".encode()
    )
    prepare_session(connection)
    check_client(connection)


def prepare_session(connection: Connection) -> None:
    """Settings of every session that fills. Without row security a policy is an error: with it, the rows that it hides
    would silently be left out.
    """
    connection.execute(
        "SET row_security = off; SET extra_float_digits = 1; SET idle_in_transaction_session_timeout = 0;"
        " SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
    )
