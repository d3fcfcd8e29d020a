"""One run against one database, from the connection to the final event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from confiture.core.db.connection import ConnectionTarget, check_server, fetch_named_row
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.db.event_log import EventLog
from confiture.core.db.history_upgrade import upgrade_history
from confiture.core.db.identity_store import IdentityStore
from confiture.core.db.migration_lock import acquire_migration_lock
from confiture.core.db.other_histories import reject_other_history
from confiture.core.run.context import LockedPlan, RunContext, RunMode
from confiture.errors import (
    CheckFailed,
    ConfitureError,
    DatabaseUnavailable,
    Diagnostic,
    LockHeld,
    MigrationFailed,
    MigrationStopped,
)
from confiture.models.events import Emit, LintFinished, Notice, Outcome, RunFinished, RunStarted
from confiture.models.history import AppliedMigration
from confiture.models.identity import DatabaseIdentity
from confiture.models.plan import Direction, Plan, PlannedMigration
from confiture.models.settings import PinPolicy
from confiture.plan.history import changed_steps, compare_history, pin_command
from confiture.plan.identity import is_identity_recorded, require_dry_run_confirmation
from confiture.plan.migration_order import version_key
from confiture.plan.project import PlannedProject
from confiture.text import list_some, pluralize

if TYPE_CHECKING:
    from confiture.lint.plan import PlanLintResult

SelectPlans = Callable[[tuple[AppliedMigration, ...]], tuple[PlannedMigration, ...]]
"""A function that selects the migrations to run, given the history. It raises an error if that is impossible."""


@contextmanager
def open_run(project: PlannedProject, database: ConnectionTarget, mode: RunMode, emit: Emit) -> Iterator[Run]:
    """Open a run on its own connection. Emit RunFinished on exit, even if the run fails."""
    connection = database.connect(mode.purpose)
    log = EventLog(project.settings, mode.request)
    run = Run(RunContext(project=project, target=database, connection=connection, mode=mode, emit=emit, log=log))
    try:
        with _db_errors_translated():
            check_server(connection, database.label)
            yield run
        run.finish(Outcome.DONE)
    except ConfitureError as error:
        run.finish(_classify_outcome(error), error.diagnostics)
        raise
    finally:
        log.close()
        connection.close()


class Run:
    """One run. It selects the plan while holding the lock, and executes it."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._mode = context.mode
        self._emit = context.emit
        self._store = context.store
        self._started_at = time.perf_counter()
        self._has_started = False
        self._history: tuple[AppliedMigration, ...] = ()

    def execute(self, select: SelectPlans, lock_wait_ms: int) -> None:
        """Run or dry-run the migrations chosen by `select`, holding the migration lock.

        If there are none, only record the identity of the database, if it is missing. Raise an error that reports what
        failed and what is committed.
        """
        identities = self._check_access()
        history = self._read_history()
        if not select(history) and self._mode.guard is None:
            self._record_missing_identity(identities, history)
            return
        if not self._mode.dry_run:
            self._context.log.start()
        target, connection, purpose = self._context.target, self._context.connection, self._mode.purpose
        with acquire_migration_lock(target, self._store.key, purpose, lock_wait_ms, self._emit, connection) as lock:
            if not self._mode.dry_run:
                upgrade_history(target, connection, self._store, purpose, lock_wait_ms, self._emit)
            # Another run may have finished while this one waited for the lock.
            self._check_access()
            history = self._read_history()
            plan = Plan(direction=self._mode.direction, migrations=select(history))
            if self._mode.guard is not None:
                self._mode.guard.check_plan(connection, history, plan.migrations)
            self._emit_started(plan)
            if not plan.migrations:
                return
            if plan.direction is Direction.DOWN:
                self._report_changed_files(plan, history)
            else:
                self._report_unpinned(plan)
            self._run(LockedPlan(plan=plan, history=history, lock=lock, lint_result=self._lint(plan)))

    def _check_access(self) -> tuple[DatabaseIdentity, ...]:
        """Return the identities of the database. Raise InputError if the settings must not be used for it.

        Also raise InputError if the run must be confirmed or needs a reason.
        """
        store, settings = IdentityStore(self._context.connection), self._context.settings
        if not self._mode.dry_run:
            return store.check_write(settings, self._mode.request)
        identities = store.check(settings)
        require_dry_run_confirmation(settings, identities, confirmed=self._mode.rehearsal.confirmed)
        return identities

    def _record_missing_identity(
        self, identities: Sequence[DatabaseIdentity], history: Sequence[AppliedMigration]
    ) -> None:
        """Record the identity of a database that is up to date. A failure does not fail the run."""
        settings = self._context.settings
        is_up = self._mode.direction is Direction.UP and not self._mode.dry_run
        if not (is_up and history) or is_identity_recorded(settings, identities):
            return
        target, connection, purpose = self._context.target, self._context.connection, self._mode.purpose
        try:
            with acquire_migration_lock(target, self._store.key, purpose, 0, self._emit, connection):
                upgrade_history(target, connection, self._store, purpose, 0, self._emit)
                IdentityStore(connection).record(settings)
        except LockHeld:
            return  # the next run does it
        except (DatabaseUnavailable, psycopg.Error) as error:
            self._emit_started(Plan(direction=Direction.UP, migrations=()))
            note = f"the identity of the database could not be recorded: {str(error).splitlines()[0]}"
            self._emit(Notice(text=note))

    def _run(self, locked_plan: LockedPlan) -> None:
        """Run or dry-run the plan over one monitored session.

        Raise an error that reports what failed and what is committed.
        """
        # Import lazily, because a run with nothing to do needs little of the engine.
        from confiture.core.db.blocking_monitor import BlockingMonitor
        from confiture.core.run.connection_limits import check_connection_limits
        from confiture.core.run.session import Session

        context = self._context
        pid = fetch_named_row(context.connection, "server")["backend_pid"]
        max_blocking_ms = context.settings.database.max_blocking_ms
        with self._deadlocks_reported(), BlockingMonitor(context.target, pid, max_blocking_ms) as monitor:
            session = Session(context, monitor)
            check_connection_limits(context.connection, locked_plan.plan)
            # Import only one of the two, because a dry run needs only half of the engine.
            if self._mode.dry_run:
                from confiture.core.dry_run.dry_runner import DryRunner

                DryRunner(context, session).run(locked_plan)
            else:
                from confiture.core.run.applier import Applier

                Applier(context, session).run(locked_plan)

    @contextmanager
    def _deadlocks_reported(self) -> Iterator[None]:
        """Report the deadlocks in this database that PostgreSQL counted inside the context."""
        before = self._count_deadlocks()
        try:
            yield
        finally:
            after = self._count_deadlocks()
            if before is not None and after is not None and after > before:
                deadlocks = pluralize(after - before, "deadlock")
                note = f"PostgreSQL resolved at least {deadlocks} in this database during the run by aborting one"
                self._emit(Notice(text=f"{note} transaction each time, in another session or this run, which retries"))

    def _count_deadlocks(self) -> int | None:
        """Return the number of deadlocks counted in this database; None if the number cannot be read."""
        try:
            return int(fetch_named_row(self._context.connection, "deadlocks")["deadlocks"])
        except psycopg.Error:
            return None

    def _lint(self, plan: Plan) -> PlanLintResult | None:
        """Lint the plan; return None for a plan that migrates down. Raise HazardsFound if findings block the run."""
        if plan.direction is Direction.DOWN:
            return None
        from confiture.core.database_facts import read_facts
        from confiture.lint.plan import lint_plan, raise_on_hazards

        settings = self._context.settings
        lint_result = lint_plan(plan.migrations, settings, read_facts(self._context.connection))
        if not self._mode.dry_run:
            raise_on_hazards(lint_result.report.findings, settings.linting.block_migrations)
            self._emit(LintFinished(findings=lint_result.report.findings))
        return lint_result

    def _report_changed_files(self, plan: Plan, history: Sequence[AppliedMigration]) -> None:
        """Report applied migrations whose files have changed, because their `down` may not undo what was applied."""
        rows = {version_key(row.version): row for row in history}
        for migration in plan.migrations:
            changes = changed_steps(migration, rows[version_key(migration.version)])
            if changes:
                label = migration.migration.label
                note = f"{label} changed after it was applied ({'; '.join(changes)}): check that `down` still fits"
                self._emit(Notice(text=note))

    def _report_unpinned(self, plan: Plan) -> None:
        """Report the migrations that are not pinned. For a dry run, this matters only if the real run refuses them."""
        unpinned = [migration.migration for migration in plan.migrations if not migration.migration.is_pinned]
        is_refused = self._context.settings.pins is PinPolicy.REQUIRED
        if unpinned and (is_refused or not self._mode.dry_run):
            verb = "is" if len(unpinned) == 1 else "are"
            command = pin_command([migration.version for migration in unpinned], self._context.settings)
            labels = [migration.label for migration in unpinned]
            self._emit(Notice(text=f"{list_some(labels)} {verb} not pinned: run `{command}` before the files change"))

    def _report_unreplayable(self) -> None:
        """Report the applied migrations whose schema files have changed."""
        project = self._context.project
        migrations = compare_history(project.ups, self._history, project.settings).unreplayable
        if migrations:
            labels = [f"{migration.version} {migration.name}" for migration in migrations]
            command = pin_command([migration.version for migration in migrations], project.settings)
            note = f"{list_some(labels)} can no longer be replayed, because files have changed since"
            self._emit(Notice(text=f"{note}: run `{command}` to restore the text that ran"))

    def _read_history(self) -> tuple[AppliedMigration, ...]:
        """Return the history rows. Raise InputError if the database contains only another project's history."""
        if not self._store.is_installed():
            return ()
        self._history = self._store.read_history()
        if not self._history:
            reject_other_history(self._context.project, self._store)
        return self._history

    def finish(self, outcome: Outcome, diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        """Report the end of the run."""
        if not self._has_started:
            self._emit_started(Plan(direction=self._mode.direction, migrations=()))
        duration_ms = (time.perf_counter() - self._started_at) * 1000
        self._emit(RunFinished(outcome=outcome, duration_ms=duration_ms, diagnostics=diagnostics))

    def _emit_started(self, plan: Plan) -> None:
        self._has_started = True
        self._emit(
            RunStarted(
                direction=plan.direction,
                dry_run=self._mode.dry_run,
                environment=self._context.settings.environment,
                database=self._context.target.label,
                migrations=tuple(migration.migration.label for migration in plan.migrations),
                steps=sum(len(migration.steps) for migration in plan.migrations) * self._mode.rehearsal.repeat,
            )
        )
        for note in self._context.project.unread_files:
            self._emit(Notice(text=note))
        if plan.direction is Direction.UP:
            self._report_unreplayable()


@contextmanager
def _db_errors_translated() -> Iterator[None]:
    """Translate driver errors in internal queries. The database may reject a query, or the connection may be lost."""
    try:
        yield
    except psycopg.Error as error:
        raise DatabaseUnavailable(db_error_diagnostic(error, "the database cannot be used")) from error


def _classify_outcome(error: ConfitureError) -> Outcome:
    """Return the outcome to report for a run that raised the error."""
    if isinstance(error, MigrationStopped):
        return Outcome.STOPPED
    return Outcome.ROLLED_BACK if isinstance(error, CheckFailed | MigrationFailed) else Outcome.FAILED
