"""Run a command that emits events, show its progress, and print the report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from confiture.cli.context import (
    CommandContext,
    apply_redaction,
    parse_database_option,
    parse_duration_option,
    usage_error,
)
from confiture.cli.options import DryRunFlags, OutputFiles, UpDryRunFlags
from confiture.cli.protection import WriteFlags, request_write
from confiture.cli.run_notification import call_run_finished
from confiture.cli.streams import echo_stderr
from confiture.errors import ConfitureError
from confiture.models.identity import WriteRequest

if TYPE_CHECKING:
    from confiture.core.db.connection import ConnectionTarget
    from confiture.core.run.context import DryRunOptions, ProofOptions
    from confiture.models.events import Emit
    from confiture.models.reports import RunReport
    from confiture.models.settings import Settings


def run_and_report(
    context: CommandContext,
    settings: Settings,
    files: OutputFiles,
    run: Callable[[ConnectionTarget, WriteRequest, Emit], None],
    flags: WriteFlags | None,
) -> None:
    """Run on the database from the settings, show the progress, print the report, and write the output files.

    `flags` contains the confirmation, which may need a question; None for a dry run. Raise `typer.Exit` with the exit
    code of the error if the run failed.
    """
    from confiture.core.db.connection import resolve_database
    from confiture.models.events import Emitter
    from confiture.models.report_builder import ReportBuilder
    from confiture.output.terminal.console import stderr_console
    from confiture.output.terminal.progress import choose_view

    apply_redaction(files.redact)
    _check_output_options(files)
    builder = ReportBuilder()
    listeners: list[Emit] = [builder]
    error: ConfitureError | None = None
    with ExitStack() as stack:
        listeners += _open_listeners(files, stack)
        target = stack.enter_context(resolve_database(settings, echo_stderr))
        request = request_write(context, settings, target, flags) if flags else WriteRequest()
        view = choose_view(stderr_console(), is_quiet=files.quiet, is_verbose=files.verbose)
        emitter = Emitter(*listeners, view)
        try:
            with view:
                run(target, request, emitter)
        except ConfitureError as failure:
            error = failure
        finally:
            _report_listener_failures(emitter.failures)
    if error and builder.report.outcome is None:
        raise error  # the run never started, so there is nothing to report
    call_run_finished(settings, builder.report)
    if not (files.quiet and context.output_format.is_text):
        context.writer.run(builder.report)
    if files.report is not None:
        _write_page(files.report, builder.report)
    if error:
        if context.output_format.is_text:
            context.print_failure(error.diagnostics)
        raise typer.Exit(error.exit_code)


def _check_output_options(files: OutputFiles) -> None:
    """Raise InputError for options that exclude each other, and for a report that cannot be written."""
    if files.quiet and files.verbose:
        raise usage_error("--quiet and --verbose are mutually exclusive", "remove one of them")
    named = [path for path in (files.report, files.events, files.log_file) if path is not None]
    if len(set(named)) < len(named):
        raise usage_error("--report, --events and --log-file name the same file", "use separate files")
    if files.report is not None:
        _check_writable(files.report)


def _open_listeners(files: OutputFiles, stack: ExitStack) -> list[Emit]:
    """Open the files that receive each event; the stack closes them."""
    listeners: list[Emit] = []
    if files.events is not None:
        from confiture.output.json.events import EventWriter

        listeners.append(stack.enter_context(EventWriter(files.events)))
    if files.log_file is not None:
        from confiture.output.json.log_file import LogFile

        listeners.append(stack.enter_context(LogFile(files.log_file)))
    return listeners


def _report_listener_failures(failures: Sequence[Exception]) -> None:
    """Print the errors of event listeners; they do not stop the run."""
    for failure in failures:
        echo_stderr(f"parts of the run could not be shown or written: {failure}")


def _check_writable(page: Path) -> None:
    """Raise InputError before the run if the page cannot be written."""
    from confiture.files.access import is_replaced

    folder = page.absolute().parent
    if not folder.is_dir():
        message = f"--report: the folder {page.parent} does not exist"
    elif page.is_dir():
        message = f"--report {page} is a folder"
    elif not os.access(folder if is_replaced(page) else page, os.W_OK):
        message = f"--report {page} cannot be written"
    else:
        return
    raise usage_error(message, "name a file in a writable folder")


def _write_page(page: Path, report: RunReport) -> None:
    """Write the page. Report a write error without failing: the run itself has finished."""
    from confiture.files.access import FileAccessError, write_named_file
    from confiture.output.html.run_page import run_page

    try:
        write_named_file(page, run_page(report).encode("utf-8", "replace"))
    except FileAccessError as refused:
        echo_stderr(f"the report could not be written to {page}: {refused}")
    else:
        echo_stderr(f"wrote {page}")


def dry_run_options(flags: DryRunFlags, write: WriteFlags | None = None, *, dry_run: bool) -> DryRunOptions:
    """Return the engine's dry-run options.

    Raise InputError if dry-run flags are passed without --dry-run, or those of a real run with --dry-run.
    """
    from confiture.core.run.context import DryRunOptions

    if dry_run and write and write.confirm is not None:
        raise usage_error("--confirm is not valid with --dry-run", "confirm a dry run with `--yes`")
    if dry_run and write and write.reason is not None:
        raise usage_error("--reason is not valid with --dry-run", "remove it: a dry run leaves no history")
    if flags.flag_names and not dry_run:
        verb = "is" if len(flags.flag_names) == 1 else "are"
        message = f"{', '.join(flags.flag_names)} {verb} only valid with --dry-run"
        options = "option" if len(flags.flag_names) == 1 else "options"
        raise usage_error(message, f"add --dry-run, or remove the {options}")
    scale_to, full = (flags.scale_to, flags.full) if isinstance(flags, UpDryRunFlags) else (None, False)
    target = parse_database_option("--scale-to", scale_to) if scale_to is not None else None
    return DryRunOptions(
        repeat=flags.repeat or 1, scale_to=target, confirmed=flags.yes, full=full, proofs=_proof_options(flags)
    )


def _proof_options(flags: DryRunFlags) -> ProofOptions | None:
    from confiture.core.run.context import USUAL_MS, ProofOptions
    from confiture.models.tenancy_proofs import DEFAULT_TENANTS

    if flags.no_prove:
        if flags.tenants is not None or flags.prove_time is not None:
            raise usage_error(
                "--no-prove cannot be combined with --tenants or --prove-time", "remove --no-prove or the proof options"
            )
        return None
    limit_ms = USUAL_MS if flags.prove_time is None else parse_duration_option("--prove-time", flags.prove_time)
    return ProofOptions(tenants=flags.tenants or DEFAULT_TENANTS, limit_ms=limit_ms)
