"""What the runner knows of backfills: a step goes in, its record comes out. Opens a backfill, begun or resumed."""

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
    """Runs the batched backfills of a run, on one database: those of steps, and those that hooks ask for."""

    def __init__(
        self,
        database: ConnectionTarget,
        settings: Settings,
        emit: Emit,
        hook_runner: HookRunner,
        require_lock: Callable[[], None],
    ) -> None:
        self._hook_runner = hook_runner
        self._require_lock = require_lock
        self._database = database
        self._settings = settings
        self._emit = emit

    def run(self, connection: Connection, version: str, segment: Segment, attempt: str) -> StepRecord:
        """Fills until nothing is left, beginning where the attempt stopped. `connection` is in autocommit.

        Raises StepFailed, psycopg.Error or KeyboardInterrupt; what is committed by then stays.
        """
        (step,) = segment.steps
        identity = build_step_id(version, segment, step)
        self._emit(StepStarted(step=identity))
        started = time.perf_counter()
        try:
            backfill_id = self._build_id(attempt, segment.number)
            did = self._run_step(connection, identity, step, backfill_id, segment.settings)
        except BaseException:
            self._emit(StepFinished(step=identity, outcome=Outcome.FAILED, duration_ms=_elapsed_ms(started)))
            raise
        spent_ms = _elapsed_ms(started)
        self._emit(did.to_event(identity, spent_ms))
        return StepRecord(phase=step.phase.value, name=step.label, rows=did.rows, duration_ms=spent_ms)

    def is_started(self, connection: Connection, segment: Segment, attempt: str) -> bool:
        """Whether the attempt has begun with it."""
        return BackfillStore(connection, self._build_id(attempt, segment.number)).load() is not None

    def _run_step(
        self,
        connection: Connection,
        identity: StepId,
        step: PlannedStep,
        backfill_id: BackfillId,
        settings: tuple[str, ...],
    ) -> StepOutcome:
        if step.hook is None:
            return self._run_backfill(connection, identity, step, backfill_id, settings)
        notes: list[str] = []
        asked: list[PlannedStep] = []

        def fill_for_hook(planned: PlannedStep) -> int:
            asked.append(planned)
            did = self._run_backfill(connection, identity, planned, backfill_id, settings)
            notes.extend([did.note] if did.note else [])
            return did.rows or 0

        result = self._hook_runner.run_batched(connection, identity, step, fill_for_hook)
        if not asked and BackfillStore(connection, backfill_id).load() is not None:
            message = f"the hook {step.label!r} did not ask for the backfill that an earlier run of it began"
            hint = "let it ask whenever it runs; or undo what it filled, `confiture backfill cancel`, and start over"
            told = step.rendered.source.file.diagnostic(step.span, "drift", message, hint=hint)
            raise StepFailed(told, None)
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
        """Opens the backfill of a step: the stored one, or a new one. Raises StepFailed."""
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
                "the backfill stopped midway, and its statement or key was changed since",
                "put it and its variables back as they were; or undo what it filled, `confiture backfill"
                " cancel`, and start over",
            )
        into = resolve_table(connection, step, backfill.into)
        number = (
            stored.number
            if stored
            else store.insert(
                version=identity.version,
                step=step.label,
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
        """Takes away the triggers and the progress of what a migration left midway: it is to be undone."""
        # other sessions queue behind one that waits to drop a trigger
        set_lock_timeout(connection, QUEUE_LOCK_TIMEOUT_MS)
        for row in connection.execute(
            query("unfinished_of_version"), self._settings.history.parameters | {"version": version}
        ).fetchall():
            remove_capture(connection, row["number"])
            BackfillStore(connection, self._build_id(row["attempt"], row["segment"])).delete()

    def _build_id(self, attempt: str, segment: int) -> BackfillId:
        return BackfillId(history=self._settings.history, attempt=attempt, segment=segment)


def _fingerprint(step: PlannedStep, backfill: PlannedBackfill, source: BackfillSource) -> str:
    """Of what must not change while a backfill is midway."""
    captures = sorted((str(capture.table), capture.columns) for capture in backfill.captures)
    return digest(
        step.statements[0].text, [column.name for column in source.key.columns], backfill.on_writes.value, captures
    )


def _elapsed_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
