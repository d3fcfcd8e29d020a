"""Lints the migrations of a project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confiture.errors import Diagnostic, Problems
from confiture.lint.engine.configuration import ActiveRule
from confiture.lint.engine.context import DatabaseFacts, surroundings
from confiture.lint.engine.findings import found
from confiture.lint.engine.ignores import Ignore, ignores_outside
from confiture.lint.engine.replay import Judged, Replay
from confiture.models.catalog import Catalog
from confiture.models.findings import Finding
from confiture.models.plan import PlannedMigration
from confiture.models.settings import Settings
from confiture.models.source import SourceText
from confiture.plan.ordering import version_key
from confiture.plan.project import read_project
from confiture.plan.rendering import verbatim
from confiture.sql.tree import Parse, Trees


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedMigrations:
    """What lint says of a project's migrations, before ignore comments are heeded. All of it can be pickled.

    `catalog` is what they make, over the schema of the database where there is one. `problems` are what could not be
    read or followed. `files` is how many there are, None where there is no folder of them. `runs` are the paths of all
    files whose SQL they run.
    """

    findings: tuple[Finding, ...]
    catalog: Catalog
    problems: tuple[Diagnostic, ...]
    ignores: tuple[Ignore, ...]
    statements: int
    files: int | None
    runs: frozenset[str]


def judge_migrations(
    settings: Settings,
    overrides: Mapping[str, Any],
    actives: Sequence[ActiveRule],
    facts: DatabaseFacts | None,
    parse: Parse,
    *,
    needed: bool,
) -> JudgedMigrations:
    """Reads a project's migrations, and lets the rules judge those that the database has not.

    `overrides` are variables that win over all others, `parse` gives the trees of texts. Raises InputError where there
    is no folder of migrations and they are `needed`.
    """
    problems = Problems()
    trees = Trees(parse)  # of what is planned first and judged then
    exists = needed or settings.migrations.exists()
    project = read_project(settings, overrides, problems, trees.keep) if exists else None
    problems.extend(project.missing() if project else ())
    plans = project.ups if project else ()
    replay = Replay(actives, surroundings(settings, facts), trees.find)
    findings = found(_judged(plans, replay, facts))
    files = [migration.file for migration in project.migrations] if project else []
    outside = [one for file in files for one in ignores_outside(verbatim(SourceText(text=file.text, file=file)))]
    steps = (step for plan in plans for segment in plan.segments for step in segment.steps)
    return JudgedMigrations(
        findings=findings,
        catalog=replay.catalog,
        problems=(*problems, *replay.failures),
        ignores=(*replay.ignores, *outside),
        statements=replay.statements,
        files=len(files) if project else None,
        runs=frozenset(step.rendered.source.file.path for step in steps),
    )


def _judged(plans: Iterable[PlannedMigration], replay: Replay, facts: DatabaseFacts | None) -> Iterator[Judged]:
    applied = {version_key(version) for version in facts.applied} if facts else set()
    live = facts.catalog if facts else None
    if live is not None:
        replay.begin_with(live)
    for plan in plans:
        if version_key(plan.version) not in applied:
            yield from replay.judge(plan)
        elif live is None:
            replay.pass_over(plan)
