"""One run against one database: from the first connection to the last word on how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from confiture.core.database import Connection, Database, one_row, require_usable
from confiture.core.events import Emit
from confiture.core.failures import plain_failure
from confiture.core.lock import ProjectLock, project_lock
from confiture.core.other_projects import refuse_other_history
from confiture.core.run.context import Manner
from confiture.core.state import StateStore
from confiture.core.upgrade import upgrade_history
from confiture.errors import (
    CheckFailed,
    ConfitureError,
    DatabaseUnavailable,
    Diagnostic,
    MigrationFailed,
    MigrationStopped,
)
from confiture.models.events import Linted, Outcome, RunFinished, RunStarted
from confiture.models.history import AppliedMigration
from confiture.models.plan import Direction, Plan, PlannedMigration
from confiture.plan.project import PlannedProject

if TYPE_CHECKING:
    from confiture.lint.plan import PlanJudgement

Select = Callable[[tuple[AppliedMigration, ...]], tuple[PlannedMigration, ...]]
"""Chooses from the history what is to run; raises where it cannot."""


@contextmanager
def opened(project: PlannedProject, database: Database, manner: Manner, emit: Emit) -> Iterator[Run]:
    """A run on a connection of its own. Emits RunFinished at its end, also where it fails."""
    connection = database.connect(manner.purpose)
    run = Run(project, database, connection, manner, emit)
    try:
        with _unexpected():
            require_usable(connection, database.label)
            yield run
        run.finish(Outcome.DONE)
    except ConfitureError as error:
        run.finish(_outcome(error), error.diagnostics)
        raise
    finally:
        connection.close()


class Run:
    """One run: what is to be done is decided here, under the lock."""

    def __init__(
        self, project: PlannedProject, database: Database, connection: Connection, manner: Manner, emit: Emit
    ) -> None:
        self._project = project
        self._database = database
        self._connection = connection
        self._manner = manner
        self._emit = emit
        self._state = StateStore(connection, project.settings.history)
        self._started_at = time.perf_counter()
        self._started = False

    def carry_out(self, select: Select, lock_wait_ms: int) -> None:
        """Runs or rehearses what `select` chooses, under the project's lock; takes none where that is nothing.

        Raises the error that tells what failed and what is committed.
        """
        if not select(self._history()):
            return
        key, purpose = self._state.key, self._manner.purpose
        with project_lock(self._database, key, purpose, lock_wait_ms, self._emit, self._connection) as lock:
            if not self._manner.dry_run:
                upgrade_history(self._database, self._connection, self._state, purpose, lock_wait_ms, self._emit)
            # another run may have ended while we waited
            history = self._history()
            plan = Plan(direction=self._manner.direction, migrations=select(history))
            self._start(plan)
            if not plan.migrations:
                return
            self._run(plan, history, lock)

    def _run(self, plan: Plan, history: tuple[AppliedMigration, ...], lock: ProjectLock) -> None:
        """Lints the plan, then runs or rehearses it over one watched session.

        Raises the error that tells what failed and what is committed.
        """
        # most of the engine, which a run that finds nothing to do does not need
        from confiture.core.hooks.running import HookRuns
        from confiture.core.session import Session
        from confiture.core.watcher import BlockingWatch

        judgement = self._lint(plan)
        settings = self._project.settings.database
        pid = one_row(self._connection, "server")["backend_pid"]
        with BlockingWatch(self._database, pid, settings.max_blocking_ms) as watch:
            hooks = HookRuns(self._emit, self._project.settings.root, self._manner.dry_run)
            session = Session(self._connection, settings, watch, self._emit, hooks, self._manner.retryable)
            # one of them only: what a dry run needs is half of the engine
            if self._manner.dry_run:
                from confiture.core.dry_run.running import DryRun

                DryRun(self._project, self._database, session, self._manner.rehearsal, self._emit).run(
                    plan, history, judgement
                )
            else:
                from confiture.core.applying import Applying

                Applying(self._project, self._database, session, lock, self._emit).run(plan, history)

    def _lint(self, plan: Plan) -> PlanJudgement | None:
        """What lint says of the plan, None of one that goes down. Raises HazardsFound where that refuses it."""
        if plan.direction is Direction.DOWN:
            return None
        from confiture.core.database_facts import read_facts
        from confiture.lint.plan import lint_plan, refuse_hazards

        judgement = lint_plan(plan.migrations, self._project.settings, read_facts(self._connection))
        if not self._manner.dry_run:
            refuse_hazards(judgement.report.findings, self._project.settings.linting.block_migrations)
            self._emit(Linted(findings=judgement.report.findings))
        return judgement

    def _history(self) -> tuple[AppliedMigration, ...]:
        """The rows of the history. Raises InputError where the database has only that of another project."""
        if not self._state.installed():
            return ()
        history = self._state.history()
        if not history:
            refuse_other_history(self._project, self._state)
        return history

    def finish(self, outcome: Outcome, diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        """Tells that the run ended."""
        if not self._started:
            self._start(Plan(direction=self._manner.direction, migrations=()))
        duration_ms = (time.perf_counter() - self._started_at) * 1000
        self._emit(RunFinished(outcome=outcome, duration_ms=duration_ms, diagnostics=diagnostics))

    def _start(self, plan: Plan) -> None:
        self._started = True
        self._emit(
            RunStarted(
                direction=plan.direction,
                dry_run=self._manner.dry_run,
                environment=self._project.settings.environment,
                database=self._database.label,
                migrations=tuple(migration.migration.label for migration in plan.migrations),
                steps=sum(len(migration.steps) for migration in plan.migrations) * self._manner.rehearsal.repeat,
            )
        )


@contextmanager
def _unexpected() -> Iterator[None]:
    """Tells what the database answers to our own questions: it may refuse them, or be gone."""
    try:
        yield
    except psycopg.Error as error:
        raise DatabaseUnavailable(plain_failure(error, "the database cannot be used")) from error


def _outcome(error: ConfitureError) -> Outcome:
    """How a run that raised this error is said to have ended."""
    if isinstance(error, MigrationStopped):
        return Outcome.STOPPED
    return Outcome.ROLLED_BACK if isinstance(error, CheckFailed | MigrationFailed) else Outcome.FAILED
