"""The entry point for backfills in a run: open a new or interrupted backfill, run it, and return its record."""

from __future__ import annotations

import time
from collections.abc import Callable

from confiture.core.backfill.backfill_run import BackfillRun
from confiture.core.backfill.backfill_source import BackfillSource, backfill_error, find_source
from confiture.core.backfill.backfill_store import BackfillId, BackfillStore
from confiture.core.backfill.capture import remove_capture
from confiture.core.backfill.context import BackfillContext
from confiture.core.backfill.heartbeat import Heartbeat
from confiture.core.backfill.source_tables import resolve_table
from confiture.core.backfill.worker import prepare_session
from confiture.core.db.charset import storable_name
from confiture.core.db.connection import QUEUE_LOCK_TIMEOUT_MS, Connection, ConnectionTarget, set_lock_timeout
from confiture.core.db.errors import StepFailed
from confiture.core.db.queries import query
from confiture.core.hooks.hook_runner import HookRunner
from confiture.models.events import Emit, Outcome, StepFinished, StepStarted
from confiture.models.plan import PlannedBackfill, PlannedStep, Segment, StepId
from confiture.models.settings import Settings
from confiture.models.steps import StepOutcome, StepRecord, build_step_id
from confiture.plan.checksums import digest


class BackfillRunner:
    """Runs batched backfills on one database, both those defined as steps and those requested by hooks.

    `begin` begins a segment in a fresh session: the sessions of the workers do not have what a hook sets.
    """

    def __init__(
        self,
        database: ConnectionTarget,
        settings: Settings,
        emit: Emit,
        hook_runner: HookRunner,
        require_lock: Callable[[], None],
        begin: Callable[[Segment], None],
    ) -> None:
        self._begin = begin
        self._hook_runner = hook_runner
        self._require_lock = require_lock
        self._database = database
        self._settings = settings
        self._emit = emit

    def run(self, connection: Connection, version: str, segment: Segment, attempt: str) -> StepRecord:
        """Run batches until no rows are left, starting where the attempt stopped. `connection` is in autocommit mode.

        Raise StepFailed, psycopg.Error or KeyboardInterrupt; committed batches are kept.
        """
        (step,) = segment.steps
        identity = build_step_id(version, segment, step)
        self._emit(StepStarted(step=identity))
        started = time.perf_counter()
        try:
            backfill_id = self._build_id(attempt, segment.number)
            outcome = self._run_step(connection, identity, segment, backfill_id)
        except BaseException:
            self._emit(StepFinished(step=identity, outcome=Outcome.FAILED, duration_ms=_elapsed_ms(started)))
            raise
        spent_ms = _elapsed_ms(started)
        self._emit(outcome.to_event(identity, spent_ms))
        return StepRecord(phase=step.phase.value, name=step.label, rows=outcome.rows, duration_ms=spent_ms)

    def is_started(self, connection: Connection, segment: Segment, attempt: str) -> bool:
        """Whether the attempt has started the backfill."""
        return BackfillStore(connection, self._build_id(attempt, segment.number)).load() is not None

    def _run_step(
        self,
        connection: Connection,
        identity: StepId,
        segment: Segment,
        backfill_id: BackfillId,
    ) -> StepOutcome:
        (step,), settings = segment.steps, segment.settings
        if step.hook is None:
            return self._run_backfill(connection, identity, step, backfill_id, settings)
        notes: list[str] = []
        requests: list[PlannedStep] = []

        def fill_for_hook(planned: PlannedStep) -> int:
            requests.append(planned)
            self._begin(segment)
            outcome = self._run_backfill(connection, identity, planned, backfill_id, settings)
            notes.extend([outcome.note] if outcome.note else [])
            return outcome.rows or 0

        result = self._hook_runner.run_batched(connection, identity, step, fill_for_hook)
        if not requests and BackfillStore(connection, backfill_id).load() is not None:
            message = f"the hook {step.label!r} did not request the backfill that it started in an earlier run"
            hint = (
                "request the backfill on every run; or delete the filled rows,"
                " run `confiture backfill cancel`, and start over"
            )
            diagnostic = step.rendered.source.file.diagnostic(step.span, "drift", message, hint=hint)
            raise StepFailed(diagnostic, None)
        return StepOutcome(rows=result.rows_affected, note="; ".join(notes) or None, stats=result.stats)

    def _run_backfill(
        self,
        connection: Connection,
        identity: StepId,
        step: PlannedStep,
        backfill_id: BackfillId,
        settings: tuple[str, ...],
    ) -> StepOutcome:
        backfill_run = BackfillRun(self._open(connection, identity, step, backfill_id, settings))
        return StepOutcome(rows=backfill_run.run(), note=backfill_run.note)

    def _open(
        self,
        connection: Connection,
        identity: StepId,
        step: PlannedStep,
        backfill_id: BackfillId,
        settings: tuple[str, ...],
    ) -> BackfillContext:
        """Open the stored backfill of a step, or create a new one. Raise StepFailed."""
        backfill = step.backfill
        if backfill is None:
            raise ValueError(step.name)
        prepare_session(connection, settings)
        source = find_source(connection, step, backfill)
        fingerprint = _fingerprint(step, backfill, source)
        store = BackfillStore(connection, backfill_id)
        stored = store.load()
        if stored is not None and stored.fingerprint != fingerprint:
            raise backfill_error(
                step,
                "drift",
                "the backfill was interrupted, and its statement or key has changed since then",
                "restore the statement and its variables; or delete the filled rows, run `confiture backfill"
                " cancel`, and start over",
            )
        into = resolve_table(connection, step, backfill.into)
        number = (
            stored.number
            if stored
            else store.insert(
                version=identity.version,
                step=storable_name(connection, step.label),
                into_table=str(backfill.into),
                source=str(source.key.table),
                key=[column.name for column in source.key.columns],
                fingerprint=fingerprint,
                estimated_rows=source.estimated_rows,
            )
        )
        return BackfillContext(
            connection=connection,
            database=self._database,
            settings=self._settings.database,
            emit=self._emit,
            heartbeat=Heartbeat(store, self._require_lock),
            identity=identity,
            step=step,
            backfill=backfill,
            key=source.key,
            into=into,
            store=store,
            number=number,
            state=stored.state if stored else "preparing",
            estimated_rows=source.estimated_rows,
            session_settings=settings,
        )

    def abandon(self, connection: Connection, version: str) -> None:
        """Remove the triggers and progress of a migration's unfinished backfills before the migration is reverted."""
        # Other sessions queue behind a session waiting to drop a trigger.
        set_lock_timeout(connection, QUEUE_LOCK_TIMEOUT_MS)
        for row in connection.execute(
            query("unfinished_of_version"), self._settings.history.parameters | {"version": version}
        ).fetchall():
            remove_capture(connection, row["number"])
            BackfillStore(connection, self._build_id(row["attempt"], row["segment"])).delete()

    def _build_id(self, attempt: str, segment: int) -> BackfillId:
        return BackfillId(history=self._settings.history, attempt=attempt, segment=segment)


def _fingerprint(step: PlannedStep, backfill: PlannedBackfill, source: BackfillSource) -> str:
    """Return a hash of everything that must not change while a backfill is incomplete."""
    captures = sorted((str(capture.table), capture.columns) for capture in backfill.captures)
    return digest(
        step.statements[0].text, [column.name for column in source.key.columns], backfill.on_writes.value, captures
    )


def _elapsed_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
