"""`confiture build`: build the schema from the schema files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.context import error_boundary, parse_variables, usage_error
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DatabaseOptions, VarOption, format_option
from confiture.cli.protection import ConfirmFlags, request_write, writes_database
from confiture.cli.streams import echo_stderr
from confiture.errors import BuildFailed, ExitCode
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

if TYPE_CHECKING:
    from confiture.cli.context import CommandContext
    from confiture.core.build.commands import SchemaBuild
    from confiture.models.builds import BuildReport


@writes_database
@expand_options
def build(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Build in a throwaway database and drop it; exit with 1 if that fails.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write the SQL in order to a file for psql; build nothing."),
    ] = None,
    as_template: Annotated[
        str | None,
        typer.Option(
            "--as-template", metavar="NAME", help="Build a template database for tests, unless it is up to date."
        ),
    ] = None,
    flags: ConfirmFlags,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.BUILD, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Build the schema from the schema files in an empty database, in one transaction.

    The files run in path order, or in the order of their dependencies with `build: {order: dependencies}` in
    confiture.yaml. A database that is not empty is refused.

    Examples:

        confiture build --database postgresql://localhost/shop_new

        confiture build --check

        confiture build --output schema.sql && psql -1 -f schema.sql

        confiture build --as-template shop_template
    """
    with error_boundary(output_format) as context:
        chosen = [
            name for name, value in (("--check", check), ("--output", output), ("--as-template", as_template)) if value
        ]
        if len(chosen) > 1:
            raise usage_error(f"{' and '.join(chosen)} are mutually exclusive", "pass one of them")
        settings = context.settings(settings_options, needs_database=output is None)
        from confiture.core.build.commands import BuildProgress, SchemaBuild
        from confiture.output.terminal.build import BuildView
        from confiture.output.terminal.console import stderr_console

        with BuildView(stderr_console()) as view:
            progress = BuildProgress(notify=echo_stderr, on_load=view.on_load, on_file=view.on_file)
            schema = SchemaBuild(settings, parse_variables(var or ()), progress)
            try:
                report = schema.write(output) if output else _run(context, schema, as_template, flags, check=check)
            except BuildFailed as error:
                if not check:
                    raise
                failure = error
                report = None
        if report is None:
            context.print_failure(failure.diagnostics)
            raise typer.Exit(ExitCode.FINDINGS)
        context.writer.build(report)


def _run(
    context: CommandContext, schema: SchemaBuild, template: str | None, flags: ConfirmFlags, *, check: bool
) -> BuildReport:
    from confiture.core.db.connection import resolve_database

    settings = schema.settings
    with resolve_database(settings, echo_stderr) as target:
        if check:
            return schema.check(target)
        request = request_write(context, settings, target, flags)
        if template is not None:
            return schema.template(target, template, request)
        return schema.build(target, request)
