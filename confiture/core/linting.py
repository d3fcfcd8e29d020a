"""Lints a project, or the migrations that are about to run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import postgast

from confiture.core.project import Project, read_project
from confiture.errors import Diagnostic, InputError, Problems
from confiture.files.ddl import TEMPLATE_SUFFIX
from confiture.files.reading import read_source
from confiture.lint.configuration import active_rules, chosen
from confiture.lint.engine import NOT_FOLLOWED, Judged, Replay, SchemaReader, judge_schema, together
from confiture.lint.findings import found, heeding, in_order
from confiture.lint.registry import known_rules
from confiture.lint.subjects import Surroundings
from confiture.models.catalog import Catalog, Name
from confiture.models.findings import Finding, LintReport
from confiture.models.plan import PlannedMigration
from confiture.models.settings import NEWEST_LINTED, Settings
from confiture.models.source import Rendered, SourceText
from confiture.models.trace import LockMode
from confiture.plan.ordering import version_key
from confiture.plan.rendering import RenderContext, TemplateProblem, render, verbatim
from confiture.sql.parsing import parse_statements
from confiture.sql.tree import Parse, Trees


@dataclass(frozen=True, kw_only=True, slots=True)
class LintOptions:
    """What the command line says. `rules` are the only ones to judge; `variables` win over all others."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseFacts:
    """What a database says that files do not.

    Its major version, the estimated row counts of its tables, and for `confiture lint --live` its schema, the
    versions of the migrations that it has, and how people call it.
    """

    version: int
    table_rows: Mapping[Name, int] = field(default_factory=dict)
    catalog: Catalog | None = None
    applied: frozenset[str] = frozenset()
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanJudgement:
    """What lint says of a plan: its findings, and what each statement (by its text) locks by what is known of it.

    Statements whose locks nobody knows from their text, such as DO, are not in `locks`.
    """

    report: LintReport
    locks: Mapping[str, Mapping[Name, LockMode]]


def check_settings(settings: Settings) -> None:
    """Raises InputError where the settings name rules, or keys of rules, that do not exist."""
    active_rules(settings.linting, known_rules(settings.linting, settings.root))


def lint_project(settings: Settings, options: LintOptions, facts: DatabaseFacts | None = None) -> LintReport:
    """Everything that is wrong with the schema and the migrations of a project.

    The schema is that of the DDL files, or of the database where `facts` has one; of its migrations, those that it has
    not are judged then. Files that cannot be read are findings. Raises InputError where the settings are wrong, or
    there is nothing to read.
    """
    known = known_rules(settings.linting, settings.root)
    actives = active_rules(settings.linting, known)
    actives = chosen(actives, options.rules, known) if options.rules else actives
    surroundings = _surroundings(settings, facts)
    problems = Problems()
    live = facts.catalog if facts else None
    paths = schema_paths(settings) if live is None else []
    trees = Trees()  # of what the migrations run, which is mostly DDL files of the schema
    needed = live is None and not paths
    project = _project(settings, options.variables, problems, trees.keep, needed=needed)
    schema = SchemaReader(trees.find)
    for path in paths:
        _read_file(path, settings, options.variables, schema, problems)
    replay = Replay(actives, surroundings, trees.find)
    judged: list[Judged] = []
    applied = {version_key(version) for version in facts.applied} if facts else set()
    if live is not None:
        replay.begin_with(live)
    for plan in project.ups if project else ():
        if version_key(plan.version) not in applied:
            judged += replay.judge(plan)
        elif live is None:
            replay.pass_over(plan)
    catalog = live or together(schema.catalog, replay.catalog)
    judged += judge_schema(actives, catalog, schema.misfits, surroundings)
    ignores = [*schema.ignores, *replay.ignores]
    findings, suppressed = heeding(found(judged), ignores, actives, known, all_judged=live is None)
    return LintReport(
        findings=in_order([*_broken([*problems, *schema.failures, *replay.failures]), *findings]),
        files=len(paths) + (len(project.migrations) if project else 0),
        statements=schema.statements + replay.statements,
        tables=len(catalog.tables),
        rules=len({active.rule.name for active in actives}),
        suppressed=suppressed,
        source=facts.label if facts and live else "files",
    )


def lint_plan(migrations: Sequence[PlannedMigration], settings: Settings, facts: DatabaseFacts) -> PlanJudgement:
    """What is dangerous in migrations that are about to run on a database, and what they lock there.

    Raises InputError where the settings are wrong.
    """
    known = known_rules(settings.linting, settings.root)
    actives = active_rules(settings.linting, known)
    replay = Replay(actives, _surroundings(settings, facts))
    if facts.catalog is not None:
        replay.begin_with(facts.catalog)
    # what this run makes has no rows that anybody waits for, also in the migrations after
    created: set[Name] = set()
    judged: list[Judged] = [one for plan in migrations for one in replay.judge(plan, created)]
    findings, suppressed = heeding(found(judged), replay.ignores, actives, known, all_judged=False)
    report = LintReport(
        findings=in_order([*_broken(replay.failures), *findings]),
        files=len(migrations),
        statements=replay.statements,
        tables=len(replay.catalog.tables),
        rules=len({active.rule.name for active in actives}),
        suppressed=suppressed,
    )
    return PlanJudgement(report=report, locks=replay.locks)


def files_catalog(settings: Settings, variables: Mapping[str, Any]) -> Catalog:
    """The schema that the DDL files and the migrations make. Raises InputError with every mistake in them."""
    problems = Problems()
    paths = schema_paths(settings)
    project = _project(settings, variables, problems, postgast.parse, needed=not paths)
    schema = SchemaReader()
    for path in paths:
        _read_file(path, settings, variables, schema, problems)
    problems.raise_if_any()
    replay = Replay((), _surroundings(settings, None))
    for plan in project.ups if project else ():
        replay.pass_over(plan)
    return together(schema.catalog, replay.catalog)


def schema_paths(settings: Settings) -> list[Path]:
    """The DDL files below the schemas folder in path order, hidden ones left out."""
    found_paths = [
        path
        for path in settings.schemas.rglob("*")
        if path.name.endswith((".sql", TEMPLATE_SUFFIX))
        and not any(part.startswith(".") for part in path.relative_to(settings.schemas).parts)
        and path.is_file()
    ]
    return sorted(found_paths)


def _project(
    settings: Settings, variables: Mapping[str, Any], problems: Problems, parse: Parse, *, needed: bool
) -> Project | None:
    """The project's migrations, None where there is no folder of them and none is `needed`."""
    if not needed and not settings.migrations.exists():
        return None
    return read_project(settings, variables, problems, parse)


def _surroundings(settings: Settings, facts: DatabaseFacts | None) -> Surroundings:
    version = settings.linting.postgres_version or (facts.version if facts else NEWEST_LINTED)
    return Surroundings(settings=settings, postgres_version=version, table_rows=facts.table_rows if facts else {})


class _SchemaContext(RenderContext):
    """What templates below the schemas folder see: no migration runs them here."""

    __slots__ = ()

    def names(self) -> dict[str, Any]:
        return {**self.variables, "vars": self.variables, "environment": self.environment}


def _read_file(
    path: Path, settings: Settings, overrides: Mapping[str, Any], schema: SchemaReader, problems: Problems
) -> None:
    try:
        file = read_source(path, settings.root)
        rendered = _rendered(SourceText(text=file.text, file=file), settings, overrides)
    except InputError as error:
        problems.extend(error.diagnostics)
        return
    except TemplateProblem as problem:
        # names that the settings do not know are left to the migrations that run the file
        problems.extend(one for one in problem.diagnostics if one.code != "undefined-name")
        return
    try:
        schema.read(rendered)
    except Exception:
        _, wrong = parse_statements(rendered.text)
        if not wrong:
            raise
        problems.extend(rendered.diagnostic(one.offset, one.code, one.message, hint=one.hint) for one in wrong)


def _rendered(source: SourceText, settings: Settings, overrides: Mapping[str, Any]) -> Rendered:
    if not source.file.path.endswith(TEMPLATE_SUFFIX):
        return verbatim(source)
    context = _SchemaContext(
        environment=settings.environment, version="", name="", variables={**settings.variables, **overrides}
    )
    return render(source, context)


def is_broken_file(finding: Finding) -> bool:
    """Whether the finding is that a file cannot be read. The codes of such have dashes, the names of rules have not."""
    return "-" in finding.rule


def _broken(problems: Iterable[Diagnostic]) -> Iterator[Finding]:
    """What cannot be read, as findings; a file that several migrations run is told once."""
    for problem in {(one.code, one.span, one.message): one for one in problems}.values():
        yield Finding(
            rule=problem.code,
            severity="warning" if problem.code == NOT_FOLLOWED else "error",
            message=problem.message,
            effect="; ".join(problem.detail),
            hint=problem.hint or "",
            span=problem.span,
            excerpt=problem.excerpt,
        )
