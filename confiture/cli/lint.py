"""`confiture lint`: find problems in the schema and hazards in the migrations."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.context import CommandContext, error_boundary, parse_variables, usage_error
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DatabaseOptions, FailOn, SettingsOptions, VarOption, format_option
from confiture.cli.protection import reads_database
from confiture.cli.streams import echo_stderr
from confiture.errors import ConfitureError, ExitCode
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat, formats_for

if TYPE_CHECKING:
    from confiture.lint.engine.context import DatabaseFacts
    from confiture.lint.engine.rule import Rule
    from confiture.lint.filters import FindingFilter
    from confiture.lint.project import LintOptions
    from confiture.models.findings import LintReport
    from confiture.models.settings import Settings, Severity


@reads_database
@expand_options
def lint(
    *,
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATHS]...", help="Only report findings in these files or folders.")
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit with 1 if a finding has at least this severity.")
    ] = FailOn.ERROR,
    output_format: Annotated[
        OutputFormat, format_option(Document.FINDINGS, "Output format of the findings on stdout.")
    ] = TEXT,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", metavar="RULE", help="Only run this rule. Repeatable.")
    ] = None,
    changed_since: Annotated[
        str | None,
        typer.Option("--changed-since", metavar="REV", help="Only report findings in changes since this git revision."),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="FILE", help="Ignore the findings recorded in this file.")
    ] = None,
    write_baseline: Annotated[
        bool, typer.Option("--write-baseline", help="Record all findings in the baseline and exit with 0.")
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Apply safe fixes to the files.")] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="REV",
            help="Only check migrations added since this git revision, on the schema of its schema files.",
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Lint the schema of the database and its pending migrations.")
    ] = False,
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="RULE", help="Explain a rule: what it finds, the risk, and the fix."),
    ] = None,
    list_rules: Annotated[bool, typer.Option("--list-rules", help="List all rules.")] = False,
    settings_options: DatabaseOptions,
    var: VarOption = None,
) -> None:
    """Find problems in the schema and hazards in the migrations before anything runs.

    Needs a database only with --live. Exits with 1 if there are errors; see --fail-on.

    Examples:

        confiture lint

        confiture lint --changed-since origin/main --format github

        confiture lint --against origin/main

        confiture lint --explain create_index_blocking

        confiture lint --live --env production
    """
    began = time.perf_counter()
    with _gc_disabled(), error_boundary(output_format) as context:
        if explain is not None or list_rules:
            _print_rules(context, _known_rules(context, settings_options), explain)
            return
        from confiture.lint.project import check_rule_settings

        if live and against is not None:
            raise usage_error(
                "--live and --against are mutually exclusive",
                "name one schema before the migrations: that of the database, or that of a revision",
            )
        settings = context.settings(settings_options, needs_database=live, check=check_rule_settings)
        run = _LintRun(context, settings, fail_on, began)
        selection = _LintSelection(paths or (), changed_since, baseline, write_baseline)
        run.lint(_lint_options(var, rule, against), _read_facts(settings) if live else None, selection, fix=fix)


@contextmanager
def _gc_disabled() -> Iterator[None]:
    """Disable the garbage collector: with 10,000 tables, collections are slow and find almost no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            # the remaining objects live until the process ends, so exclude them from the final collection, too
            gc.freeze()
            gc.enable()


@dataclass(frozen=True)
class _LintSelection:
    """The options that select findings."""

    paths: Sequence[Path]
    changed_since: str | None
    baseline: Path | None
    write_baseline: bool


@dataclass(frozen=True)
class _LintRun:
    """A lint run with its settings and output."""

    context: CommandContext
    settings: Settings
    fail_on: FailOn
    began: float

    def lint(self, options: LintOptions, facts: DatabaseFacts | None, selection: _LintSelection, *, fix: bool) -> None:
        """Lint and print the findings. Exit with 1 if a finding has at least the severity of --fail-on."""
        from confiture.lint.project import lint_project

        if selection.write_baseline:
            self._write_baseline(lint_project(self.settings, options, facts), selection.baseline)
            return
        finding_filter = self._build_filter(selection)
        if fix:
            if facts is not None:
                raise usage_error("--fix and --live are mutually exclusive", "remove --live: --fix changes files")
            report = self._fix(options, finding_filter)
        else:
            report = lint_project(self.settings, options, facts)
        filtered = finding_filter.apply(report)
        self._print(filtered)
        failing = _severities_from(self.fail_on)
        if any(finding.severity in failing for finding in filtered.findings):
            raise typer.Exit(ExitCode.FINDINGS)

    def _build_filter(self, selection: _LintSelection) -> FindingFilter:
        from confiture.lint.baseline import read_baseline
        from confiture.lint.filters import FindingFilter, to_finding_paths
        from confiture.lint.git_changes import changed_files
        from confiture.lint.registry import known_rules

        root = self.settings.root
        baseline, within = self._baseline(selection.baseline)
        return FindingFilter(
            paths=to_finding_paths(selection.paths, root),
            changes=changed_files(selection.changed_since, root) if selection.changed_since is not None else None,
            baseline=read_baseline(baseline, root, within, known_rules(self.settings.linting, root))
            if baseline
            else None,
        )

    def _baseline(self, asked: Path | None) -> tuple[Path | None, Sequence[Path] | None]:
        """Return the baseline and the folders that must contain it; a baseline given by the option may be anywhere."""
        from confiture.files.access import ANYWHERE

        if asked:
            return asked.absolute(), ANYWHERE
        return self.settings.linting.baseline, (self.settings.root,)

    def _fix(self, options: LintOptions, narrowing: FindingFilter) -> LintReport:
        from confiture.lint.fixes import apply_fixes
        from confiture.lint.project import lint_project
        from confiture.text import pluralize

        # each call rereads the settings and the files, which contain the fixes made so far
        fixes = apply_fixes(self.settings, lambda: lint_project(self.settings, options), narrowing.matches)
        echo_stderr(f"fixed {pluralize(len(fixes.fixed), 'finding')}")
        if fixes.rejected:
            echo_stderr(f"did not fix {pluralize(len(fixes.rejected), 'finding')}: the fix would have had side effects")
        if any(finding.migration for finding in fixes.fixed):
            echo_stderr("revert the changes to applied migrations, because changed files are reported as drift")
        return fixes.report

    def _write_baseline(self, report: LintReport, asked: Path | None) -> None:
        from confiture.files.access import write_file
        from confiture.files.settings import FILE_NAME
        from confiture.lint.baseline import DEFAULT_NAME, baseline_text
        from confiture.lint.engine.findings import is_parse_error
        from confiture.text import pluralize

        configured, within = self._baseline(asked)
        path = configured or self.settings.root / DEFAULT_NAME
        findings = [finding for finding in report.findings if not is_parse_error(finding)]
        write_file(path, os.path.relpath(path), baseline_text(findings).encode(), within)
        echo_stderr(f"wrote {pluralize(len(findings), 'finding')} to {os.path.relpath(path)}")
        if asked or not self.settings.linting.baseline:
            setting = os.path.relpath(path.absolute(), self.settings.root)
            echo_stderr(f"Next: add `baseline: {setting}` below `linting:` in {FILE_NAME}.")

    def _print(self, report: LintReport) -> None:
        from confiture.lint.registry import known_rules
        from confiture.output.writer import LintSummary

        self.context.writer.findings(
            LintSummary(
                report=report,
                failing=_severities_from(self.fail_on),
                rules=lambda: known_rules(self.settings.linting, self.settings.root),
                duration_ms=(time.perf_counter() - self.began) * 1000,
            )
        )


def _severities_from(threshold: FailOn) -> tuple[Severity, ...]:
    """Return the severities at or above a threshold."""
    from confiture.models.findings import SEVERITIES

    return SEVERITIES[: SEVERITIES.index(threshold.value) + 1] if threshold is not FailOn.NEVER else ()


def _lint_options(variables: Sequence[str] | None, rules: Sequence[str] | None, against: str | None) -> LintOptions:
    from confiture.lint.project import LintOptions

    return LintOptions(variables=parse_variables(variables or ()), rules=tuple(rules or ()), against=against)


def _read_facts(settings: Settings) -> DatabaseFacts:
    from confiture.core.database_facts import read_database_facts
    from confiture.core.db.connection import resolve_database

    with resolve_database(settings, echo_stderr) as target:
        return read_database_facts(target, settings)


def _known_rules(context: CommandContext, options: SettingsOptions) -> Mapping[str, Rule]:
    """Return the rules of the project that contains the working directory; outside a project, the built-in rules."""
    from confiture.lint.registry import known_rules
    from confiture.models.settings import LintSettings

    try:
        settings = context.settings(options, needs_database=False)
    except ConfitureError as error:
        if options.config is None and error.diagnostics[0].code == "no-project":
            return known_rules(LintSettings(), None)
        raise
    return known_rules(settings.linting, settings.root)


def _print_rules(context: CommandContext, known: Mapping[str, Rule], name: str | None) -> None:
    from confiture.lint.engine.configuration import find_rule

    rule = find_rule(name, known) if name is not None else None
    if Document.RULES not in context.output_format.documents:
        allowed = " or ".join(formats_for(Document.RULES))
        raise usage_error(f"--format {context.output_format} does not support rules", f"use --format {allowed}")
    context.writer.rules(known, rule)
