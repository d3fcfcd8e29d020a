"""Linting of a project's migrations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confiture.errors import Diagnostic, DiagnosticCollector
from confiture.lint.engine.configuration import ActiveRule
from confiture.lint.engine.context import DatabaseFacts, lint_target
from confiture.lint.engine.findings import to_findings
from confiture.lint.engine.ignores import IgnoreComment, misplaced_ignores
from confiture.lint.engine.replay import LocatedViolation, MigrationReplay
from confiture.models.catalog import Catalog
from confiture.models.findings import Finding
from confiture.models.plan import PlannedMigration
from confiture.models.settings import Settings
from confiture.models.source import LocatedSource
from confiture.plan.migration_order import version_key
from confiture.plan.project import read_project
from confiture.plan.rendering import render_verbatim
from confiture.sql.parse_tree import Parse, ParseCache


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationLintResult:
    """The lint result of a project's migrations, before ignore comments are applied. It can be pickled.

    `catalog` is the schema that the migrations create, on top of the database schema if there is one. `problems` are
    errors from reading or replaying migrations. `files` is the number of migration files, None without a migrations
    folder. `executed_paths` are the paths of all files whose SQL the migrations run.
    """

    findings: tuple[Finding, ...]
    catalog: Catalog
    problems: tuple[Diagnostic, ...]
    ignores: tuple[IgnoreComment, ...]
    statements: int
    files: int | None
    executed_paths: frozenset[str]
    unread_files: tuple[str, ...] = ()


def lint_migrations(
    settings: Settings,
    overrides: Mapping[str, Any],
    actives: Sequence[ActiveRule],
    facts: DatabaseFacts | None,
    parse: Parse,
    *,
    is_required: bool,
) -> MigrationLintResult:
    """Read a project's migrations, and check those that are not yet applied to the database.

    `overrides` are variables that take precedence over all others; `parse` parses SQL. Raises InputError if the
    migrations folder does not exist and `is_required` is true.
    """
    problems = DiagnosticCollector()
    trees = ParseCache(parse)  # shared by planning and linting
    exists = is_required or settings.migrations.exists()
    project = read_project(settings, overrides, problems, trees.put) if exists else None
    problems.extend(project.missing() if project else ())
    plans = project.ups if project else ()
    replay = MigrationReplay(actives, lint_target(settings, facts), trees.get)
    findings = to_findings(_lint_plans(plans, replay, facts))
    files = [migration.file for migration in project.migrations] if project else []
    outside = [
        one for file in files for one in misplaced_ignores(render_verbatim(LocatedSource(text=file.text, file=file)))
    ]
    steps = (step for plan in plans for segment in plan.segments for step in segment.steps)
    return MigrationLintResult(
        findings=findings,
        catalog=replay.catalog,
        problems=(*problems, *replay.failures),
        ignores=(*replay.ignores, *outside),
        statements=replay.statements,
        files=len(files) if project else None,
        executed_paths=frozenset(step.rendered.source.file.path for step in steps),
        unread_files=project.unread_files if project else (),
    )


def _lint_plans(
    plans: Iterable[PlannedMigration], replay: MigrationReplay, facts: DatabaseFacts | None
) -> Iterator[LocatedViolation]:
    applied = {version_key(version) for version in facts.applied} if facts else set()
    live = facts.catalog if facts else None
    if live is not None:
        replay.start_from(live)
    for plan in plans:
        if version_key(plan.version) not in applied:
            yield from replay.check(plan)
        elif live is None:
            replay.apply(plan)
