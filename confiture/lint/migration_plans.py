"""Planning of a project's migrations for lint.

Large projects are planned in another process, so the plans contain no functions and no Python classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from confiture.errors import DiagnosticCollector
from confiture.files.access import display_path
from confiture.lint.engine.ignores import misplaced_ignores
from confiture.lint.hook_ddl import DDL_WORDS, contains_ddl
from confiture.lint.migrations import MigrationPlans
from confiture.models.migration import MigrationFile
from confiture.models.plan import PlannedMigration, PlannedStep, Segment
from confiture.models.records import replace
from confiture.models.settings import Settings
from confiture.models.source import LocatedSource
from confiture.plan.project import read_project
from confiture.plan.rendering import render_verbatim
from confiture.sql.parse_tree import Parse


def plan_migrations(
    settings: Settings, overrides: Mapping[str, Any], parse: Parse, *, is_required: bool
) -> MigrationPlans:
    """Read and plan a project's migrations.

    `overrides` are variables that take precedence over all others; `parse` parses SQL. Raises InputError if the
    migrations folder does not exist and `is_required` is true.
    """
    if not is_required and not settings.migrations.exists():
        return MigrationPlans()
    problems = DiagnosticCollector()
    project = read_project(settings, overrides, problems, parse)
    problems.extend(project.missing())
    files = [migration.file for migration in project.migrations]
    outside = [
        one for file in files for one in misplaced_ignores(render_verbatim(LocatedSource(text=file.text, file=file)))
    ]
    steps = [step for plan in project.ups for step in plan.steps]
    pinned = [one for migration in project.migrations for one in migration.named_files if one.is_pinned]
    return MigrationPlans(
        ups=tuple(map(_without_code, project.ups)),
        problems=tuple(problems),
        misplaced_ignores=tuple(outside),
        files=len(files),
        executed_paths=frozenset(step.rendered.source.file.path for step in steps),
        pins=frozenset(one.file.path for one in pinned),
        pinned_paths=frozenset(display_path(one.current, settings.root) for one in pinned if one.current),
        unknown_steps=tuple(str(step.span) for step in steps if _has_unknown_effects(step)),
        unread_files=project.unread_files,
    )


def _has_unknown_effects(step: PlannedStep) -> bool:
    """Whether a step can change the schema in a way that its statements do not show."""
    if step.hook is not None:
        return contains_ddl(step.hook.hook)
    return step.skip_reason is not None and DDL_WORDS.search(step.rendered.source.text) is not None


def _without_code(plan: PlannedMigration) -> PlannedMigration:
    """Return a plan without the parts that cannot be pickled: hooks and the function that computes checksums."""
    steps = {
        phase: tuple(_without_registration(one) for one in steps) for phase, steps in plan.migration.phases.items()
    }
    migration: MigrationFile = replace(plan.migration, phases=steps)
    segments = tuple(map(_segment_without_code, plan.segments))
    return replace(plan, migration=migration, segments=segments, on_error=(), checksums=_no_checksums)


def _without_registration(step: Any) -> Any:
    return replace(step, registration=None) if hasattr(step, "registration") else step


def _segment_without_code(segment: Segment) -> Segment:
    steps = tuple(replace(one, content=None) if one.hook is not None else one for one in segment.steps)
    return replace(segment, steps=steps)


def _no_checksums() -> NoReturn:
    raise NotImplementedError("lint does not compute checksums")
