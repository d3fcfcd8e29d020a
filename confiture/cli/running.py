"""Runs something that emits events, shows them as they come, and prints the report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from confiture.cli.context import CommandContext, bad_option, parse_time
from confiture.cli.options import DryRunFlags, OutputFiles, UpDryRunFlags
from confiture.cli.streams import say
from confiture.errors import ConfitureError

if TYPE_CHECKING:
    from confiture.core.database import Database
    from confiture.core.events import Emit
    from confiture.core.run.context import ProofOptions, RehearsalOptions
    from confiture.models.reports import RunReport
    from confiture.models.settings import Settings


def run_and_report(
    context: CommandContext, settings: Settings, files: OutputFiles, run: Callable[[Database, Emit], None]
) -> None:
    """Run on the database of the settings, show the progress, print the report and write the files.

    Ends the command with the exit code of what went wrong.
    """
    from confiture.core.database import open_database
    from confiture.core.events import Emitter
    from confiture.models.folding import Folding
    from confiture.report.live import view_for
    from confiture.report.terminal import talk_console

    if files.report is not None:
        _require_writable(files.report)
        if files.report == files.events:
            raise bad_option("--report and --events name the same file", "write each to a file of its own")
    folding = Folding()
    listeners: list[Emit] = [folding]
    error: ConfitureError | None = None
    with ExitStack() as stack:
        if files.events is not None:
            from confiture.report.events import EventFile

            listeners.append(stack.enter_context(EventFile(files.events)))
        target = stack.enter_context(open_database(settings, say))
        view = view_for(talk_console())
        emitter = Emitter(*listeners, view)
        try:
            with view:
                run(target, emitter)
        except ConfitureError as failure:
            error = failure
        finally:
            _tell_failures(emitter.failures)
    if error and folding.report.outcome is None:
        raise error  # it never began: there is no run to report
    context.writer.run(folding.report)
    if files.report is not None:
        _write_page(files.report, folding.report)
    if error:
        if context.output_format.is_text:
            context.print_failure(error.diagnostics)
        raise typer.Exit(error.exit_code)


def _tell_failures(failures: Sequence[Exception]) -> None:
    """Says what failed to listen to the run, which went on without it."""
    for failure in failures:
        say(f"not all of the run could be shown or written: {failure}")


def _require_writable(page: Path) -> None:
    """Raises InputError where no page can be written, before anything runs."""
    from confiture.files.access import is_replaced

    folder = page.absolute().parent
    if not folder.is_dir():
        message = f"there is no folder {page.parent}"
    elif page.is_dir():
        message = f"--report {page} is a folder"
    elif not os.access(folder if is_replaced(page) else page, os.W_OK):
        message = f"--report {page} cannot be written"
    else:
        return
    raise bad_option(message, "--report names a file in a folder that you may write to")


def _write_page(page: Path, report: RunReport) -> None:
    """Writes the page. That it cannot be written is only told: what the run did, it did."""
    from confiture.files.access import FileRefused, write_named_file
    from confiture.report.html import run_page

    try:
        write_named_file(page, run_page(report).encode("utf-8", "replace"))
    except FileRefused as refused:
        say(f"the report could not be written to {page}: {refused}")
    else:
        say(f"wrote {page}")


def dry_run_options(flags: DryRunFlags, *, dry_run: bool) -> RehearsalOptions:
    """The options of a dry run, as the engine takes them. Raises InputError where they are given to a real run."""
    from confiture.core.run.context import RehearsalOptions

    if flags.flag_names and not dry_run:
        message = f"{', '.join(flags.flag_names)} without --dry-run: a real run knows no such option"
        raise bad_option(message, "add --dry-run, or leave it out")
    scale_to, full = (flags.scale_to, flags.full) if isinstance(flags, UpDryRunFlags) else (None, False)
    target = _scale_target(scale_to) if scale_to is not None else None
    return RehearsalOptions(
        repeat=flags.repeat or 1, scale_to=target, confirmed=flags.yes, full=full, proofs=_proofs(flags)
    )


def _proofs(flags: DryRunFlags) -> ProofOptions | None:
    from confiture.core.run.context import USUAL_MS, ProofOptions
    from confiture.models.isolation import DEFAULT_TENANTS

    if flags.no_prove:
        if flags.tenants is not None or flags.prove_time is not None:
            raise bad_option("--no-prove with --tenants or --prove-time", "leave one out")
        return None
    limit_ms = USUAL_MS if flags.prove_time is None else parse_time("--prove-time", flags.prove_time)
    return ProofOptions(tenants=flags.tenants or DEFAULT_TENANTS, limit_ms=limit_ms)


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
