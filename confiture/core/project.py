"""A project: its settings and its migrations, loaded, planned and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import postgast

from confiture.errors import InputError, Problems
from confiture.files.ddl import Folders
from confiture.files.migration import migration_paths, read_migration
from confiture.models.migration import Migration, Phase
from confiture.models.plan import Direction, PlannedMigration
from confiture.models.settings import Settings
from confiture.plan.building import Planner
from confiture.plan.ordering import find_version, ordered
from confiture.sql.tree import Parse


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project's files as data. `migrations` are in the order in which they run."""

    settings: Settings
    migrations: tuple[Migration, ...]
    ups: tuple[PlannedMigration, ...]
    downs: Mapping[str, PlannedMigration] = field(repr=False)
    """By version; a migration without `down` is not in it."""

    def plan_of(self, version: str, *, down: bool) -> PlannedMigration:
        """The plan of one migration. Raises InputError where there is none of that version, or no `down`."""
        position = find_version(version, self.migrations)
        if not down:
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
        return self.downs[migration.version]


def load_project(settings: Settings, overrides: Mapping[str, Any]) -> Project:
    """Reads, renders and parses every migration. `overrides` are variables that win over all others.

    Raises InputError with every mistake in every file.
    """
    problems = Problems()
    project = read_project(settings, overrides, problems)
    problems.raise_if_any()
    return project


def read_project(
    settings: Settings, overrides: Mapping[str, Any], problems: Problems, parse: Parse = postgast.parse
) -> Project:
    """The same, with what is whole; every mistake is added to `problems`. A step with a mistake has no statements.
    `parse` gives the trees of texts.

    Raises InputError where there is no folder of migrations.
    """
    folders = Folders(root=settings.root, schemas=settings.schemas, migrations=settings.migrations)
    read = [read_migration(path, folders, problems) for path in migration_paths(settings.migrations, settings.root)]
    found = [migration for migration in read if migration is not None]
    # with a file missing from the picture, what others require of it cannot be judged
    complete = all(migration is not None and migration.is_whole for migration in read)
    migrations = ordered(found, problems) if complete else tuple(found)
    planner = Planner(settings.environment, settings.variables, overrides, problems, settings.tenancy.column, parse)
    ups = tuple(planner.plan(migration, Direction.UP) for migration in migrations)
    downs = {
        migration.version: planner.plan(migration, Direction.DOWN)
        for migration in migrations
        if migration.steps(Phase.DOWN)
    }
    return Project(settings=settings, migrations=migrations, ups=ups, downs=downs)
