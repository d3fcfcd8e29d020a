"""The `confiture` command."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from confiture import __version__
from confiture.cli import backfill, db, lint, locks, migrate, project, reconcile, tenancy
from confiture.cli.context import CommandContext
from confiture.cli.streams import tolerant_streams
from confiture.errors import ConfitureError, Diagnostic, ExitCode
from confiture.output.formats import TEXT
from confiture.secrets import clear_secrets
from confiture.text import error_text

_MOST_FRAMES = 4

app = typer.Typer(
    name="confiture",
    help="PostgreSQL migrations, declared in YAML: checked, measured, atomic, resumable.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(migrate.app, name="migrate", short_help="Run, dry-run and undo migrations.")
app.add_typer(backfill.app, name="backfill", short_help="Look at batched backfills, pause and resume them.")
app.add_typer(tenancy.app, name="tenancy", short_help="Show whose tables are whose, prove that tenants stay apart.")
app.add_typer(db.app, name="db", short_help="The project's own PostgreSQL server.")
app.command(short_help="Make a new project.")(project.init)
app.command(short_help="Write a new migration.")(project.new)
app.command(short_help="Print the JSON Schema of the YAML files.")(project.schema)
app.command(short_help="Find hazards before anything runs.")(lint.lint)
app.command(short_help="Show the locks of running migrations.")(locks.locks)
app.command(short_help="Hold a table against its defining query.")(reconcile.reconcile)
app.command(short_help="Run the checks of applied migrations again.")(reconcile.verify)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"confiture {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def confiture(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """PostgreSQL migrations, declared in YAML: checked, measured, atomic, resumable.

    Without a command, says where the project stands and what to do next.
    """
    if context.invoked_subcommand is None:
        project.print_overview()


def main() -> None:
    """Runs the command line."""
    with tolerant_streams():
        _run_app()


def _run_app() -> None:
    clear_secrets()
    try:
        app()
    except ConfitureError as error:
        # from the commands that print text only
        CommandContext(TEXT, Path.cwd()).print_failure(error.diagnostics)
        sys.exit(error.exit_code)
    except Exception as error:
        CommandContext(TEXT, Path.cwd()).print_failure([_internal(error)])
        sys.exit(ExitCode.INTERNAL)


def _internal(error: Exception) -> Diagnostic:
    """What Confiture did not expect, with the places that a report of it needs."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    return Diagnostic(
        code="internal",
        message=f"Confiture did not expect this: {error_text(error)}",
        detail=tuple(f"in {Path(frame.filename).name}, line {frame.lineno}, {frame.name}" for frame in frames),
        hint="report it with these lines; tables of the schema confiture that were edited by hand may be the cause",
    )
