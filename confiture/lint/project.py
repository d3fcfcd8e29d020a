"""Lints a project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from confiture.errors import Problems
from confiture.files.access import shown_path
from confiture.lint.engine.configuration import ActiveRule, active_rules, chosen
from confiture.lint.engine.context import DatabaseFacts, Surroundings, surroundings
from confiture.lint.engine.findings import found, heeding, in_order, merged, unreadable
from confiture.lint.engine.replay import judge_schema, together
from confiture.lint.engine.rule import Group
from confiture.lint.registry import known_rules
from confiture.lint.schema_files import SchemaFiles, build_schema, read_schema_files
from confiture.models.catalog import Catalog
from confiture.models.findings import Finding, LintReport
from confiture.models.settings import Settings
from confiture.processes import may_fork, meanwhile
from confiture.sql.ahead import parsed_ahead
from confiture.sql.catalog.builder import CatalogIssue
from confiture.sql.grammar import parse_sql
from confiture.sql.tree import Parse

if TYPE_CHECKING:
    from confiture.lint.migrations import JudgedMigrations

_T = TypeVar("_T")
_LARGE = 200_000
"""Characters of DDL from which on other processes are no loss: about there, it takes the same time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LintOptions:
    """What the command line says. `rules` are the only ones to judge; `variables` win over all others."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()


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
    live = facts.catalog if facts else None
    problems = Problems()
    files = read_schema_files(settings, options.variables, problems) if live is None else SchemaFiles()
    needed = live is None and not files.paths

    def judged(parse: Parse) -> JudgedMigrations:
        # what it takes to run migrations is loaded by the process that judges them
        from confiture.lint.migrations import judge_migrations

        return judge_migrations(settings, options.variables, actives, facts, parse, needed=needed)

    texts = [one.text for one in files.texts]
    is_large = sum(map(len, texts)) >= _LARGE
    with _ahead(texts, judged, is_large=is_large) as (parse, judged_migrations):
        schema = build_schema(files.texts, problems, parse)
        migrations = judged_migrations()
        catalog = live or together(schema.catalog, migrations.catalog)
        broken = [*problems, *schema.failures, *migrations.problems]
        # what is not there may be what could not be read
        misfits = [one for one in schema.misfits if not broken or one.code != "missing-object"]
        judge = partial(_judge_schema, catalog, misfits, surroundings(settings, facts))
        tenancy, others = _divided(actives)
        with _beside(partial(judge, tenancy), is_large=is_large) as judged_tenancy:
            in_schema = [*judge(others), *judged_tenancy()]
    findings, suppressed = heeding(
        merged([*migrations.findings, *in_schema]),
        [*schema.ignores, *migrations.ignores],
        actives,
        known,
        all_judged=live is None,
    )
    return LintReport(
        findings=in_order([*unreadable(broken), *findings]),
        files=len(files.paths) + (migrations.files or 0),
        statements=schema.statements + migrations.statements,
        tables=len(catalog.tables),
        rules=len({active.rule.name for active in actives}),
        suppressed=suppressed,
        notes=tuple(_notes(settings, files, migrations)),
        source=facts.label if facts and live else "files",
    )


def _ahead(
    texts: Sequence[str], work: Callable[[Parse], _T], *, is_large: bool
) -> AbstractContextManager[tuple[Parse, Callable[[], _T]]]:
    """What parses the texts, and what gives the result of work: in another process where that is a gain."""
    if is_large and may_fork():
        return parsed_ahead(texts, work)
    return nullcontext((parse_sql, partial(work, parse_sql)))


def _beside(work: Callable[[], _T], *, is_large: bool) -> AbstractContextManager[Callable[[], _T]]:
    """What gives the result of work: done in another process where that is a gain, else here once it is asked for."""
    return meanwhile(work) if is_large and may_fork() else nullcontext(work)


def _judge_schema(
    catalog: Catalog, misfits: Sequence[CatalogIssue], surroundings: Surroundings, actives: Iterable[ActiveRule]
) -> tuple[Finding, ...]:
    return found(judge_schema(actives, catalog, misfits, surroundings))


def _divided(actives: Iterable[ActiveRule]) -> tuple[list[ActiveRule], list[ActiveRule]]:
    """The rules of tenancy, which take longer than all others together, and those."""
    tenancy = [active for active in actives if active.rule.group is Group.TENANCY]
    return tenancy, [active for active in actives if active.rule.group is not Group.TENANCY]


def _notes(settings: Settings, files: SchemaFiles, migrations: JudgedMigrations) -> Iterator[str]:
    """What nobody judged: migrations that are not there, and templates that no migration renders."""
    if migrations.files is None:
        yield f"there is no folder {shown_path(settings.migrations, settings.root)}, so only the schema is judged"
    for path in (shown_path(path, settings.root) for path in files.templates):
        if path not in migrations.runs:
            yield f"{path} is not judged: it needs variables that only a migration can give, and no migration runs it"
