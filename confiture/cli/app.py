"""The `confiture` command."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from confiture import __version__
from confiture.cli import backfill, build, db, diff, identity, lint, locks, migrate, project, reconcile, tenancy
from confiture.cli.context import CommandContext
from confiture.cli.protection import reads_database
from confiture.cli.streams import tolerant_streams
from confiture.errors import ConfitureError, Diagnostic, ExitCode
from confiture.output.formats import TEXT
from confiture.secrets import clear_secrets
from confiture.text import error_text

_MOST_FRAMES = 4

app = typer.Typer(
    name="confiture",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(migrate.app, name="migrate", short_help="Run, dry-run and roll back migrations.")
app.add_typer(backfill.app, name="backfill", short_help="Monitor, pause, resume and cancel backfills.")
app.add_typer(identity.app, name="identity", short_help="Show and replace the identity of a database.")
app.add_typer(tenancy.app, name="tenancy", short_help="Map tenant tables and check tenant isolation.")
app.add_typer(db.app, name="db", short_help="Manage the embedded PostgreSQL server.")
app.command(short_help="Create a new project.")(project.init)
app.command(short_help="Create a new migration.")(project.new)
app.command(short_help="Print the JSON Schema for the YAML files.")(project.schema)
app.command(short_help="Build the schema files in an empty database.")(build.build)
app.command(short_help="Lint the schema and the migrations.")(lint.lint)
app.command(short_help="Compare the schema files with a database.")(diff.diff)
app.command(short_help="Write schema files from a database.")(diff.pull)
app.command(short_help="Show the locks of running migrations.")(locks.locks)
app.command(short_help="Compare a table with its defining query.")(reconcile.reconcile)
app.command(short_help="Repeat the checks of applied migrations.")(reconcile.verify)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"confiture {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
@reads_database
def confiture(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """PostgreSQL migrations, declared in YAML: checked, measured, atomic, resumable.

    Without a command, prints the project status and the next step.

    Example: confiture migrate up --dry-run
    """
    if context.invoked_subcommand is None:
        project.print_overview()


def main() -> None:
    """Run the command line."""
    with tolerant_streams():
        _run_app()


def _run_app() -> None:
    clear_secrets()
    try:
        app()
    except ConfitureError as error:
        # raised by a command that only prints text
        CommandContext(TEXT, Path.cwd()).print_failure(error.diagnostics)
        sys.exit(error.exit_code)
    except Exception as error:
        CommandContext(TEXT, Path.cwd()).print_failure([_internal(error)])
        sys.exit(ExitCode.INTERNAL)


def _internal(error: Exception) -> Diagnostic:
    """Describe an unexpected error, with the innermost frames for a bug report."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    return Diagnostic(
        code="internal",
        message=f"unexpected error in Confiture: {error_text(error)}",
        detail=tuple(f"in {Path(frame.filename).name}, line {frame.lineno}, {frame.name}" for frame in frames),
        hint="report this error with the lines above; manual edits to tables in the schema confiture may be the cause",
    )
