"""Poll server load signals and throttle the workers: first slow them down, then stop them.

A signal at half its limit slows workers down; a signal at its limit stops them. Workers continue once all signals have
stayed below half their limits for two polls. If workers continued just below a limit, they would be stopped again at
once. They restart slowly and speed up with each poll, because full speed would soon cause another stop.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from confiture.core.backfill.backfill_source import backfill_error
from confiture.core.backfill.context import BackfillContext
from confiture.core.backfill.worker_gate import WorkerGate
from confiture.core.db.connection import fetch_named_row
from confiture.models.events import Notice

_SLOW_AT = 0.5
_CALM_LOOKS = 2
_REST_STEP, _LONGEST_REST, _SHORTEST_REST = 0.5, 8.0, 0.4
_REST_LEFT = 0.7
"""The factor by which each poll below the limits reduces the delay."""
_QUERY_TIMEOUT_MS = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottleSignal:
    """A load signal as a fraction of its limit. `reason` describes the signal with its value and its limit."""

    share: float
    reason: str


class ThrottleController:
    """Throttles one backfill. The main thread polls it once a second."""

    def __init__(self, context: BackfillContext, gate: WorkerGate) -> None:
        self._context = context
        self._gate = gate
        self._wal_sample: tuple[float, int] | None = None
        self._delay_factor = 0.0
        self._reason = ""
        self._calm_polls = _CALM_LOOKS
        self._noted: set[str] = set()

    def poll(self) -> None:
        """Open, slow down or close the gate. Raise StepFailed if the user's own query fails."""
        worst = max(self._signals(), key=lambda signal: signal.share, default=None)
        if worst is not None and worst.share >= 1.0:
            self._calm_polls = 0
            self._delay_factor = _LONGEST_REST
            self._reason = worst.reason
            self._gate.close(worst.reason)
            return
        if worst is not None and worst.share >= _SLOW_AT:
            self._calm_polls = 0
            if self._gate.is_closed:
                return
            self._delay_factor = min(self._delay_factor + _REST_STEP, _LONGEST_REST)
            self._reason = worst.reason
            self._gate.slow_down(self._delay_factor, worst.reason)
            return
        self._calm_polls += 1
        if self._calm_polls < _CALM_LOOKS:
            return
        self._delay_factor *= _REST_LEFT
        if self._delay_factor < _SHORTEST_REST:
            self._delay_factor = 0.0
            self._gate.open()
        else:
            self._gate.slow_down(self._delay_factor, f"speeding up again after: {self._reason}")

    def _signals(self) -> Iterator[ThrottleSignal]:
        limits = self._context.backfill
        row = fetch_named_row(self._context.connection, "pressure")
        if limits.replica_lag_ms:
            yield from self._lag_signals(row["lag_ms"], row["unseen_replicas"], limits.replica_lag_ms)
        if limits.wal_bytes_per_s:
            yield from self._wal_signals(row["wal_bytes"], limits.wal_bytes_per_s)
        if limits.long_transaction_ms:
            yield from self._transaction_signals(row["oldest_ms"], row["unseen_sessions"], limits.long_transaction_ms)
        if limits.throttle_query:
            yield from self._query_signals(limits.throttle_query)

    def _lag_signals(self, lag_ms: float | None, unseen: int, limit_ms: int) -> Iterator[ThrottleSignal]:
        if unseen:
            self._note_once("replica lag is not visible: without pg_monitor, the backfill does not wait for replicas")
        if lag_ms is not None:
            reason = f"a replica lags {lag_ms / 1000:.1f} s (limit {limit_ms / 1000:g} s)"
            yield ThrottleSignal(share=lag_ms / limit_ms, reason=reason)

    def _transaction_signals(self, oldest_ms: float | None, unseen: int, limit_ms: int) -> Iterator[ThrottleSignal]:
        if unseen:
            self._note_once(
                "other roles' transactions are not visible: without pg_read_all_stats, the backfill does not wait for"
                " these"
            )
        if oldest_ms is not None:
            reason = f"a transaction has been open for {oldest_ms / 1000:.1f} s (limit {limit_ms / 1000:g} s)"
            yield ThrottleSignal(share=oldest_ms / limit_ms, reason=reason)

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._context.emit(Notice(text=text))

    def _wal_signals(self, wal_bytes: int, limit: int) -> Iterator[ThrottleSignal]:
        now = time.monotonic()
        if self._wal_sample is not None and now > self._wal_sample[0]:
            rate = (wal_bytes - self._wal_sample[1]) / (now - self._wal_sample[0])
            # The user asked for a rate at the limit. Workers slow down above the limit and stop at twice the limit.
            share = _SLOW_AT * rate / limit
            reason = f"the server writes {rate / 2**20:.1f} MB of WAL per second (limit {limit / 2**20:.1f})"
            yield ThrottleSignal(share=share, reason=reason)
        self._wal_sample = (now, wal_bytes)

    def _query_signals(self, query: str) -> Iterator[ThrottleSignal]:
        connection = self._context.connection
        try:
            with connection.transaction():
                connection.execute(
                    f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {_QUERY_TIMEOUT_MS}".encode()
                )
                row = connection.execute(query.encode()).fetchone()
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
            # An overloaded server also makes this query slow.
            reason = f"the throttle query takes longer than {_QUERY_TIMEOUT_MS / 1000:g} s"
            yield ThrottleSignal(share=1.0, reason=reason)
            return
        except psycopg.Error as error:
            message = f"the throttle query failed: {error.diag.message_primary or error}"
            raise backfill_error(self._context.step, "bad-throttle", message, "fix `throttle: query:`") from error
        if row is None or next(iter(row.values())) is not True:
            yield ThrottleSignal(share=1.0, reason="the throttle query requests a pause")
