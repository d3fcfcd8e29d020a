"""`confiture locks`: what running migrations hold, whom they block, and who blocks them."""

from __future__ import annotations

from typing import Annotated

import typer

from confiture.cli.context import failures
from confiture.cli.options import ConfigOption, DatabaseOption, DataFormat, DataFormatOption, EnvOption, Format
from confiture.cli.streams import say, write_document


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
        from confiture.core.asking import asking
        from confiture.core.database import open_database
        from confiture.core.locks import running_sessions
        from confiture.report.locks import locks_document, locks_view
        from confiture.report.machine import as_text
        from confiture.report.terminal import data_console, print_again_and_again

        settings = scope.settings(config, env, database)
        with open_database(settings, say) as target, asking(target, "locks", "locks cannot be read") as connection:
            if form is DataFormat.JSON:
                write_document(as_text(locks_document(running_sessions(connection), target.label)))
            elif watch:
                print_again_and_again(lambda: locks_view(running_sessions(connection), target.label))
            else:
                data_console().print(locks_view(running_sessions(connection), target.label))
