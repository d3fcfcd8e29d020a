"""Carries out a plan, segment by segment; or rehearses it in one transaction that is rolled back."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TypeVar

import psycopg

from confiture.core.concurrently import already_done, drop_invalid
from confiture.core.database import Connection
from confiture.core.events import Emit
from confiture.core.failures import RETRYABLE
from confiture.core.lock import ProjectLock
from confiture.core.queries import query
from confiture.core.state import StateStore
from confiture.core.steps import StepFailed, StepRecord, StepRunner
from confiture.errors import Drift, MigrationFailed
from confiture.models.events import MigrationFinished, MigrationStarted, Noted, Outcome, SegmentRetried
from confiture.models.history import AppliedMigration, JournalEntry, Origin, SegmentState
from confiture.models.plan import Direction, Isolation, Plan, PlannedMigration, Segment
from confiture.models.settings import DatabaseSettings
from confiture.plan.building import transactional_form
from confiture.plan.checksums import chain

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
_CLIENT_CHECK_MS = 1_000
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """A migration that an earlier run left midway: its attempt, and what that committed."""

    attempt: str
    journal: Mapping[int, JournalEntry]


@dataclass(slots=True)
class Progress:
    """How far a migration came in this run: its attempt, and the segments that are committed."""

    plan: PlannedMigration
    attempt: str
    committed: int = 0

    @property
    def unfinished(self) -> bool:
        """Whether a part of the migration is committed, and a part is not."""
        return 0 < self.committed < len(self.plan.segments)


class Runner:
    """Runs plans over one connection, under the project's lock. `chain_end` is the chain of the last applied row."""

    def __init__(
        self, connection: Connection, settings: DatabaseSettings, lock: ProjectLock, emit: Emit, chain_end: str
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._lock = lock
        self._emit = emit
        self._chain_end = chain_end
        self._state = StateStore(connection)
        self._installed = self._state.installed()
        self._client_check_ms = _supported_client_check_ms(connection)
        self._steps = StepRunner(connection, emit, settings.lock_timeout_ms)
        self.progress: Progress | None = None
        """The migration that runs, or failed; None between migrations."""

    def apply(self, plan: Plan, unfinished: Unfinished | None) -> None:
        """Commits the plan, segment by segment. `unfinished` is what is known of its first migration.

        Raises StepFailed, psycopg.Error, Drift or DatabaseUnavailable; `progress` then tells what is committed.
        """
        for migration in plan.migrations:
            self._migrate(migration, unfinished)
            unfinished = None

    def rehearse(self, plan: Plan) -> None:
        """Runs the whole plan in one transaction and rolls it back. Raises StepFailed or psycopg.Error."""
        rehearsal = transactional_form(plan)
        self._retrying(plan.migrations[0].version, 1, lambda: self._rehearse_once(rehearsal))

    def on_error(self, plan: PlannedMigration) -> None:
        """Runs a failed migration's on_error steps, each segment by itself. Raises StepFailed or psycopg.Error."""
        for segment in plan.on_error:
            self._reset_session()
            if segment.isolation is Isolation.OUTSIDE:
                self._run_steps(plan, segment)
                continue
            with self._connection.transaction():
                self._run_steps(plan, segment)

    def _migrate(self, plan: PlannedMigration, unfinished: Unfinished | None) -> None:
        journal = unfinished.journal if unfinished else {}
        progress = Progress(plan, unfinished.attempt if unfinished else str(uuid.uuid4()))
        self.progress = progress
        done = [entry.segment for entry in journal.values() if entry.state is SegmentState.DONE]
        progress.committed = len(done)
        started = time.perf_counter()
        self._emit(MigrationStarted(version=plan.version, name=plan.migration.name, resumed_after=progress.committed))
        for segment in plan.segments:
            entry = journal.get(segment.number)
            _refuse_changed(plan, segment, entry)
            if segment.number in done:
                continue
            self._lock.require()
            self._commit(progress, segment, intended=entry is not None)
            progress.committed += 1
        self.progress = None
        duration_ms = (time.perf_counter() - started) * 1000
        self._emit(MigrationFinished(version=plan.version, outcome=Outcome.DONE, duration_ms=duration_ms))

    def _commit(self, progress: Progress, segment: Segment, *, intended: bool) -> None:
        if segment.isolation is Isolation.OUTSIDE:
            self._commit_outside(progress, segment, intended=intended)
        else:
            self._retrying(progress.plan.version, segment.number, lambda: self._commit_together(progress, segment))

    def _commit_together(self, progress: Progress, segment: Segment) -> None:
        self._reset_session()
        started = time.perf_counter()
        with self._connection.transaction():
            records = self._run_steps(progress.plan, segment)
            self._install()
            self._enter(progress, segment)
            self._record(progress, segment, records, (time.perf_counter() - started) * 1000)
        self._installed = True
        self._advance_chain(progress, segment)

    def _commit_outside(self, progress: Progress, segment: Segment, *, intended: bool) -> None:
        """An intent first, then the statement, then the record: a run killed in between finds out what happened."""
        self._reset_session()
        plan = progress.plan
        if not intended:
            with self._connection.transaction():
                self._install()
                self._enter(progress, segment)
                self._state.record(plan, segment, progress.attempt, SegmentState.INTENT)
            self._installed = True
        started = time.perf_counter()
        try:
            records = self._retrying(
                plan.version, segment.number, lambda: self._run_outside(plan, segment, intended=intended)
            )
        except BaseException:
            self._leave_nothing(progress, segment)
            raise
        with self._connection.transaction():
            self._record(progress, segment, records, (time.perf_counter() - started) * 1000)
        self._advance_chain(progress, segment)

    def _run_outside(self, plan: PlannedMigration, segment: Segment, *, intended: bool) -> list[StepRecord]:
        (statement,) = segment.steps[0].statements
        if already_done(self._connection, statement, intended=intended, emit=self._emit):
            self._emit(Noted(text=f"an earlier run had already done: {_first_line(statement.text)}"))
            return []
        return self._run_steps(plan, segment)

    def _leave_nothing(self, progress: Progress, segment: Segment) -> None:
        """Clears up after a failed statement outside a transaction; where that fails too, the next run does it."""
        (statement,) = segment.steps[0].statements
        with suppress(psycopg.Error, MigrationFailed):
            drop_invalid(self._connection, statement, self._emit)
            with self._connection.transaction():
                self._state.withdraw(progress.plan, segment, progress.attempt)

    def _rehearse_once(self, plan: Plan) -> None:
        self._reset_session()
        with self._connection.transaction(force_rollback=True):
            for migration in plan.migrations:
                self.progress = Progress(migration, str(uuid.uuid4()))
                started = time.perf_counter()
                self._emit(MigrationStarted(version=migration.version, name=migration.migration.name))
                for segment in migration.segments:
                    self._run_steps(migration, segment)
                self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                duration_ms = (time.perf_counter() - started) * 1000
                self._emit(MigrationFinished(version=migration.version, outcome=Outcome.DONE, duration_ms=duration_ms))
        self.progress = None

    def _run_steps(self, plan: PlannedMigration, segment: Segment) -> list[StepRecord]:
        records = [self._steps.run(plan.version, segment, step) for step in segment.steps]
        if any(statement.sets_role for step in segment.steps for statement in step.statements):
            # the history is ours to write, whatever role the migration took on
            self._connection.execute("RESET SESSION AUTHORIZATION; RESET ROLE")
        return [record for record in records if record is not None]

    def _retrying(self, version: str, segment: int, work: Callable[[], T]) -> T:
        """Does the work, and again after a wait where it failed for want of a lock."""
        attempt = 0
        while True:
            try:
                return work()
            except (StepFailed, psycopg.Error) as failure:
                if failure.sqlstate not in RETRYABLE or attempt >= self._settings.retries:
                    raise
                attempt += 1
                wait_s = _jittered(attempt)
                self._emit(
                    SegmentRetried(
                        version=version,
                        segment=segment,
                        attempt=attempt,
                        attempts=self._settings.retries,
                        wait_ms=wait_s * 1000,
                        reason=failure.diagnostic.message if isinstance(failure, StepFailed) else str(failure),
                    )
                )
                time.sleep(wait_s)

    def _reset_session(self) -> None:
        text = query("reset_session").decode()
        settings = {"lock_timeout": self._settings.lock_timeout_ms, "client_check_ms": self._client_check_ms}
        self._connection.execute(text.format(**settings).encode())

    def _install(self) -> None:
        if not self._installed:
            self._state.install()

    def _enter(self, progress: Progress, segment: Segment) -> None:
        """Makes the history know of a migration that takes several segments, or takes one outside a transaction."""
        plan = progress.plan
        alone = len(plan.segments) == 1 and segment.isolation is Isolation.TRANSACTIONAL
        if segment.number != 1 or alone:
            return
        if plan.direction is Direction.UP:
            self._state.begin(plan, progress.attempt)
        else:
            self._state.begin_reverting(plan.version, progress.attempt)

    def _record(self, progress: Progress, segment: Segment, records: Sequence[StepRecord], duration_ms: float) -> None:
        plan = progress.plan
        steps = [asdict(record) for record in records]
        self._state.record(plan, segment, progress.attempt, SegmentState.DONE, steps, duration_ms)
        if segment is not plan.segments[-1]:
            return
        if plan.direction is Direction.DOWN:
            self._state.delete(plan.version)
        elif len(plan.segments) == 1 and segment.isolation is Isolation.TRANSACTIONAL:
            self._state.insert_applied(plan, progress.attempt, self._link(plan), Origin.RUN, duration_ms)
        else:
            self._state.finish(plan, progress.attempt, self._link(plan))

    def _link(self, plan: PlannedMigration) -> str:
        return chain(self._chain_end, plan.version, plan.checksum)

    def _advance_chain(self, progress: Progress, segment: Segment) -> None:
        if segment is progress.plan.segments[-1] and progress.plan.direction is Direction.UP:
            self._chain_end = self._link(progress.plan)


def chain_end(history: Sequence[AppliedMigration], start: str) -> str:
    """The chain's value after all applied rows of a history."""
    applied = [row.chain for row in history if row.applied_at is not None]
    return applied[-1] if applied else start


def _refuse_changed(plan: PlannedMigration, segment: Segment, entry: JournalEntry | None) -> None:
    if entry is None or entry.fingerprint == segment.fingerprint:
        return
    step = segment.steps[0]
    raise Drift(
        plan.migration.file.diagnostic(
            step.span,
            "drift",
            f"{plan.migration.label} stopped midway, and what it had committed by then was changed since",
            detail=(f"segment {segment.number} of {len(plan.segments)}, from {step.label!r} on, is committed",),
            hint="put that part back as it was; change only what comes after it",
        )
    )


def _supported_client_check_ms(connection: Connection) -> int:
    """How often the server looks whether we are still there while a statement runs; not every platform can."""
    try:
        connection.execute(f"SET client_connection_check_interval = {_CLIENT_CHECK_MS}".encode())
    except psycopg.errors.InvalidParameterValue:
        return 0
    return _CLIENT_CHECK_MS


def _jittered(attempt: int) -> float:
    longest = min(_FIRST_WAIT_S * 2 ** (attempt - 1), _LONGEST_WAIT_S)
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads retries, protects nothing


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]
