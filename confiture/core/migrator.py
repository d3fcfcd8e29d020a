"""Run migrations given as Python objects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from confiture.core.commands import DEFAULT_LOCK_WAIT_MS, require_confirmation, require_pins
from confiture.core.db.connection import ConnectionTarget, database_label
from confiture.core.execution import open_run
from confiture.core.run.context import DryRunOptions, RunMode
from confiture.errors import Diagnostic, DiagnosticCollector, InputError
from confiture.files.ddl import DdlFolders
from confiture.files.migration import read_migration_object
from confiture.files.settings import SettingsOverrides, find_settings_file, load_settings
from confiture.models.events import Emit, Emitter
from confiture.models.history import AppliedMigration
from confiture.models.identity import WriteRequest
from confiture.models.migration import Phase
from confiture.models.migration_api import Migration, migration_connection
from confiture.models.plan import Direction, PlannedMigration
from confiture.models.report_builder import ReportBuilder
from confiture.models.reports import RunReport
from confiture.models.settings import DEFAULT_ENVIRONMENT, DatabaseSettings, Settings
from confiture.plan.migration_order import version_key
from confiture.plan.planner import Planner
from confiture.plan.project import PlannedProject, read_project
from confiture.plan.step_kinds import MIGRATION_SCHEMA

_ORIGIN = "the connection passed to the Migrator"


class Migrator:
    """Runs or dry-runs single migrations on the database of a connection.

    The Migrator opens its own sessions. These sessions would not see uncommitted changes made over the connection, and
    would wait for its locks, so the connection must not be inside a transaction. The available hooks are those
    registered in the file that defines the migration class. The settings come from confiture.yaml in the working
    directory or one of its parents. Without that file, Confiture searches for DDL files below `schemas/` and the
    working directory. `on_event` receives every event.

    Example::

        with psycopg.connect("postgresql://localhost/shop") as conn:
            result = Migrator(conn).dry_run(AddTotals(conn))
            print(result.execution_time_ms, result.rows_affected, result.locked_tables)
    """

    def __init__(self, connection: psycopg.Connection[Any], *, on_event: Emit | None = None) -> None:
        self._connection = connection
        self._listeners = [on_event] if on_event else []

    def up(self, migration: Migration, *, confirm: str | None = None, reason: str | None = None) -> RunReport:
        """Apply a migration and record it. If it is already applied, do nothing and return a report without steps.

        In a project, one of the project's files must contain the migration. `confirm` is the name of the environment,
        required if it is protected; `reason` is stored in the history. Raise InputError, DatabaseUnavailable,
        LockHeld, HazardsFound, CheckFailed, MigrationFailed or MigrationStopped.

        Example::

            print(Migrator(conn).up(AddTotals(conn)).rows_affected)
        """
        return self._run(migration, Direction.UP, request=WriteRequest(confirm=confirm, reason=reason))

    def down(self, migration: Migration, *, confirm: str | None = None, reason: str | None = None) -> RunReport:
        """Revert an applied migration. Takes the same options and raises the same errors as `up`."""
        return self._run(migration, Direction.DOWN, request=WriteRequest(confirm=confirm, reason=reason))

    def dry_run(
        self,
        migration: Migration,
        *,
        direction: Direction = Direction.UP,
        repeat: int = 1,
        full: bool = False,
        confirmed: bool = False,
    ) -> RunReport:
        """Run a migration and roll it back, whether or not it is applied.

        The report contains the duration (`execution_time_ms`), the estimated real-run duration
        (`estimated_production_time_ms`, with its range and `confidence_percent` if `repeat` is 2 or more),
        `rows_affected`, `locked_tables`, `locks`, `warnings`, `steps` and `statements`. With `full`, batched backfills
        run completely instead of being sampled. A protected environment requires `confirmed`. Raise the same errors as
        `up`.
        """
        in_project = find_settings_file(Path.cwd()) is not None
        rehearsal = DryRunOptions(repeat=repeat, full=full, confirmed=confirmed, store_prediction=in_project)
        return self._run(migration, direction, dry_run_options=rehearsal)

    def _run(
        self,
        migration: Migration,
        direction: Direction,
        *,
        dry_run_options: DryRunOptions | None = None,
        request: WriteRequest | None = None,
    ) -> RunReport:
        if not isinstance(migration, Migration):
            raise TypeError(
                f"expected an instance of a subclass of Migration, such as AddTotals(conn), not {migration!r}"
            )
        if migration_connection(migration) not in (None, self._connection):
            message = f"{type(migration).__name__} was created with a different connection from the Migrator's"
            hint = "pass the same connection to both, or pass none to the migration"
            raise InputError(Diagnostic(code="other-connection", message=message, hint=hint))
        database = self._database()
        project, plan = _plan_migration(migration, direction, database)
        if dry_run_options is None:
            _require_known(project.settings, plan)
            require_pins(project.settings, (plan,) if direction is Direction.UP else ())
        mode = RunMode(
            direction=direction,
            dry_run=dry_run_options is not None,
            rehearsal=dry_run_options or DryRunOptions(repeat=1),
            request=request or WriteRequest(),
        )
        require_confirmation(project.settings, mode)
        report_builder = ReportBuilder()

        def select(history: tuple[AppliedMigration, ...]) -> tuple[PlannedMigration, ...]:
            return (plan,) if mode.dry_run or _needs_run(plan, history) else ()

        with open_run(project, database, mode, Emitter(report_builder, *self._listeners)) as run:
            run.execute(select, DEFAULT_LOCK_WAIT_MS)
        return report_builder.report

    def _database(self) -> ConnectionTarget:
        info = self._connection.info
        if self._connection.closed:
            message = "the connection is closed"
            hint = "keep it open while the Migrator is in use: it identifies the database"
            raise InputError(Diagnostic(code="closed-connection", message=message, hint=hint))
        if info.transaction_status is not TransactionStatus.IDLE:
            raise InputError(
                Diagnostic(
                    code="in-transaction",
                    message="the connection is in a transaction: its changes are not visible, and its locks stay held",
                    hint="commit or roll back first, or connect with autocommit=True",
                )
            )
        conninfo = make_conninfo(info.dsn, password=info.password or None)
        return ConnectionTarget(conninfo=conninfo, label=database_label(DatabaseSettings(url=conninfo)), origin=_ORIGIN)


def _require_known(settings: Settings, plan: PlannedMigration) -> None:
    """Raise InputError if there is a project but none of its files contains the migration.

    An applied migration without a file counts as drift.
    """
    if find_settings_file(Path.cwd()) is None:
        return
    migrations = read_project(settings, {}, DiagnosticCollector()).migrations
    if version_key(plan.version) not in {version_key(migration.version) for migration in migrations}:
        file, span = plan.migration.file, plan.migration.span
        message = (
            f"{plan.migration.label} is not in any project file: once applied, the next run would report it as drift"
        )
        hint = "put the file into the migrations directory, or only use dry_run"
        raise InputError(file.diagnostic(span, "not-in-project", message, hint=hint))


def _needs_run(plan: PlannedMigration, history: tuple[AppliedMigration, ...]) -> bool:
    row = next((row for row in history if version_key(row.version) == version_key(plan.version)), None)
    if plan.direction is Direction.DOWN:
        return row is not None
    return row is None or row.applied_at is None


def _plan_migration(
    migration: Migration, direction: Direction, database: ConnectionTarget
) -> tuple[PlannedProject, PlannedMigration]:
    """Return a project that consists of one migration, and the plan. Raise InputError with all problems."""
    settings = _load_settings(database)
    problems = DiagnosticCollector()
    folders = DdlFolders(root=settings.root, schemas=settings.schemas, migrations=settings.migrations)
    file = read_migration_object(migration, folders, MIGRATION_SCHEMA, problems)
    planner = Planner(settings, {}, problems)
    plan = planner.plan(file, direction) if file is not None else None
    problems.extend(plan.missing_variables if plan else ())
    problems.raise_if_any()
    if file is None or plan is None:
        raise LookupError(f"{migration!r} was neither read nor rejected")
    if direction is Direction.DOWN and not file.steps(Phase.DOWN):
        hint = "define down() with the steps that revert the migration"
        raise InputError(file.file.diagnostic(file.span, "no-down", f"{file.label} has no `down`", hint=hint))
    return PlannedProject(settings=settings, migrations=(file,), ups=(), downs={}), plan


def _load_settings(database: ConnectionTarget) -> Settings:
    here = Path.cwd()
    if find_settings_file(here) is not None:
        return load_settings(here, SettingsOverrides(database=database.conninfo), os.environ)
    return Settings(
        root=here,
        environment=DEFAULT_ENVIRONMENT,
        is_environment_known=False,
        # No settings name the project: it counts as new unless the migrations belong to another project.
        is_named=True,
        database=DatabaseSettings(url=database.conninfo, url_from=_ORIGIN),
        migrations=here / "migrations",
        schemas=here / "schemas",
        environ=dict(os.environ),
    )
