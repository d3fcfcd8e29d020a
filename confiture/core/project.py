"""A project: its settings and its migrations, loaded, planned and run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confiture.errors import Diagnostic, InputError, Problems
from confiture.files.ddl import Folders
from confiture.files.migration import migration_paths, read_migration
from confiture.models.migration import MigrationFile, Phase
from confiture.models.plan import Direction, Plan, PlannedMigration
from confiture.models.settings import Settings
from confiture.plan.building import Planner
from confiture.plan.ordering import find_version, ordered
from confiture.sql.grammar import parse_sql
from confiture.sql.tree import Parse

if TYPE_CHECKING:
    from confiture.core.events import Emit
    from confiture.core.migrate import DownOptions, UpOptions
    from confiture.models.findings import LintReport
    from confiture.models.reports import RunReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project's files as data, and what can be done with them. `migrations` are in the order in which they run.

    Example::

        project = Project.load("shop", environment="staging")
        for finding in project.lint().findings:
            print(finding.severity, finding.span, finding.message)
        report = project.run()
    """

    settings: Settings
    migrations: tuple[MigrationFile, ...]
    ups: tuple[PlannedMigration, ...]
    downs: Mapping[str, PlannedMigration] = field(repr=False)
    """By version; a migration without `down` is not in it."""

    @classmethod
    def load(
        cls,
        path: Path | str = ".",
        *,
        environment: str | None = None,
        database: str | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Project:
        """The project around a folder, or of a confiture.yaml, for one environment.

        `database` (a URL or conninfo) and `variables` win over the settings, as the options of the command line do.
        Raises InputError with every mistake in every file. Variables that templates miss are told by what needs them:
        a migration that is applied does not.

        Example::

            project = Project.load("shop", environment="staging")
            report = project.dry_run(repeat=5)
            print(report.estimated_production_time_ms, report.locked_tables)
        """
        from confiture.files.settings import Overrides, load_settings

        given = Path(path)
        config = given if given.is_file() else None
        start = given.parent if given.is_file() else given
        overrides = Overrides(config=config, environment=environment, database=database)
        settings = load_settings(start.absolute(), overrides, os.environ)
        return load_project(settings, dict(variables or {}), needs_variables=False)

    def plan(self, direction: Direction = Direction.UP) -> Plan:
        """All migrations as they would run on an empty database, or be undone from a full one: nothing is connected.

        Going down, migrations without `down` are left out. Raises InputError where templates miss variables.

        Example::

            for migration in project.plan().migrations:
                print(migration.version, len(migration.segments))
        """
        plans = self.ups
        if direction is Direction.DOWN:
            versions = [migration.version for migration in reversed(self.migrations)]
            plans = tuple(self.downs[version] for version in versions if version in self.downs)
        require_variables(plans)
        return Plan(direction=direction, migrations=plans)

    def run(self, options: UpOptions | DownOptions | None = None, *, on_event: Emit | None = None) -> RunReport:
        """Applies what is pending; with DownOptions, undoes what is applied. `on_event` is told what happens.

        Raises what the command line's exit codes say: InputError, DatabaseUnavailable, LockHeld, Drift, HazardsFound,
        CheckFailed, MigrationFailed, MigrationStopped.

        Example::

            report = project.run(UpOptions(to="014"))
            print(report.rows_affected)
        """
        from confiture.core.library import carry_out
        from confiture.core.migrate import UpOptions

        return carry_out(self, options or UpOptions(), on_event)

    def dry_run(
        self, *, to: str | None = None, repeat: int = 1, full: bool = False, on_event: Emit | None = None
    ) -> RunReport:
        """Runs what is pending and rolls it back, `repeat` times; the report says what was measured.

        With `full`, batched backfills are not only sampled. Raises as `run` does; InputError in an environment that is
        protected, unless `run` is given options that confirm it.

        Example::

            report = project.dry_run(repeat=5)
            print(report.estimated_range_low_ms, report.estimated_range_high_ms, report.confidence_percent)
        """
        from confiture.core.dry_run.options import RehearsalOptions
        from confiture.core.migrate import UpOptions

        rehearsal = RehearsalOptions(repeat=repeat, full=full)
        return self.run(UpOptions(to=to, dry_run=True, rehearsal=rehearsal), on_event=on_event)

    def lint(self) -> LintReport:
        """What is wrong with the schema and the migrations; files that cannot be read are findings.

        What the settings' baseline holds is in it. Raises InputError where the settings are wrong.

        Example::

            errors = [finding for finding in project.lint().findings if finding.severity == "error"]
        """
        from confiture.core.linting import LintOptions, lint_project

        return lint_project(self.settings, LintOptions())

    def plan_of(self, version: str, *, down: bool) -> PlannedMigration:
        """The plan of one migration. Raises InputError where there is none of that version, no `down`, or a variable of
        its templates is missing.
        """
        position = find_version(version, self.migrations)
        if not down:
            require_variables([self.ups[position]])
            return self.ups[position]
        migration = self.migrations[position]
        if migration.version not in self.downs:
            raise InputError(
                migration.file.diagnostic(
                    migration.span,
                    "no-down",
                    f"{migration.label} has no `down`",
                    hint="add `down:` with the steps that undo it",
                )
            )
        require_variables([self.downs[migration.version]])
        return self.downs[migration.version]

    def missing(self) -> tuple[Diagnostic, ...]:
        """The variables that templates miss, of all migrations up and down."""
        return tuple(dict.fromkeys(one for plan in (*self.ups, *self.downs.values()) for one in plan.missing))


def require_variables(plans: Iterable[PlannedMigration]) -> None:
    """Raises InputError with the variables that templates of the plans miss."""
    problems = Problems()
    problems.extend(dict.fromkeys(one for plan in plans for one in plan.missing))
    problems.raise_if_any()


def load_project(settings: Settings, overrides: Mapping[str, Any], *, needs_variables: bool = True) -> Project:
    """Reads, renders and parses every migration. `overrides` are variables that win over all others.

    Raises InputError with every mistake in every file; the variables that templates miss only if all are needed.
    """
    problems = Problems()
    project = read_project(settings, overrides, problems)
    if needs_variables:
        problems.extend(project.missing())
    problems.raise_if_any()
    return project


def read_project(
    settings: Settings, overrides: Mapping[str, Any], problems: Problems, parse: Parse = parse_sql
) -> Project:
    """The same, with what is whole; every mistake is added to `problems`. A step with a mistake has no statements.
    `parse` gives the trees of texts.

    Raises InputError where there is no folder of migrations.
    """
    folders = Folders(root=settings.root, schemas=settings.schemas, migrations=settings.migrations)
    # first the settings' hooks: a migration may import the modules that register them
    planner = Planner(settings, overrides, problems, parse)
    read = [read_migration(path, folders, problems) for path in migration_paths(settings.migrations, settings.root)]
    found = [migration for migration in read if migration is not None]
    # with a file missing from the picture, what others require of it cannot be judged
    complete = all(migration is not None and migration.is_whole for migration in read)
    migrations = ordered(found, problems) if complete else tuple(found)
    ups = tuple(planner.plan(migration, Direction.UP) for migration in migrations)
    downs = {
        migration.version: planner.plan(migration, Direction.DOWN)
        for migration in migrations
        if migration.steps(Phase.DOWN)
    }
    return Project(settings=settings, migrations=migrations, ups=ups, downs=downs)
