"""The commands that change a database: `up`, `down`, and their dry runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from confiture.core.db.connection import ConnectionTarget
from confiture.core.execution import open_run
from confiture.core.run.context import DryRunOptions, PlanCheck, RunMode
from confiture.errors import Diagnostic, Drift, InputError
from confiture.models.events import Emit
from confiture.models.history import AppliedMigration, MigrationState
from confiture.models.identity import WriteRequest
from confiture.models.plan import Direction, PlannedMigration
from confiture.models.settings import PinPolicy, Settings
from confiture.plan.history import compare_history, pin_command, replaced_migration
from confiture.plan.identity import find_missing_confirmation, require_dry_run_confirmation
from confiture.plan.migration_order import find_version, version_key
from confiture.plan.project import PlannedProject, require_variables

DEFAULT_LOCK_WAIT_MS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class UpOptions:
    """Options for `up`: the last version to apply, and what is allowed. `lock_wait_ms` limits the wait for another run.

    `confirm` is the name of the environment, required if it is protected. `reason` is stored in the history.

    Example::

        UpOptions(to="014", lock_wait_ms=60_000, confirm="production", reason="release 2.4")
    """

    to: str | None = None
    dry_run: bool = False
    out_of_order: bool = False
    skip: frozenset[str] = frozenset()
    """Pending versions that are left out; they are out of order later."""
    lock_wait_ms: int = DEFAULT_LOCK_WAIT_MS
    rehearsal: DryRunOptions = field(default_factory=DryRunOptions)
    guard: PlanCheck | None = None
    """Refuses to run anything that differs from a saved plan; None without one."""
    confirm: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DownOptions:
    """Options for `down`: the version that stays applied (`0` for none), or the number of `steps` to revert.

    `confirm` and `reason` are as for `up`.

    Example::

        DownOptions(steps=2)
    """

    to: str | None = None
    steps: int | None = None
    dry_run: bool = False
    lock_wait_ms: int = DEFAULT_LOCK_WAIT_MS
    rehearsal: DryRunOptions = field(default_factory=DryRunOptions)
    confirm: str | None = None
    reason: str | None = None


def up(project: PlannedProject, database: ConnectionTarget, options: UpOptions, emit: Emit) -> None:
    """Apply pending migrations, or dry-run them.

    Raise InputError, DatabaseUnavailable, LockHeld, Drift, CheckFailed, MigrationFailed or MigrationStopped; each has
    its own exit code. Emit RunStarted and RunFinished if the connection to the database succeeds.
    """
    if options.to is not None:
        find_version(options.to, project.migrations)
    mode = _build_mode(Direction.UP, options)
    require_confirmation(project.settings, mode)
    with open_run(project, database, mode, emit) as run:
        run.execute(lambda history: plan_up(project, history, options), options.lock_wait_ms)


def down(project: PlannedProject, database: ConnectionTarget, options: DownOptions, emit: Emit) -> None:
    """Revert applied migrations, most recent first. Raise the same errors as `up`."""
    mode = _build_mode(Direction.DOWN, options)
    require_confirmation(project.settings, mode)
    with open_run(project, database, mode, emit) as run:
        run.execute(lambda history: plan_down(project, history, options), options.lock_wait_ms)


def _build_mode(direction: Direction, options: UpOptions | DownOptions) -> RunMode:
    return RunMode(
        direction=direction,
        dry_run=options.dry_run,
        rehearsal=options.rehearsal,
        request=WriteRequest(confirm=options.confirm, reason=options.reason),
        guard=options.guard if isinstance(options, UpOptions) else None,
    )


def require_confirmation(settings: Settings, mode: RunMode) -> None:
    """Raise InputError if the settings protect the environment and the run is not confirmed.

    This does not need the database. The run itself also checks whether the database is protected.
    """
    if not settings.protected:
        return
    if mode.dry_run:
        require_dry_run_confirmation(settings, (), confirmed=mode.rehearsal.confirmed)
        return
    problem = find_missing_confirmation(settings, (), mode.request)
    if problem is not None:
        raise InputError(problem)


def plan_up(
    project: PlannedProject, history: tuple[AppliedMigration, ...], options: UpOptions
) -> tuple[PlannedMigration, ...]:
    """Return the migrations to apply. Raise Drift if files and history differ, InputError for missing variables."""
    now = compare_history(project.ups, history, project.settings)
    if now.drift:
        raise Drift(*now.drift)
    for row in history:
        if row.state is MigrationState.REVERTING:
            raise Drift(
                Diagnostic(
                    code="down-unfinished",
                    message=f"the down of {row.version} {row.name} was interrupted",
                    hint="finish it with `confiture migrate down --steps 1`",
                )
            )
    if now.out_of_order and not options.out_of_order:
        raise Drift(*(_out_of_order_diagnostic(plan) for plan in now.out_of_order))
    plans = now.pending
    if options.to is not None:
        last = find_version(options.to, project.migrations)
        wanted = {version_key(migration.version) for migration in project.migrations[: last + 1]}
        plans = tuple(plan for plan in plans if version_key(plan.version) in wanted)
    plans = tuple(plan for plan in plans if plan.version not in options.skip)
    require_variables(plans)
    if not options.dry_run:
        require_pins(project.settings, plans)
    return plans


def require_pins(settings: Settings, plans: Sequence[PlannedMigration]) -> None:
    """Raise InputError if the environment requires pins and a migration that is about to run is not pinned."""
    unpinned = [plan for plan in plans if not plan.migration.is_pinned]
    if settings.pins is PinPolicy.REQUIRED and unpinned:
        raise InputError(*(_unpinned_diagnostic(plan, settings) for plan in unpinned))


def _unpinned_diagnostic(plan: PlannedMigration, settings: Settings) -> Diagnostic:
    migration = plan.migration
    files = [named.file.path for named in migration.named_files if not named.is_pinned]
    environment, verb = settings.environment, "is" if len(files) == 1 else "are"
    return migration.file.diagnostic(
        migration.span,
        "not-pinned",
        f"{migration.label} runs {', '.join(files)}, which {verb} not pinned, and {environment!r} requires pins",
        hint=f"run `{pin_command([plan.version], settings)}` and commit the result",
    )


def plan_down(
    project: PlannedProject, history: tuple[AppliedMigration, ...], options: DownOptions
) -> tuple[PlannedMigration, ...]:
    """Return the migrations to revert, most recent first. Raise InputError if one has no `down`."""
    rows = list(reversed(history))
    if options.to is not None and options.to != "0":
        target = version_key(options.to)
        positions = [position for position, row in enumerate(rows) if version_key(row.version) == target]
        if not positions:
            find_version(options.to, project.migrations)
            raise InputError(
                Diagnostic(
                    code="not-applied",
                    message=f"{options.to} is not applied to this database",
                    hint="`confiture migrate status` lists the applied migrations",
                )
            )
        rows = rows[: positions[0]]
    elif options.to is None:
        rows = rows[: options.steps if options.steps is not None else 1]
    return tuple(_find_down_plan(project, row) for row in rows)


def _find_down_plan(project: PlannedProject, row: AppliedMigration) -> PlannedMigration:
    versions = [version_key(migration.version) for migration in project.migrations]
    if version_key(row.version) not in versions:
        message = f"{row.version} {row.name} is applied but cannot be reverted because its file is missing"
        raise Drift(Diagnostic(code="drift", message=message, hint="restore the file"))
    plan = project.ups[versions.index(version_key(row.version))]
    replaced = replaced_migration(plan, row, project.ups)
    if replaced is not None:
        raise Drift(replaced)
    return project.plan_of(row.version, down=True)


def _out_of_order_diagnostic(plan: PlannedMigration) -> Diagnostic:
    migration = plan.migration
    return migration.file.diagnostic(
        migration.span,
        "out-of-order",
        f"{migration.label} is pending, but a later migration is already applied",
        hint="give it a later version, or run `confiture migrate up --out-of-order`",
    )
