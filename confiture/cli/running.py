"""Runs something that emits events, shows them as they come, and prints the report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from confiture.cli.context import Scope, bad_option, parse_time, print_failure
from confiture.cli.options import Format
from confiture.cli.streams import say, write_document
from confiture.errors import ConfitureError

if TYPE_CHECKING:
    from confiture.core.database import Database
    from confiture.core.events import Emit
    from confiture.core.run.context import ProofOptions, RehearsalOptions
    from confiture.models.reports import RunReport
    from confiture.models.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Copies:
    """The files that a run is written to as well: `report` as one HTML page, `events` as JSON lines."""

    report: Path | None
    events: Path | None


def run_and_report(scope: Scope, settings: Settings, copies: Copies, work: Callable[[Database, Emit], None]) -> None:
    """Does the work on the database of the settings, shows it and writes the copies asked for.

    Ends the command with the exit code of what went wrong.
    """
    from confiture.core.database import open_database
    from confiture.core.events import Emitter
    from confiture.models.folding import Folding
    from confiture.report.live import view_for
    from confiture.report.terminal import talk_console

    if copies.report is not None:
        _require_writable(copies.report)
        if copies.report == copies.events:
            raise bad_option("--report and --events name the same file", "write each to a file of its own")
    folding = Folding()
    listeners: list[Emit] = [folding]
    error: ConfitureError | None = None
    with ExitStack() as stack:
        if copies.events is not None:
            from confiture.report.events import EventFile

            listeners.append(stack.enter_context(EventFile(copies.events)))
        target = stack.enter_context(open_database(settings, say))
        view = view_for(talk_console())
        emitter = Emitter(*listeners, view)
        try:
            with view:
                work(target, emitter)
        except ConfitureError as failure:
            error = failure
        finally:
            _tell_failures(emitter.failures)
    if error and folding.report.outcome is None:
        raise error  # it never began: there is no run to report
    print_report(scope, folding.report)
    if copies.report is not None:
        _write_page(copies.report, folding.report)
    if error:
        if scope.form is Format.TEXT:
            print_failure(scope, error.diagnostics)
        raise typer.Exit(error.exit_code)


def _tell_failures(failures: Sequence[Exception]) -> None:
    """Says what failed to listen to the run, which went on without it."""
    for failure in failures:
        say(f"not all of the run could be shown or written: {failure}")


def print_report(scope: Scope, report: RunReport) -> None:
    """The report on stdout, in the format asked for."""
    if scope.form in (Format.TEXT, Format.GITHUB):
        from confiture.report.runs import print_run
        from confiture.report.terminal import data_console

        print_run(data_console(), report)
    if scope.form is not Format.TEXT:
        write_document(_document(scope, report), is_commands=scope.form is Format.GITHUB)


def _document(scope: Scope, report: RunReport) -> str:
    if scope.form is Format.JSON:
        from confiture.report.machine import as_text, run_document

        return as_text(run_document(report))
    if scope.form is Format.GITHUB:
        from confiture.report.github import error_commands, finding_commands, warning_commands

        warnings = finding_commands(report.findings, scope.root, os.environ)
        warnings += warning_commands(report.warnings, scope.root, os.environ)
        return warnings + error_commands(report.diagnostics, scope.root, os.environ)
    if scope.form is Format.MARKDOWN:
        from confiture.report.markdown import run_markdown

        return run_markdown(report)
    from confiture.report.junit import run_xml

    return run_xml(report)


def _require_writable(page: Path) -> None:
    """Raises InputError where no page can be written, before anything runs."""
    folder = page.absolute().parent
    if not folder.is_dir():
        message = f"there is no folder {page.parent}"
    elif page.is_dir():
        message = f"--report {page} is a folder"
    elif not os.access(page if page.exists() else folder, os.W_OK):
        message = f"--report {page} cannot be written"
    else:
        return
    raise bad_option(message, "--report names a file in a folder that you may write to")


def _write_page(page: Path, report: RunReport) -> None:
    """Writes the page. That it cannot be written is only told: what the run did, it did."""
    from confiture.report.html import run_page

    try:
        page.write_text(run_page(report), encoding="utf-8", errors="replace")
    except OSError as error:
        say(f"the report could not be written to {page}: {error.strerror or error}")
    else:
        say(f"wrote {page}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The options of a dry run as they were given; None and False stand for those that were not."""

    repeat: int | None = None
    scale_to: str | None = None
    yes: bool = False
    full: bool = False
    no_prove: bool = False
    tenants: int | None = None
    prove_time: str | None = None

    @property
    def given(self) -> list[str]:
        """Their names."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [f"--{name.replace('_', '-')}" for name, value in values if value not in (None, False)]


def rehearsal_options(asked: Asked, *, dry_run: bool) -> RehearsalOptions:
    """The options of a dry run, as the engine takes them. Raises InputError where they are given to a real run."""
    from confiture.core.run.context import RehearsalOptions

    if asked.given and not dry_run:
        message = f"{', '.join(asked.given)} without --dry-run: a real run knows no such option"
        raise bad_option(message, "add --dry-run, or leave it out")
    target = _scale_target(asked.scale_to) if asked.scale_to is not None else None
    return RehearsalOptions(
        repeat=asked.repeat or 1, scale_to=target, confirmed=asked.yes, full=asked.full, proofs=_proofs(asked)
    )


def _proofs(asked: Asked) -> ProofOptions | None:
    from confiture.core.run.context import USUAL_MS, ProofOptions
    from confiture.models.isolation import DEFAULT_TENANTS

    if asked.no_prove:
        if asked.tenants is not None or asked.prove_time is not None:
            raise bad_option("--no-prove with --tenants or --prove-time", "leave one out")
        return None
    limit_ms = USUAL_MS if asked.prove_time is None else parse_time("--prove-time", asked.prove_time)
    return ProofOptions(tenants=asked.tenants or DEFAULT_TENANTS, limit_ms=limit_ms)


def _scale_target(url: str) -> Database:
    """The database of `--scale-to`. Raises InputError where it is none; the URL is never told, it may hold secrets."""
    from confiture.core.database import Database, label_of
    from confiture.models.settings import EMBEDDED, DatabaseSettings

    if url == EMBEDDED:
        raise bad_option(
            "--scale-to embedded: that is no database URL", "`confiture db url` prints the embedded server's"
        )
    if not _is_conninfo(url):
        raise bad_option("what --scale-to was given is no database URL", "for example postgresql://user@host:5432/name")
    return Database(conninfo=url, label=label_of(DatabaseSettings(url=url)), origin="--scale-to")


def _is_conninfo(text: str) -> bool:
    from psycopg import Error
    from psycopg.conninfo import conninfo_to_dict

    try:
        return bool(conninfo_to_dict(text))
    except (Error, UnicodeError):
        return False
