"""Lints a project, or the migrations that are about to run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confiture.core.project import Project, read_project
from confiture.errors import Diagnostic, InputError, Problems
from confiture.files.ddl import TEMPLATE_SUFFIX
from confiture.files.reading import read_source, shown_path
from confiture.lint.baseline import read_baseline, unknown
from confiture.lint.configuration import active_rules, chosen
from confiture.lint.engine import NOT_FOLLOWED, Judged, Replay, SchemaReader, judge_schema, together
from confiture.lint.findings import found, heeding, in_order
from confiture.lint.ignores import ignores_outside
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
from confiture.sql.ahead import parsed_ahead
from confiture.sql.grammar import postgast
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
    problems, unread = Problems(), Problems()
    live = facts.catalog if facts else None
    paths = schema_paths(settings) if live is None else []
    texts, left_out = _texts(paths, settings, options.variables, problems)
    with parsed_ahead([one.text for one in texts]) as parse:
        trees = Trees(parse)  # of what the migrations run, which is mostly DDL files of the schema
        schema = _schema(texts, problems, trees.find)
        needed = live is None and not paths
        project = _project(settings, options.variables, unread, trees.keep, needed=needed)
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
    broken = [*unread, *problems, *schema.failures, *replay.failures]
    # what is not there may be what could not be read
    misfits = [one for one in schema.misfits if not broken or one.code != "missing-object"]
    judged += judge_schema(actives, catalog, misfits, surroundings)
    files = (migration.file for migration in (project.migrations if project else ()))
    outside = [one for file in files for one in ignores_outside(verbatim(SourceText(text=file.text, file=file)))]
    ignores = [*schema.ignores, *replay.ignores, *outside]
    findings, suppressed = heeding(found(judged), ignores, actives, known, all_judged=live is None)
    return LintReport(
        findings=in_order([*_broken(broken), *findings]),
        files=len(paths) + (len(project.migrations) if project else 0),
        statements=schema.statements + replay.statements,
        tables=len(catalog.tables),
        rules=len({active.rule.name for active in actives}),
        suppressed=suppressed,
        notes=tuple(_notes(settings, project, left_out)),
        source=facts.label if facts and live else "files",
    )


def _notes(settings: Settings, project: Project | None, left_out: Iterable[Path]) -> Iterator[str]:
    """What nobody judged: migrations that are not there, and templates that no migration renders."""
    if project is None:
        yield f"there is no folder {shown_path(settings.migrations, settings.root)}, so only the schema is judged"
    steps = (step for plan in (project.ups if project else ()) for segment in plan.segments for step in segment.steps)
    run = {step.rendered.source.file.path for step in steps}
    for path in (shown_path(path, settings.root) for path in left_out):
        if path not in run:
            yield f"{path} is not judged: it needs variables that only a migration can give, and no migration runs it"


def lint_plan(migrations: Sequence[PlannedMigration], settings: Settings, facts: DatabaseFacts) -> PlanJudgement:
    """What is dangerous in migrations that are about to run on a database, and what they lock there.

    What the project's baseline knows is not told. Raises InputError where the settings are wrong, or the baseline
    cannot be read.
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
    baseline = settings.linting.baseline
    new = unknown(findings, read_baseline(baseline, settings.root)) if baseline else findings
    report = LintReport(
        findings=in_order([*_broken(replay.failures), *new]),
        files=len(migrations),
        statements=replay.statements,
        tables=len(replay.catalog.tables),
        rules=len({active.rule.name for active in actives}),
        suppressed=suppressed,
        known=len(findings) - len(new),
    )
    return PlanJudgement(report=report, locks=replay.locks)


def files_catalog(settings: Settings, variables: Mapping[str, Any]) -> Catalog:
    """The schema that the DDL files and the migrations make. Raises InputError with every mistake in them."""
    problems = Problems()
    paths = schema_paths(settings)
    project = _project(settings, variables, problems, postgast.parse, needed=not paths)
    texts, _ = _texts(paths, settings, variables, problems)
    schema = _schema(texts, problems, postgast.parse)
    problems.raise_if_any()
    replay = Replay((), _surroundings(settings, None))
    for plan in project.ups if project else ():
        replay.pass_over(plan)
    return together(schema.catalog, replay.catalog)


def schema_paths(settings: Settings) -> list[Path]:
    """The DDL files below the schemas folder in path order, hidden ones left out."""
    return [Path(path) for path in _below(settings.schemas)]


def _below(folder: Path | str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # not there, or not to be read
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)
        elif entry.name.endswith((".sql", TEMPLATE_SUFFIX)) and entry.is_file():
            yield entry.path


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


def _texts(
    paths: Iterable[Path], settings: Settings, overrides: Mapping[str, Any], problems: Problems
) -> tuple[Sequence[Rendered], Sequence[Path]]:
    """What DDL files say, and the files that are left to the migrations that run them: templates with names that the
    settings do not know.
    """
    texts: list[Rendered] = []
    left_out: list[Path] = []
    for path in paths:
        try:
            file = read_source(path, settings.root)
            texts.append(_rendered(SourceText(text=file.text, file=file), settings, overrides))
        except InputError as error:
            problems.extend(error.diagnostics)
        except TemplateProblem as problem:
            wrong = [one for one in problem.diagnostics if one.code != "undefined-name"]
            problems.extend(wrong)
            if not wrong:
                left_out.append(path)
    return texts, left_out


def _schema(texts: Iterable[Rendered], problems: Problems, parse: Parse) -> SchemaReader:
    """The schema that the texts of DDL files make."""
    schema = SchemaReader(parse)
    for rendered in texts:
        _read(rendered, schema, problems)
    return schema


def _read(rendered: Rendered, schema: SchemaReader, problems: Problems) -> None:
    """Adds a DDL file, or what is wrong with it."""
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
