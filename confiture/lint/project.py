"""Linting of a whole project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from confiture.errors import DiagnosticCollector
from confiture.files.access import display_path
from confiture.lint.engine.configuration import ActiveRule, active_rules, select_rules
from confiture.lint.engine.context import DatabaseFacts, LintTarget, lint_target
from confiture.lint.engine.findings import (
    apply_ignores,
    dedupe_findings,
    parse_error_findings,
    sort_findings,
    to_findings,
)
from confiture.lint.engine.replay import check_schema, merge_catalogs
from confiture.lint.engine.rule import Group
from confiture.lint.registry import known_rules
from confiture.lint.schema_files import build_schema
from confiture.models.catalog import Catalog
from confiture.models.findings import Finding, LintReport
from confiture.models.settings import Settings
from confiture.plan.schema_files import SchemaFiles, read_schema_files
from confiture.sql.catalog.builder import CatalogIssue
from confiture.sql.parallel_parse import parse_in_child
from confiture.sql.parse_tree import Parse
from confiture.sql.parser import parse_sql
from confiture.subprocesses import can_fork, run_in_child

if TYPE_CHECKING:
    from confiture.lint.migrations import MigrationLintResult

_T = TypeVar("_T")
_LARGE = 200_000
"""The minimum size of DDL, in characters, for which starting other processes pays off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LintOptions:
    """Command-line options.

    If `rules` is not empty, only these rules run; `variables` take precedence over all other variables.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()


def check_rule_settings(settings: Settings) -> None:
    """Raise InputError if the settings name rules or rule keys that do not exist."""
    active_rules(settings.linting, known_rules(settings.linting, settings.root))


def lint_project(settings: Settings, options: LintOptions, facts: DatabaseFacts | None = None) -> LintReport:
    """Lint the schema and the migrations of a project.

    The schema comes from the DDL files, or from the database if `facts` contains a schema. In the latter case, only
    migrations that are not yet applied to the database are checked. Files that cannot be read are reported as findings.
    Raises InputError if the settings are invalid, or if there is nothing to read.
    """
    known = known_rules(settings.linting, settings.root)
    actives = active_rules(settings.linting, known)
    actives = select_rules(actives, options.rules, known) if options.rules else actives
    live = facts.catalog if facts else None
    problems = DiagnosticCollector()
    files = read_schema_files(settings, options.variables, problems) if live is None else SchemaFiles()
    needed = live is None and not files.paths

    def lint_in_child(parse: Parse) -> MigrationLintResult:
        # only the process that lints migrations loads the modules for running migrations
        from confiture.lint.migrations import lint_migrations

        return lint_migrations(settings, options.variables, actives, facts, parse, is_required=needed)

    texts = [one.text for one in files.texts]
    is_large = sum(map(len, texts)) >= _LARGE
    with _parse_ahead(texts, lint_in_child, is_large=is_large) as (parse, migrations_result):
        schema = build_schema(files.texts, problems, parse)
        migrations = migrations_result()
        catalog = live or merge_catalogs(schema.catalog, migrations.catalog)
        failures = [*problems, *schema.failures, *migrations.problems]
        # a missing object may be in a file that could not be read
        issues = [one for one in schema.catalog_issues if not failures or one.code != "missing-object"]
        lint_schema = partial(_lint_schema, catalog, issues, lint_target(settings, facts))
        tenancy, others = _split_tenancy_rules(actives)
        with _run_in_background(partial(lint_schema, tenancy), is_large=is_large) as tenancy_result:
            in_schema = [*lint_schema(others), *tenancy_result()]
    findings, suppressed = apply_ignores(
        dedupe_findings([*migrations.findings, *in_schema]),
        [*schema.ignores, *migrations.ignores],
        actives,
        known,
        all_rules_ran=live is None,
    )
    return LintReport(
        findings=sort_findings([*parse_error_findings(failures), *findings]),
        files=len(files.paths) + (migrations.files or 0),
        statements=schema.statements + migrations.statements,
        tables=len(catalog.tables),
        rules=len({active.rule.name for active in actives}),
        suppressed=suppressed,
        notes=tuple(_unchecked_notes(settings, files, migrations)),
        source=facts.label if facts and live else "files",
    )


def _parse_ahead(
    texts: Sequence[str], task: Callable[[Parse], _T], *, is_large: bool
) -> AbstractContextManager[tuple[Parse, Callable[[], _T]]]:
    """Return a function that parses the SQL and a function that returns the task's result.

    Both use other processes for large projects.
    """
    if is_large and can_fork():
        return parse_in_child(texts, task)
    return nullcontext((parse_sql, partial(task, parse_sql)))


def _run_in_background(task: Callable[[], _T], *, is_large: bool) -> AbstractContextManager[Callable[[], _T]]:
    """Return a function that returns the task's result.

    The task runs in another process for large projects, otherwise when the function is called.
    """
    return run_in_child(task) if is_large and can_fork() else nullcontext(task)


def _lint_schema(
    catalog: Catalog, issues: Sequence[CatalogIssue], target: LintTarget, actives: Iterable[ActiveRule]
) -> tuple[Finding, ...]:
    return to_findings(check_schema(actives, catalog, issues, target))


def _split_tenancy_rules(actives: Iterable[ActiveRule]) -> tuple[list[ActiveRule], list[ActiveRule]]:
    """Return the tenancy rules and the other rules. The tenancy rules take longer than all the others together."""
    tenancy = [active for active in actives if active.rule.group is Group.TENANCY]
    return tenancy, [active for active in actives if active.rule.group is not Group.TENANCY]


def _unchecked_notes(settings: Settings, files: SchemaFiles, migrations: MigrationLintResult) -> Iterator[str]:
    """Return notes about everything that was not linted: a missing migrations folder, and templates that no migration
    renders.
    """
    if migrations.files is None:
        yield f"folder {display_path(settings.migrations, settings.root)} does not exist: only the schema was linted"
    yield from migrations.unread_files
    for path in (display_path(path, settings.root) for path in files.templates):
        if path not in migrations.executed_paths:
            yield f"{path} was not linted: it needs variables that only a migration can set, and no migration runs it"
