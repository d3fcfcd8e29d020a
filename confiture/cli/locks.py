"""`confiture locks`: what running migrations hold, whom they block, and who blocks them."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.context import failures, say
from confiture.cli.options import ConfigOption, DatabaseOption, DataFormat, DataFormatOption, EnvOption, Format

if TYPE_CHECKING:
    from confiture.core.database import Connection

_REFRESH_S = 0.5


def locks(
    watch: Annotated[bool, typer.Option("--watch", help="Look again twice a second, until Ctrl-C.")] = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    database: DatabaseOption = None,
    form: DataFormatOption = DataFormat.TEXT,
) -> None:
    """Show the locks of migrations that are running now: held, waited for, and who waits.

    Example: confiture locks --watch --env production
    """
    with failures(Format(form.value)) as scope:
        from confiture.core.database import open_database
        from confiture.core.locks import running_sessions

        settings = scope.settings(config, env, database)
        with open_database(settings, say) as target:
            connection = target.connect("locks")
            try:
                if watch and form is DataFormat.TEXT:
                    _watch(connection, target.label)
                    return
                sessions = running_sessions(connection)
            finally:
                connection.close()
        if form is DataFormat.JSON:
            from confiture.report.locks import locks_document
            from confiture.report.machine import as_text

            sys.stdout.write(as_text(locks_document(sessions, target.label)))
            return
        from confiture.report.locks import locks_view
        from confiture.report.terminal import data_console

        data_console().print(locks_view(sessions, target.label))


def _watch(connection: Connection, label: str) -> None:
    from rich.live import Live

    from confiture.core.locks import running_sessions
    from confiture.report.locks import locks_view
    from confiture.report.terminal import data_console

    with Live(console=data_console(), auto_refresh=False) as live:
        try:
            while True:
                live.update(locks_view(running_sessions(connection), label), refresh=True)
                time.sleep(_REFRESH_S)
        except KeyboardInterrupt:
            return
