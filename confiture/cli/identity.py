"""`confiture identity`: the environment that a database is."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from confiture.cli.context import error_boundary, parse_wait, usage_error
from confiture.cli.option_groups import expand_options
from confiture.cli.options import (
    DATA_FORMAT_HELP,
    DEFAULT_WAIT,
    DatabaseOptions,
    WaitOption,
    format_option,
)
from confiture.cli.protection import WriteFlags, ask_name, can_ask, reads_database, writes_database
from confiture.cli.streams import echo_stderr, echo_stdout
from confiture.models.identity import WriteRequest
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

app = typer.Typer(
    no_args_is_help=True,
    help="Show and replace the identity of a database: the environment that it is, and whether it is protected.\n\n"
    "Example: confiture identity show --env production",
)


@app.command(short_help="Show the environment that the database is.")
@reads_database
@expand_options
def show(
    *,
    settings_options: DatabaseOptions,
    output_format: Annotated[OutputFormat, format_option(Document.IDENTITY, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Show the environment that the database is for each project, since when, and which schema the history belongs to.

    Example: confiture identity show --env production
    """
    with error_boundary(output_format) as context:
        from confiture.core.db.connection import resolve_database
        from confiture.core.identity import read_identities
        from confiture.output.writer import IdentitySummary

        settings = context.settings(settings_options)
        with resolve_database(settings, echo_stderr) as target:
            report = read_identities(target)
        context.writer.identity(
            IdentitySummary(
                identities=report.identities,
                resolution=report.resolution,
                environment=settings.environment,
                project=settings.project,
                database=target.label,
            )
        )


@app.command("set", short_help="Make the database another environment.")
@writes_database
@expand_options
def set_environment(
    *,
    environment: Annotated[
        str, typer.Argument(metavar="ENV", help="The environment that the database is from now on.")
    ],
    flags: WriteFlags,
    settings_options: DatabaseOptions,
    wait: WaitOption = DEFAULT_WAIT,
) -> None:
    """Make the database the environment ENV, for example after restoring a dump of another environment.

    Takes the protection from the settings of ENV, and the schema from the search path of the connection. --confirm is
    the name of the environment that the database is now.

    Example: confiture identity set staging --confirm production
    """
    with error_boundary() as context:
        from confiture.core.db.connection import resolve_database
        from confiture.core.identity import read_identities, set_identity
        from confiture.plan.identity import find_identity

        if settings_options.env not in (None, environment):
            raise usage_error(f"--env {settings_options.env} and ENV {environment} differ", "pass only ENV")
        settings = context.settings(replace(settings_options, env=environment))
        with resolve_database(settings, echo_stderr) as target:
            confirm = flags.confirm
            if confirm is None and can_ask(context):
                former = find_identity(read_identities(target).identities, settings.history)
                confirm = ask_name(former.environment, target.label) if former else None
            request = WriteRequest(confirm=confirm, reason=flags.reason)
            before = set_identity(settings, target, request, parse_wait(wait))
        protected = "protected" if settings.protected else "not protected"
        was = f"; it was {before.environment}" if before and before.environment != environment else ""
        echo_stdout(f"{target.label} is the environment {environment} of {settings.project}, {protected}{was}.")
