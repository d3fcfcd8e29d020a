"""`confiture locks`: what running migrations hold, whom they block, and who blocks them."""

from __future__ import annotations

from typing import Annotated

import typer

from confiture.cli.context import error_boundary
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DatabaseOptions, format_option
from confiture.cli.streams import say
from confiture.report.formats import TEXT, OutputFormat
from confiture.report.writer import Document


@expand_options
def locks(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Look again twice a second, until Ctrl-C.")] = False,
    settings_options: DatabaseOptions,
    output_format: Annotated[OutputFormat, format_option(Document.LOCKS, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Show the locks of migrations that are running now: held, waited for, and who waits.

    Example: confiture locks --watch --env production
    """
    with error_boundary(output_format) as context:
        from confiture.core.asking import asking
        from confiture.core.database import open_database
        from confiture.core.locks import running_sessions
        from confiture.report.locks import locks_view
        from confiture.report.terminal import print_again_and_again

        settings = context.settings(settings_options)
        with open_database(settings, say) as target, asking(target, "locks", "locks cannot be read") as connection:
            if watch and output_format.is_text:
                print_again_and_again(lambda: locks_view(running_sessions(connection), target.label))
            else:
                context.writer.locks(running_sessions(connection), target.label)
