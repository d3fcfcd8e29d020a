"""The commands on a database: up, down, dry run, status, baseline."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from confiture.core.database import Connection, Database, require_own_sessions, require_usable
from confiture.core.events import Emit
from confiture.core.failures import plain_failure
from confiture.core.lock import ProjectLock, project_lock
from confiture.core.outcome import explain_failure
from confiture.core.project import Project
from confiture.core.runner import Runner, Unfinished, chain_end
from confiture.core.state import StateStore
from confiture.core.steps import StepFailed
from confiture.errors import ConfitureError, Diagnostic, Drift, InputError
from confiture.models.events import Noted, Outcome, RunFinished, RunStarted
from confiture.models.history import AppliedMigration, Origin, State
from confiture.models.plan import Direction, Plan, PlannedMigration
from confiture.plan.checksums import CHAIN_START, chain
from confiture.plan.history import Standing, compare
from confiture.plan.ordering import find_version, version_key

DEFAULT_LOCK_WAIT_MS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class UpOptions:
    """How far to go up, and what is allowed. `lock_wait_ms` is how long to wait for another run to end."""

    to: str | None = None
    dry_run: bool = False
    out_of_order: bool = False
    lock_wait_ms: int = DEFAULT_LOCK_WAIT_MS


@dataclass(frozen=True, kw_only=True, slots=True)
class DownOptions:
    """How far to go down: to a version, which stays applied (`0` for none), or a number of `steps`."""

    to: str | None = None
    steps: int | None = None
    dry_run: bool = False
    lock_wait_ms: int = DEFAULT_LOCK_WAIT_MS


def up(project: Project, database: Database, options: UpOptions, emit: Emit) -> None:
    """Applies what is pending, or rehearses it.

    Raises what its exit codes say: InputError, DatabaseUnavailable, LockHeld, Drift, CheckFailed, MigrationFailed,
    MigrationStopped. Emits RunStarted to RunFinished in any case that reaches the database.
    """
    if options.to is not None:
        find_version(options.to, project.migrations)
    purpose = "dry run" if options.dry_run else "migrate up"
    with _run(project, database, purpose, options.dry_run, Direction.UP, emit) as run:
        wanted = run.pending(options)
        if not wanted:
            run.start(Plan(direction=Direction.UP, migrations=()))
            return
        with run.lock(purpose, options.lock_wait_ms) as lock:
            # another run may have ended while we waited
            wanted = run.pending(options)
            run.execute(Plan(direction=Direction.UP, migrations=wanted), lock)


def down(project: Project, database: Database, options: DownOptions, emit: Emit) -> None:
    """Undoes applied migrations, the last one first. Raises as `up` does."""
    purpose = "dry run" if options.dry_run else "migrate down"
    with _run(project, database, purpose, options.dry_run, Direction.DOWN, emit) as run:
        if not run.reverting(options):
            run.start(Plan(direction=Direction.DOWN, migrations=()))
            return
        with run.lock(purpose, options.lock_wait_ms) as lock:
            run.execute(Plan(direction=Direction.DOWN, migrations=run.reverting(options)), lock)


def standing(project: Project, database: Database) -> Standing:
    """Where the database stands; reads only. Raises DatabaseUnavailable."""
    connection = database.connect("status")
    try:
        require_usable_for_reading(connection)
        return compare(project.ups, _history(connection))
    finally:
        connection.close()


def require_usable_for_reading(connection: Connection) -> None:
    """Bounds what reading the state may wait."""
    connection.execute("SET lock_timeout = '5s'")


def baseline(project: Project, database: Database, version: str, lock_wait_ms: int) -> tuple[PlannedMigration, ...]:
    """Enters all migrations up to a version as applied, without running them: adopts an existing database.

    Gives those that were entered. Raises InputError where a later one is applied, DatabaseUnavailable, LockHeld.
    """
    last = find_version(version, project.migrations)
    connection = database.connect("baseline")
    try:
        require_usable(connection, database.label)
        with project_lock(database, "baseline", lock_wait_ms, lambda _: None) as lock:
            require_own_sessions(connection, lock.connection)
            with connection.transaction():
                state = StateStore(connection)
                if not state.installed():
                    state.install()
                history = state.history()
                known = {version_key(row.version) for row in history}
                missing = [plan for plan in project.ups[: last + 1] if version_key(plan.version) not in known]
                _refuse_baseline_below(project, history, missing)
                link = chain_end(history, CHAIN_START)
                for plan in missing:
                    link = chain(link, plan.version, plan.checksum)
                    state.insert_applied(plan, _new_attempt(), link, Origin.BASELINE, None)
        return tuple(missing)
    except psycopg.Error as error:
        raise InputError(plain_failure(error, "cannot write the history")) from error
    finally:
        connection.close()


def _refuse_baseline_below(
    project: Project, history: Sequence[AppliedMigration], missing: Sequence[PlannedMigration]
) -> None:
    order = [version_key(plan.version) for plan in project.ups]
    applied = [order.index(key) for row in history if (key := version_key(row.version)) in order]
    if missing and applied and max(applied) > order.index(version_key(missing[0].version)):
        raise InputError(
            Diagnostic(
                code="baseline-below",
                message=f"{missing[0].migration.label} comes before a migration that is applied already",
                hint="a baseline adopts a database before anything is applied to it by confiture",
            )
        )


def _new_attempt() -> str:
    import uuid

    return str(uuid.uuid4())


def _history(connection: Connection) -> tuple[AppliedMigration, ...]:
    state = StateStore(connection)
    return state.history() if state.installed() else ()


@contextmanager
def _run(
    project: Project, database: Database, purpose: str, dry_run: bool, direction: Direction, emit: Emit
) -> Iterator[_Run]:
    connection = database.connect(purpose)
    run = _Run(project, database, connection, dry_run, direction, emit)
    try:
        require_usable(connection, database.label)
        yield run
        run.finish(Outcome.DONE)
    except ConfitureError as error:
        run.finish(run.failed_outcome(error), error.diagnostics)
        raise
    finally:
        connection.close()


class _Run:
    """One run against one database: what it may do is decided here, how it is done by the Runner."""

    def __init__(
        self,
        project: Project,
        database: Database,
        connection: Connection,
        dry_run: bool,
        direction: Direction,
        emit: Emit,
    ) -> None:
        self._project = project
        self._database = database
        self._connection = connection
        self._dry_run = dry_run
        self._direction = direction
        self._emit = emit
        self._started_at = time.perf_counter()
        self._started = False

    def pending(self, options: UpOptions) -> tuple[PlannedMigration, ...]:
        """What is to be applied. Raises Drift where files and history disagree."""
        now = compare(self._project.ups, _history(self._connection))
        if now.drift:
            raise Drift(*now.drift)
        if now.unfinished and now.unfinished.state is State.REVERTING:
            raise Drift(
                Diagnostic(
                    code="down-unfinished",
                    message=f"the down of {now.unfinished.version} {now.unfinished.name} stopped midway",
                    hint="finish it: `confiture migrate down --steps 1`",
                )
            )
        if now.out_of_order and not options.out_of_order:
            raise Drift(*(_out_of_order(plan) for plan in now.out_of_order))
        if options.to is None:
            return now.pending
        last = find_version(options.to, self._project.migrations)
        wanted = {version_key(migration.version) for migration in self._project.migrations[: last + 1]}
        return tuple(plan for plan in now.pending if version_key(plan.version) in wanted)

    def reverting(self, options: DownOptions) -> tuple[PlannedMigration, ...]:
        """What is to be undone, the last one first. Raises InputError where one has no `down`."""
        rows = list(reversed(_history(self._connection)))
        if options.to is not None and options.to != "0":
            kept = version_key(options.to)
            positions = [position for position, row in enumerate(rows) if version_key(row.version) == kept]
            if not positions:
                find_version(options.to, self._project.migrations)
                raise InputError(Diagnostic(code="not-applied", message=f"{options.to} is not applied here"))
            rows = rows[: positions[0]]
        elif options.to is None:
            rows = rows[: options.steps if options.steps is not None else 1]
        return tuple(self._down_of(row) for row in rows)

    def _down_of(self, row: AppliedMigration) -> PlannedMigration:
        known = [version_key(migration.version) for migration in self._project.migrations]
        if version_key(row.version) not in known:
            message = f"{row.version} {row.name} is applied, but its file is gone: it cannot be undone"
            raise Drift(Diagnostic(code="drift", message=message, hint="bring the file back"))
        return self._project.plan_of(row.version, down=True)

    @contextmanager
    def lock(self, purpose: str, wait_ms: int) -> Iterator[ProjectLock]:
        """Holds the project's lock. Raises LockHeld, or DatabaseUnavailable behind a pooler."""
        with project_lock(self._database, purpose, wait_ms, self._emit) as lock:
            require_own_sessions(self._connection, lock.connection)
            yield lock

    def start(self, plan: Plan) -> None:
        """Tells that the run begins."""
        self._started = True
        self._emit(
            RunStarted(
                direction=plan.direction,
                dry_run=self._dry_run,
                environment=self._project.settings.environment,
                database=self._database.label,
                migrations=tuple(migration.migration.label for migration in plan.migrations),
                steps=sum(len(migration.steps) for migration in plan.migrations),
            )
        )

    def finish(self, outcome: Outcome, diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        """Tells that the run ended."""
        if not self._started:
            self.start(Plan(direction=self._direction, migrations=()))
        duration_ms = (time.perf_counter() - self._started_at) * 1000
        self._emit(RunFinished(outcome=outcome, duration_ms=duration_ms, diagnostics=diagnostics))

    def execute(self, plan: Plan, lock: ProjectLock) -> None:
        """Runs or rehearses the plan. Raises the error that tells what failed and what is committed."""
        self.start(plan)
        history = _history(self._connection)
        unfinished = next((row for row in history if row.state is not State.APPLIED), None)
        runner = Runner(
            self._connection, self._project.settings.database, lock, self._emit, chain_end(history, CHAIN_START)
        )
        try:
            if self._dry_run:
                runner.rehearse(plan)
            elif plan.migrations:
                runner.apply(plan, self._left_midway(plan, unfinished))
        except (StepFailed, psycopg.Error, KeyboardInterrupt) as error:
            failure = explain_failure(error, runner.progress, self._database, self._connection)
            self._after_failure(runner, plan)
            raise failure from error

    def _left_midway(self, plan: Plan, row: AppliedMigration | None) -> Unfinished | None:
        first = plan.migrations[0]
        if row is None or version_key(row.version) != version_key(first.version):
            return None
        going = Direction.DOWN if row.state is State.REVERTING else Direction.UP
        if going is not plan.direction:
            return None
        return Unfinished(attempt=row.attempt, journal=StateStore(self._connection).journal(row.attempt))

    def _after_failure(self, runner: Runner, plan: Plan) -> None:
        if self._dry_run or runner.progress is None or self._connection.closed:
            return
        try:
            runner.on_error(runner.progress.plan)
        except StepFailed as failure:
            self._emit(Noted(text=f"on_error failed too: {failure.diagnostic}"))
        except psycopg.Error as error:
            self._emit(Noted(text=f"on_error failed too: {error}"))

    def failed_outcome(self, error: ConfitureError) -> Outcome:
        """How a run that raised this error is said to have ended."""
        from confiture.errors import CheckFailed, MigrationFailed, MigrationStopped

        if isinstance(error, MigrationStopped):
            return Outcome.STOPPED
        return Outcome.ROLLED_BACK if isinstance(error, CheckFailed | MigrationFailed) else Outcome.FAILED


def _out_of_order(plan: PlannedMigration) -> Diagnostic:
    migration = plan.migration
    return migration.file.diagnostic(
        migration.span,
        "out-of-order",
        f"{migration.label} is pending, but a later migration is applied already",
        hint="give it a later version, or run `confiture migrate up --out-of-order`",
    )


__all__ = ["DownOptions", "UpOptions", "baseline", "down", "replace", "standing", "up"]
