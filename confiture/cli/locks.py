"""`confiture locks`: the locks of running migrations, the blocked sessions, and the blocking sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from confiture.cli.context import error_boundary
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DatabaseOptions, format_option
from confiture.cli.protection import reads_database
from confiture.cli.streams import echo_stderr
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat


@reads_database
@expand_options
def locks(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh twice a second until Ctrl-C.")] = False,
    settings_options: DatabaseOptions,
    output_format: Annotated[OutputFormat, format_option(Document.LOCKS, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Show the locks that running migrations hold or wait for, and the sessions that they block.

    Example: confiture locks --watch --env production
    """
    with error_boundary(output_format) as context:
        from confiture.core.db.connection import connect_for_query, resolve_database
        from confiture.core.db.lock_monitor import read_running_sessions
        from confiture.output.terminal.console import watch_view
        from confiture.output.terminal.locks import locks_table

        settings = context.settings(settings_options)
        with (
            resolve_database(settings, echo_stderr) as target,
            connect_for_query(target, "locks", "locks cannot be read") as connection,
        ):
            if watch and output_format.is_text:
                watch_view(lambda: locks_table(read_running_sessions(connection), target.label))
            else:
                context.writer.locks(read_running_sessions(connection), target.label)
