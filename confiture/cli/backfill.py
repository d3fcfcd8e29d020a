"""`confiture backfill`: monitor, pause, resume and cancel batched backfills from any terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.context import CommandContext, error_boundary, parse_wait
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DEFAULT_WAIT, DatabaseOptions, format_option
from confiture.cli.protection import ConfirmFlags, reads_database, request_write, writes_database
from confiture.cli.streams import echo_stderr
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

if TYPE_CHECKING:
    from confiture.core.db.connection import Connection, ConnectionTarget
    from confiture.models.backfills import BackfillState
    from confiture.models.history import HistoryKey

app = typer.Typer(
    help="Monitor, pause, resume and cancel batched backfills from any terminal.\n\n"
    "Example: confiture backfill status --watch",
    no_args_is_help=True,
)
VersionArgument = Annotated[
    str | None, typer.Argument(metavar="[VERSION]", help="The version of the migration; default: the unfinished one.")
]


@contextmanager
def _backfill_connection(
    context: CommandContext, options: DatabaseOptions, flags: ConfirmFlags | None = None
) -> Iterator[tuple[Connection, ConnectionTarget, HistoryKey]]:
    """Open a connection for a command that reads, or that writes if there are `flags`."""
    from confiture.core.db.connection import connect_for_query, resolve_database
    from confiture.core.db.identity_store import IdentityStore

    settings = context.settings(options)
    with resolve_database(settings, echo_stderr) as target:
        request = request_write(context, settings, target, flags) if flags else None
        failure = "backfills cannot be read or controlled"
        with connect_for_query(target, "backfill control", failure) as connection:
            identity = IdentityStore(connection)
            if request is None:
                identity.check(settings, only_reads=True)
            else:
                identity.check_write(settings, request, needs_reason=False)
            yield connection, target, settings.history


@app.command(short_help="Show backfill progress.")
@reads_database
@expand_options
def status(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Include finished backfills.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh twice a second until Ctrl-C.")] = False,
    settings_options: DatabaseOptions,
    output_format: Annotated[OutputFormat, format_option(Document.BACKFILLS, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Show each backfill's progress, batch size, and what it is waiting for.

    Example: confiture backfill status --watch --env production
    """
    with (
        error_boundary(output_format) as context,
        _backfill_connection(context, settings_options) as (connection, target, history),
    ):
        from confiture.core.backfill.control import list_backfills
        from confiture.output.terminal.backfills import backfills_table
        from confiture.output.terminal.console import watch_view

        def read_states() -> list[BackfillState]:
            states = list_backfills(connection, history)
            return [state for state in states if everything or state.state != "done"]

        if watch and output_format.is_text:
            watch_view(lambda: backfills_table(read_states(), target.label))
        else:
            context.writer.backfills(read_states(), target.label)


@app.command(short_help="Pause a backfill after its current batch.")
@writes_database
@expand_options
def pause(
    *,
    version: VersionArgument = None,
    flags: ConfirmFlags,
    settings_options: DatabaseOptions,
) -> None:
    """Pause a backfill. Its workers finish their current batch and hold no locks while paused.

    Example: confiture backfill pause
    """
    with (
        error_boundary() as context,
        _backfill_connection(context, settings_options, flags) as (connection, _, history),
    ):
        from confiture.core.backfill.control import request_control

        state = request_control(connection, history, version, "pause")
        when = "will pause within a second" if state.is_running else "is not running; its next run will start paused"
        echo_stderr(f"{state.version} {state.step}: the backfill {when}. To continue, run `confiture backfill resume`.")


@app.command(short_help="Resume a paused backfill.")
@writes_database
@expand_options
def resume(
    *,
    version: VersionArgument = None,
    flags: ConfirmFlags,
    settings_options: DatabaseOptions,
) -> None:
    """Resume a paused backfill. If the run has ended, continue the backfill with `confiture migrate up`.

    Example: confiture backfill resume
    """
    with (
        error_boundary() as context,
        _backfill_connection(context, settings_options, flags) as (connection, _, history),
    ):
        from confiture.core.backfill.control import request_control

        state = request_control(connection, history, version, "run")
        if state.is_running:
            echo_stderr(f"{state.version} {state.step}: the backfill will resume within a second.")
        else:
            echo_stderr(f"{state.version} {state.step}: the backfill is not running. Next: run `confiture migrate up`.")


@app.command(short_help="Cancel a backfill and discard its progress.")
@writes_database
@expand_options
def cancel(
    *,
    version: VersionArgument = None,
    flags: ConfirmFlags,
    settings_options: DatabaseOptions,
) -> None:
    """Cancel a backfill: remove its triggers and discard its progress. Rows already filled are kept.

    The next `confiture migrate up` starts the backfill from the beginning, so empty the target table first.

    Example: confiture backfill cancel 012
    """
    with (
        error_boundary() as context,
        _backfill_connection(context, settings_options, flags) as (connection, target, history),
    ):
        from confiture.core.backfill.control import abandon, request_control

        state = request_control(connection, history, version, "cancel")
        if state.is_running:
            echo_stderr(f"{state.version} {state.step}: {state.runner} will cancel the backfill within two seconds.")
        else:
            abandon(connection, target, history, state, lambda _: None, parse_wait(DEFAULT_WAIT))
            echo_stderr(f"{state.version} {state.step}: cancelled. Rows already filled remain in {state.target}.")


@app.command(short_help="Remove leftover triggers from finished backfills.")
@writes_database
@expand_options
def clean(
    *,
    flags: ConfirmFlags,
    settings_options: DatabaseOptions,
) -> None:
    """Remove triggers that finished backfills left behind because they could not acquire the lock.

    Example: confiture backfill clean
    """
    with (
        error_boundary() as context,
        _backfill_connection(context, settings_options, flags) as (connection, _, history),
    ):
        from confiture.core.backfill.control import clean_up_triggers as clean_up
        from confiture.text import pluralize

        removed = clean_up(connection, history)
        echo_stderr(f"Removed triggers from {pluralize(removed, 'backfill')}." if removed else "Nothing to remove.")
