"""A project as data: its settings and its migrations, read and planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confiture.errors import Diagnostic, DiagnosticCollector, InputError
from confiture.files.ddl import DdlFolders
from confiture.files.migration import migration_paths, read_migration
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
    """A project's settings, its migrations in the order in which they run, and their plans."""

    settings: Settings
    migrations: tuple[MigrationFile, ...]
    ups: tuple[PlannedMigration, ...]
    downs: Mapping[str, PlannedMigration] = field(repr=False)
    """By version; a migration without `down` is not in it."""
    unread_files: tuple[str, ...] = ()
    """Sentences about files in the migrations folder that look like migrations but are not read."""

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
        return tuple(dict.fromkeys(one for plan in (*self.ups, *self.downs.values()) for one in plan.missing_variables))


def require_variables(plans: Iterable[PlannedMigration]) -> None:
    """Raises InputError with the variables that templates of the plans miss."""
    problems = DiagnosticCollector()
    problems.extend(dict.fromkeys(one for plan in plans for one in plan.missing_variables))
    problems.raise_if_any()


def load_project(settings: Settings, overrides: Mapping[str, Any], *, needs_variables: bool = True) -> PlannedProject:
    """Reads, renders and parses every migration. `overrides` are variables that win over all others.

    Raises InputError with every mistake in every file; the variables that templates miss only if all are needed.
    """
    problems = DiagnosticCollector()
    project = read_project(settings, overrides, problems)
    if needs_variables:
        problems.extend(project.missing())
    problems.raise_if_any()
    return project


def read_project(
    settings: Settings, overrides: Mapping[str, Any], problems: DiagnosticCollector, parse: Parse = parse_sql
) -> PlannedProject:
    """The same, with what is whole; every mistake is added to `problems`. A step with a mistake has no statements.
    `parse` gives the trees of texts.

    Raises InputError where there is no folder of migrations.
    """
    folders = DdlFolders(root=settings.root, schemas=settings.schemas, migrations=settings.migrations)
    # first the settings' hooks: a migration may import the modules that register them
    planner = Planner(settings, overrides, problems, parse)
    read = [
        read_migration(path, folders, MIGRATION_SCHEMA, problems)
        for path in migration_paths(settings.migrations, settings.root)
    ]
    found = [migration for migration in read if migration is not None]
    # with a file missing from the picture, what others require of it cannot be judged
    complete = all(migration is not None and migration.is_complete for migration in read)
    migrations = sort_migrations(found, problems) if complete else tuple(found)
    ups = tuple(planner.plan(migration, Direction.UP) for migration in migrations)
    downs = {
        migration.version: planner.plan(migration, Direction.DOWN)
        for migration in migrations
        if migration.steps(Phase.DOWN)
    }
    steps = (step for migration in found for steps in migration.phases.values() for step in steps)
    return PlannedProject(
        settings=settings,
        migrations=migrations,
        ups=ups,
        downs=downs,
        unread_files=find_unread_files(folders, {step.located_source.file.path for step in steps}),
    )
