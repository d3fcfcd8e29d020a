"""`confiture backfill`: look at batched backfills, pause, resume and cancel them, from any terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.context import CommandContext, error_boundary, parse_wait
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DEFAULT_WAIT, DatabaseOptions, format_option
from confiture.cli.streams import echo_stderr
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

if TYPE_CHECKING:
    from confiture.core.db.connection import Connection, ConnectionTarget
    from confiture.models.backfills import BackfillState
    from confiture.models.history import HistoryKey

app = typer.Typer(
    help="Look at batched backfills, pause, resume and cancel them, from any terminal.", no_args_is_help=True
)
VersionArgument = Annotated[
    str | None, typer.Argument(metavar="[VERSION]", help="The migration; default: the one that is under way.")
]


@contextmanager
def _backfill_connection(
    context: CommandContext, options: DatabaseOptions
) -> Iterator[tuple[Connection, ConnectionTarget, HistoryKey]]:
    from confiture.core.db.connection import connect_for_query, resolve_database

    settings = context.settings(options)
    with (
        resolve_database(settings, echo_stderr) as target,
        connect_for_query(target, "backfill control", "backfills cannot be read or asked") as connection,
    ):
        yield connection, target, settings.history


@app.command(short_help="Show how far backfills are.")
@expand_options
def status(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are done.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again twice a second, until Ctrl-C.")] = False,
    settings_options: DatabaseOptions,
    output_format: Annotated[OutputFormat, format_option(Document.BACKFILLS, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Show how far backfills are, in batches of which size, and what they wait for.

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
            return [one for one in list_backfills(connection, history) if everything or one.state != "done"]

        if watch and output_format.is_text:
            watch_view(lambda: backfills_table(read_states(), target.label))
        else:
            context.writer.backfills(read_states(), target.label)


@app.command(short_help="Pause after the batch at hand.")
@expand_options
def pause(
    *,
    version: VersionArgument = None,
    settings_options: DatabaseOptions,
) -> None:
    """Pause a backfill: its workers end the batch at hand and hold no lock while they wait.

    Example: confiture backfill pause
    """
    with error_boundary() as context, _backfill_connection(context, settings_options) as (connection, _, history):
        from confiture.core.backfill.control import request_control

        found = request_control(connection, history, version, "pause")
        when = "pauses within a second" if found.is_running else "nobody runs it; its next run begins paused"
        echo_stderr(f"{found.version} {found.step}: {when}; `confiture backfill resume` goes on.")


@app.command(short_help="Go on after a pause.")
@expand_options
def resume(
    *,
    version: VersionArgument = None,
    settings_options: DatabaseOptions,
) -> None:
    """Let a paused backfill go on. One whose run has ended goes on with `confiture migrate up`.

    Example: confiture backfill resume
    """
    with error_boundary() as context, _backfill_connection(context, settings_options) as (connection, _, history):
        from confiture.core.backfill.control import request_control

        found = request_control(connection, history, version, "run")
        if found.is_running:
            echo_stderr(f"{found.version} {found.step}: goes on within a second.")
        else:
            echo_stderr(f"{found.version} {found.step}: nobody runs it. Next: `confiture migrate up` goes on with it.")


@app.command(short_help="Give a backfill up.")
@expand_options
def cancel(
    *,
    version: VersionArgument = None,
    settings_options: DatabaseOptions,
) -> None:
    """Give a backfill up: remove its triggers, forget how far it came. The rows that it filled stay.

    The next `confiture migrate up` begins it anew, so empty its target first.

    Example: confiture backfill cancel 012
    """
    with error_boundary() as context, _backfill_connection(context, settings_options) as (connection, target, history):
        from confiture.core.backfill.control import abandon, request_control

        found = request_control(connection, history, version, "cancel")
        if found.is_running:
            echo_stderr(f"{found.version} {found.step}: {found.runner} gives it up within a second or two.")
        else:
            abandon(connection, target, history, found, lambda _: None, parse_wait(DEFAULT_WAIT))
            echo_stderr(f"{found.version} {found.step}: given up. What it filled stays in {found.target}.")


@app.command(short_help="Remove triggers that finished backfills left.")
@expand_options
def clean(
    *,
    settings_options: DatabaseOptions,
) -> None:
    """Remove triggers that finished backfills could not remove for want of a lock.

    Example: confiture backfill clean
    """
    with error_boundary() as context, _backfill_connection(context, settings_options) as (connection, _, history):
        from confiture.core.backfill.control import clean_up_triggers as clean_up
        from confiture.text import pluralize

        removed = clean_up(connection, history)
        echo_stderr(f"Removed the triggers of {pluralize(removed, 'backfill')}." if removed else "Nothing to remove.")
