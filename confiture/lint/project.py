"""Linting of a whole project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

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
from confiture.lint.engine.ignores import IgnoreComment
from confiture.lint.engine.replay import MigrationReplay, SchemaReader, check_schema
from confiture.lint.engine.rule import Rule, SchemaFilesRule, SchemaRule, StatementRule
from confiture.lint.migrations import MigrationPlans, lint_migrations
from confiture.lint.registry import known_rules
from confiture.lint.schema_after import check_schema_files, merge_catalogs
from confiture.lint.schema_before import SchemaBefore, SchemaOrigin, find_schema_before
from confiture.lint.schema_files import build_schema
from confiture.models.catalog import Catalog
from confiture.models.findings import Finding, LintReport
from confiture.models.settings import Settings
from confiture.plan.schema_files import SchemaFiles, read_schema_files
from confiture.sql.catalog.builder import CatalogIssue
from confiture.sql.parallel_parse import parse_in_child
from confiture.sql.parse_tree import Parse, ParseCache
from confiture.sql.parser import parse_sql
from confiture.subprocesses import can_fork, run_in_child
from confiture.text import pluralize

_T = TypeVar("_T")
_LARGE = 200_000
"""The minimum size of DDL, in characters, for which starting other processes pays off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LintOptions:
    """Command-line options.

    If `rules` is not empty, only these rules run; `variables` take precedence over all other variables. With `against`,
    a git revision, only migrations that are new or changed since then are checked, on the schema of its schema files.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    against: str | None = None


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
    target = lint_target(settings, facts)

    def plan_in_child(parse: Parse) -> MigrationPlans:
        # only the process that plans migrations loads the modules for running migrations
        from confiture.lint.migration_plans import plan_migrations

        return plan_migrations(settings, options.variables, parse, is_required=live is None and not files.paths)

    texts = [one.text for one in files.texts]
    is_large = sum(map(len, texts)) >= _LARGE
    with _parse_ahead(texts, plan_in_child, is_large=is_large) as (parse, migration_plans):
        schema = build_schema(files.texts, problems, parse)
        plans = migration_plans()
        trees = ParseCache(parse)  # most texts are read twice
        failures = [*problems, *schema.failures, *plans.problems]
        # a missing object may be in a file that could not be read
        issues = [one for one in schema.catalog_issues if not failures or one.code != "missing-object"]
        lint_schema = partial(_lint_schema, actives=actives, issues=issues, target=target)
        first_catalog = live or schema.catalog
        # the migrations of most projects create what the schema files describe
        with _run_in_background(partial(lint_schema, first_catalog), is_large=is_large) as first_findings:
            before = find_schema_before(
                settings, options.variables, plans.ups, schema.catalog, facts, options.against, trees.put
            )
            replay = MigrationReplay(actives, target, trees.get)
            in_migrations = lint_migrations(before, replay)
            failures += replay.failures
            # after an error in a migration, its effects are unknown
            executed = frozenset[str]() if failures else plans.executed_paths
            catalog = live or merge_catalogs(schema.catalog, replay.catalog, executed)
            in_schema = first_findings() if catalog is first_catalog else lint_schema(catalog)
    is_comparable = live is None and files.paths and plans.ups and not failures
    unknown = [*_unknown_effects(settings, files, schema, plans, replay)] if is_comparable else []
    if is_comparable and not unknown:
        in_schema += to_findings(check_schema_files(schema, replay, actives))
    findings, suppressed = apply_ignores(
        dedupe_findings([*in_migrations, *in_schema]),
        [*schema.ignores, *replay.ignores, *plans.misplaced_ignores],
        actives,
        known,
        can_be_unused=partial(_is_checked, plans, before),
    )
    return LintReport(
        findings=sort_findings([*parse_error_findings(failures), *findings]),
        files=len(files.paths) + (plans.files or 0),
        statements=schema.statements + replay.statements,
        tables=len(catalog.tables),
        rules=len({active.rule.name for active in actives}),
        suppressed=suppressed,
        notes=(*_unchecked_notes(settings, files, plans), *before.notes(), *_uncompared_notes(unknown, actives)),
        source=facts.label if facts and live else "files",
        before=before.source.value,
        before_name=before.name,
    )


def catalog_from_files(settings: Settings, overrides: Mapping[str, Any]) -> Catalog:
    """Return the schema that the DDL files and migrations create. Raises InputError with all errors in the files."""
    from confiture.lint.migration_plans import plan_migrations

    problems = DiagnosticCollector()
    files = read_schema_files(settings, overrides, problems)
    plans = plan_migrations(settings, overrides, parse_sql, is_required=not files.paths)
    problems.extend(plans.problems)
    schema = build_schema(files.texts, problems, parse_sql)
    problems.raise_if_any()
    before = find_schema_before(settings, overrides, plans.ups, schema.catalog, None, None, parse_sql)
    replay = MigrationReplay((), lint_target(settings, None))
    lint_migrations(before, replay)
    return merge_catalogs(schema.catalog, replay.catalog, plans.executed_paths)


def _parse_ahead(
    texts: Sequence[str], task: Callable[[Parse], _T], *, is_large: bool
) -> AbstractContextManager[tuple[Parse, Callable[[], _T]]]:
    """Return a function that parses the SQL and a function that returns the task's result.

    Both use other processes for large projects.
    """
    if is_large and can_fork():
        return parse_in_child(texts, task)
    trees = ParseCache(parse_sql)
    return nullcontext((trees.get, partial(task, trees.put)))


def _run_in_background(task: Callable[[], _T], *, is_large: bool) -> AbstractContextManager[Callable[[], _T]]:
    """Return a function that returns the task's result.

    The task runs in another process for large projects, otherwise when the function is called.
    """
    return run_in_child(task) if is_large and can_fork() else nullcontext(task)


def _lint_schema(
    catalog: Catalog, issues: Sequence[CatalogIssue], target: LintTarget, actives: Iterable[ActiveRule]
) -> tuple[Finding, ...]:
    return to_findings(check_schema(actives, catalog, issues, target))


def _is_checked(plans: MigrationPlans, before: SchemaBefore, ignore: IgnoreComment, rule: Rule) -> bool:
    """Whether a rule checked the SQL around an ignore comment.

    The statements of a pinned file are checked in the pin, and its objects in the schema file.
    """
    if before.source in (SchemaOrigin.DATABASE, SchemaOrigin.REVISION):
        return False
    path = ignore.span.path
    if path in plans.pins:
        return not isinstance(rule, SchemaRule)
    is_copied = path in plans.pinned_paths and path not in plans.executed_paths
    return not (is_copied and isinstance(rule, StatementRule))


def _unchecked_notes(settings: Settings, files: SchemaFiles, migrations: MigrationPlans) -> Iterator[str]:
    """Return notes about everything that was not linted: a missing migrations folder, and templates that no migration
    renders.
    """
    if migrations.files is None:
        yield f"folder {display_path(settings.migrations, settings.root)} does not exist: only the schema was linted"
    yield from migrations.unread_files
    for path in (display_path(path, settings.root) for path in files.templates):
        if path not in migrations.executed_paths | migrations.pinned_paths:
            yield f"{path} was not linted: it needs variables that only a migration can set, and no migration runs it"


def _unknown_effects(
    settings: Settings, files: SchemaFiles, schema: SchemaReader, plans: MigrationPlans, replay: MigrationReplay
) -> Iterator[str]:
    """Yield the places with unknown effects on the schema: in the schema files, then in the migrations."""
    yield from (display_path(path, settings.root) for path in files.templates)
    yield from (str(one.location.span) for one in schema.catalog_issues if one.code == "opaque")
    yield from plans.unknown_steps
    yield from (str(one.location.span) for one in replay.catalog_issues if one.code == "opaque")


def _uncompared_notes(unknown: Sequence[str], actives: Iterable[ActiveRule]) -> Iterator[str]:
    """Return a note if the schema files were not compared with the migrations."""
    if unknown and any(isinstance(active.rule, SchemaFilesRule) for active in actives):
        others = f" and {pluralize(len(unknown) - 1, 'other place')}" if len(unknown) > 1 else ""
        yield (
            "the schema files were not compared with the migrations, because the effect on the schema is unknown in"
            f" {unknown[0]}{others}"
        )
