"""A project as data: the settings and the planned migrations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confiture.errors import Diagnostic, DiagnosticCollector, InputError
from confiture.files.ddl import MISSING_FILE, DdlFolders
from confiture.files.migration import migration_paths, read_migration
from confiture.files.pins import pin_folder
from confiture.files.unread_files import find_unread_files
from confiture.models.migration import MigrationFile, Phase
from confiture.models.plan import Direction, PlannedMigration
from confiture.models.settings import Settings
from confiture.plan.migration_order import find_version, sort_migrations
from confiture.plan.planner import Planner
from confiture.plan.step_kinds import MIGRATION_SCHEMA
from confiture.sql.parse_tree import Parse
from confiture.sql.parser import parse_sql


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedProject:
    """A project's settings, its migrations in execution order, and their plans."""

    settings: Settings
    migrations: tuple[MigrationFile, ...]
    ups: tuple[PlannedMigration, ...]
    downs: Mapping[str, PlannedMigration] = field(repr=False)
    """The `down` plans by version, except for migrations without `down`."""
    unread_files: tuple[str, ...] = ()
    """Sentences about files in the migrations folder that look like migrations but are not read."""

    def plan_of(self, version: str, *, down: bool) -> PlannedMigration:
        """Return a migration's plan.

        Raise InputError if the version does not exist, has no `down`, or uses undefined variables in templates.
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
                    hint="add `down:` with the steps that roll back the migration",
                )
            )
        require_variables([self.downs[migration.version]])
        return self.downs[migration.version]

    def missing(self) -> tuple[Diagnostic, ...]:
        """Return the undefined variables in the templates of all migrations, up and down."""
        plans = (*self.ups, *self.downs.values())
        return tuple(dict.fromkeys(diagnostic for plan in plans for diagnostic in plan.missing_variables))


def require_variables(plans: Iterable[PlannedMigration]) -> None:
    """Raise InputError with the undefined variables in the plans' templates."""
    problems = DiagnosticCollector()
    problems.extend(dict.fromkeys(diagnostic for plan in plans for diagnostic in plan.missing_variables))
    problems.raise_if_any()


def require_files(plans: Iterable[PlannedMigration]) -> None:
    """Raise InputError with the files that the plans' migrations name and that do not exist."""
    problems = DiagnosticCollector()
    problems.extend(
        named.missing for plan in plans for named in plan.migration.named_files if named.missing is not None
    )
    problems.raise_if_any()


def load_project(settings: Settings, overrides: Mapping[str, Any], *, needs_variables: bool = True) -> PlannedProject:
    """Read, render, and parse every migration. `overrides` are variables with the highest precedence.

    Raise InputError with all errors in all files; undefined variables are errors only with `needs_variables`.
    """
    problems = DiagnosticCollector()
    project = read_project(settings, overrides, problems)
    if needs_variables:
        problems.extend(project.missing())
    elif problems:
        problems.extend(problem for problem in project.missing() if problem.code == MISSING_FILE)
    problems.raise_if_any()
    return project


def read_project(
    settings: Settings, overrides: Mapping[str, Any], problems: DiagnosticCollector, parse: Parse = parse_sql
) -> PlannedProject:
    """Read, render, and parse every readable migration. Add errors to `problems`.

    A step with errors has no statements. `parse` returns the parse tree of SQL text. Raise InputError if the migrations
    folder cannot be read.
    """
    folders = DdlFolders(root=settings.root, schemas=settings.schemas, migrations=settings.migrations)
    # load the hooks in the settings first, because a migration may import the modules that register them
    planner = Planner(settings, overrides, problems, parse)
    paths = migration_paths(settings.migrations, settings.root)
    read = [read_migration(path, folders, MIGRATION_SCHEMA, problems) for path in paths]
    readable = [migration for migration in read if migration is not None]
    # requirements cannot be checked if a file is unreadable
    is_complete = all(migration is not None and migration.is_complete for migration in read)
    migrations = sort_migrations(readable, problems) if is_complete else tuple(readable)
    ups = tuple(planner.plan(migration, Direction.UP) for migration in migrations)
    downs = {
        migration.version: planner.plan(migration, Direction.DOWN)
        for migration in migrations
        if migration.steps(Phase.DOWN)
    }
    steps = (step for migration in migrations for steps in migration.phases.values() for step in steps)
    return PlannedProject(
        settings=settings,
        migrations=migrations,
        ups=ups,
        downs=downs,
        unread_files=find_unread_files(
            folders, {step.located_source.file.path for step in steps}, {pin_folder(path) for path in paths}
        ),
    )
