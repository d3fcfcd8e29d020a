"""`confiture diff` and `confiture pull`: compare schemas, and write schema files from a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from confiture.cli.context import (
    error_boundary,
    load_project_with_vars,
    parse_database_option,
    parse_variables,
    usage_error,
)
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DatabaseOptions, VarOption, format_option
from confiture.cli.protection import reads_database
from confiture.cli.streams import echo_stderr
from confiture.errors import ExitCode
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat


@reads_database
@expand_options
def diff(
    *,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="URL", help="Compare the database with this one instead of the files."),
    ] = None,
    migrations: Annotated[
        bool, typer.Option("--migrations", help="Compare the files with the schema at the end of all migrations.")
    ] = False,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[
        OutputFormat, format_option(Document.SCHEMA_DIFF, "Output format on stdout: text, JSON or Markdown.")
    ] = TEXT,
) -> None:
    """Compare the schema files with a database. Only reads from the database.

    The files are built in a throwaway database. Exits with 7 if the schemas differ. Settings below `diff:` leave out
    differences.

    Examples:

        confiture diff --env production

        confiture diff --migrations

        confiture diff --env production --against postgresql://localhost/staging --format json
    """
    with error_boundary(output_format) as context:
        settings = context.settings(settings_options)
        if against is not None and migrations:
            raise usage_error("--against and --migrations are mutually exclusive", "run `confiture diff` once for each")
        other = parse_database_option("--against", against) if against is not None else None
        overrides = parse_variables(var or ())
        project = load_project_with_vars(settings, var, needs_variables=True) if migrations else None
        from confiture.core.db.connection import resolve_database
        from confiture.core.diff.schema_diff import diff_databases, diff_files, diff_migrations

        with resolve_database(settings, echo_stderr) as database:
            if other is not None:
                result = diff_databases(settings, database, other, echo_stderr)
            elif project is not None:
                result = diff_migrations(project, overrides, database, echo_stderr)
            else:
                result = diff_files(settings, overrides, database, echo_stderr)
        context.writer.schema_diff(result)
        if not result.comparison.is_equal:
            raise typer.Exit(ExitCode.DRIFT)


@reads_database
@expand_options
def pull(
    *,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="An empty folder; default: the schemas folder.")
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Write the baseline migration instead of schema files.")
    ] = False,
    settings_options: DatabaseOptions,
    output_format: Annotated[
        OutputFormat, format_option(Document.PULL, "Output format on stdout: text or JSON.")
    ] = TEXT,
) -> None:
    """Write schema files from a database: one object per file, in an order in which they can be loaded.

    Only reads from the database, and never overwrites a file. Needs pg_dump of the server's version or newer.

    Examples:

        confiture pull --env production

        confiture pull --env production --to schemas_production

        confiture pull --env production --baseline
    """
    with error_boundary(output_format) as context:
        settings = context.settings(settings_options)
        if to is not None and baseline:
            raise usage_error("--to and --baseline are mutually exclusive", "run `confiture pull` once for each")
        from confiture.core.db.connection import resolve_database
        from confiture.core.pull import pull_baseline, pull_schema

        with resolve_database(settings, echo_stderr) as database:
            if baseline:
                result = pull_baseline(settings, database)
            else:
                result = pull_schema(settings, database, to.absolute() if to else settings.schemas)
        context.writer.pull(result)
