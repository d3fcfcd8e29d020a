"""Runs something that emits events, shows them as they come, and prints the report."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from confiture.cli.context import Scope, print_failure, say
from confiture.cli.options import Format
from confiture.errors import ConfitureError, Diagnostic, InputError

if TYPE_CHECKING:
    from confiture.core.database import Database
    from confiture.core.events import Emit
    from confiture.core.run import RehearsalOptions
    from confiture.models.reports import RunReport
    from confiture.models.settings import Settings


def run_and_report(scope: Scope, settings: Settings, page: Path | None, work: Callable[[Database, Emit], None]) -> None:
    """Does the work on the database of the settings; `page` is where the report goes as HTML, too.

    Ends the command with the exit code of what went wrong.
    """
    from confiture.core.database import open_database
    from confiture.core.events import Emitter
    from confiture.report.folding import Folding
    from confiture.report.live import view_for
    from confiture.report.terminal import talk_console

    if page is not None and not page.absolute().parent.is_dir():
        message = f"there is no folder {page.parent}"
        raise InputError(Diagnostic(code="bad-option", message=message, hint="--report names a file in a folder"))
    folding = Folding()
    error: ConfitureError | None = None
    with open_database(settings, say) as target:
        try:
            with view_for(talk_console()) as view:
                work(target, Emitter(folding, view))
        except ConfitureError as failure:
            error = failure
    if error and folding.report.outcome is None:
        raise error  # it never began: there is no run to report
    print_report(scope, folding.report)
    if page is not None:
        _write_page(page, folding.report)
    if error:
        if scope.form is Format.TEXT:
            print_failure(scope, error.diagnostics)
        raise typer.Exit(error.exit_code)


def print_report(scope: Scope, report: RunReport) -> None:
    """The report on stdout, in the format asked for."""
    if scope.form in (Format.TEXT, Format.GITHUB):
        from confiture.report.terminal import data_console, print_run

        print_run(data_console(), report)
    if scope.form is not Format.TEXT:
        sys.stdout.write(_document(scope, report))


def _document(scope: Scope, report: RunReport) -> str:
    if scope.form is Format.JSON:
        from confiture.report.machine import as_text, run_document

        return as_text(run_document(report))
    if scope.form is Format.GITHUB:
        from confiture.report.github import error_commands, warning_commands

        warnings = warning_commands(report.warnings, scope.root, os.environ)
        return warnings + error_commands(report.diagnostics, scope.root, os.environ)
    if scope.form is Format.MARKDOWN:
        from confiture.report.markdown import run_markdown

        return run_markdown(report)
    from confiture.report.junit import run_xml

    return run_xml(report)


def _write_page(page: Path, report: RunReport) -> None:
    from confiture.report.html import run_page

    page.write_text(run_page(report), encoding="utf-8")
    say(f"wrote {page}")


def rehearsal_options(repeat: int, scale_to: str | None, yes: bool) -> RehearsalOptions:
    """The options of a dry run, as the engine takes them."""
    from confiture.core.database import Database, label_of
    from confiture.core.run import RehearsalOptions
    from confiture.models.settings import DatabaseSettings

    target = None
    if scale_to is not None:
        label = label_of(DatabaseSettings(url=scale_to))
        target = Database(conninfo=scale_to, label=label, origin="--scale-to")
    return RehearsalOptions(repeat=repeat, scale_to=target, confirmed=yes)
