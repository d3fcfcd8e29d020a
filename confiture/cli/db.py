"""`confiture db`: the project's embedded PostgreSQL server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.protection import ConfirmOption, manages_server, writes_database
from confiture.cli.streams import echo_stderr, echo_stdout
from confiture.errors import Diagnostic, ExitCode, InputError
from confiture.text import escape_line

if TYPE_CHECKING:
    from confiture.core.embedded.server import EmbeddedServer

app = typer.Typer(
    name="db",
    no_args_is_help=True,
    help="Manage the project's embedded PostgreSQL server. It needs no installation and uses one folder,"
    " .confiture/postgres.\n\n"
    "Commands that need the server start it and stop it afterwards. Use `confiture db` to inspect the server.\n\n"
    "Example: confiture db psql",
)


def find_project_root() -> Path:
    """Return the nearest folder with a confiture.yaml, from the working directory upwards.

    Without a confiture.yaml, return the working directory.
    """
    from confiture.files.settings import find_settings_file

    here = Path.cwd()
    settings_file = find_settings_file(here)
    return settings_file.parent if settings_file else here


@app.command()
@manages_server
def start() -> None:
    """Start the server and keep it running until `confiture db stop`.

    Without `start`, the server runs only while a command needs it.

    Example: confiture db start && psql "$(confiture db url)"
    """
    server = _embedded_server()
    started = server.start()
    echo_stderr(
        f"PostgreSQL {server.version} {'started' if started else 'was already running'}; to stop it: confiture db stop"
    )


@app.command()
@manages_server
def stop(
    force: Annotated[
        bool, typer.Option("--force", help="Stop the server even if other processes use it, and disconnect them.")
    ] = False,
) -> None:
    """Stop the server and keep its data.

    Example: confiture db stop
    """
    echo_stderr("PostgreSQL stopped" if _embedded_server().stop(force=force) else "PostgreSQL was not running")


@app.command()
@manages_server
def status() -> None:
    """Show whether the server is running and which processes use it. Exits with 0 if it is running, otherwise 3.

    Example: confiture db status || confiture db start
    """
    server = _embedded_server()
    running = server.is_running()
    echo_stdout(f"server: {'running' if running else 'stopped'}")
    echo_stdout(f"persistent: {'yes' if server.is_persistent() else 'no'}")
    echo_stdout(f"version: {server.version}")
    echo_stdout(f"data: {server.data_directory}{'' if server.data_directory.exists() else ' (not created yet)'}")
    echo_stdout(f"log: {server.log_file}")
    for user in server.client_processes():
        echo_stdout(f"used by: {user}")
    if not running:
        raise typer.Exit(ExitCode.UNREACHABLE)


@app.command()
@manages_server
def url(
    database: Annotated[str, typer.Argument(metavar="[DATABASE]", help="A database on the server.")] = "postgres",
) -> None:
    """Print the server's URL for other programs. stdout contains only the URL.

    Example: pg_dump "$(confiture db url)" > dump.sql
    """
    server = _embedded_server()
    echo_stdout(server.url(database))
    if not server.is_running():
        echo_stderr("PostgreSQL is not running; to start it: confiture db start")


@app.command(context_settings={"ignore_unknown_options": True})
@manages_server
def psql(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="-- ARGS", help="Arguments for psql.")] = None,
) -> None:
    """Open psql on the server; start the server if needed. Exits with psql's exit code.

    Example: confiture db psql -- -c 'TABLE confiture.migrations'

    Example: confiture db psql < seed.sql
    """
    server = _embedded_server()
    program = server.program_path("psql")
    with server.started() as address:
        # Ctrl-C must cancel a query in psql without ending this process, because that would stop the server. Use a
        # handler that does nothing: psql would inherit SIG_IGN.
        former = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            # Pass the URL as --dbname. Otherwise psql could treat the user's first argument as the database.
            process = subprocess.run([program, f"--dbname={address}", *(arguments or [])], check=False)
        finally:
            signal.signal(signal.SIGINT, former)
    # A negative exit code is the number of the signal that ended psql; shells report 128 plus that number.
    raise typer.Exit(process.returncode if process.returncode >= 0 else 128 - process.returncode)


@app.command()
@writes_database
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    confirm: ConfirmOption = None,
) -> None:
    """Delete the server's data. The next start creates an empty server.

    Example: confiture db reset --yes && confiture migrate up
    """
    server = _embedded_server()
    _check_reset(confirm)
    if not yes:
        if not _is_interactive():
            raise InputError(
                Diagnostic(
                    code="embedded-reset-unconfirmed",
                    message="`confiture db reset` needs a terminal to ask for confirmation",
                    hint="run `confiture db reset --yes` to delete all data of the embedded server",
                )
            )
        typer.confirm(f"Delete all data in {escape_line(str(server.data_directory))}?", abort=True, err=True)
    echo_stderr("Deleted the embedded server's data" if server.reset() else "There is no data to delete")


def _check_reset(confirm: str | None) -> None:
    """Raise InputError if the settings protect the environment, and its name is not confirmed."""
    from confiture.files.settings import SettingsOverrides, load_settings
    from confiture.models.identity import WriteRequest
    from confiture.plan.identity import find_missing_name

    try:
        settings = load_settings(Path.cwd(), SettingsOverrides(), os.environ)
    except InputError:
        return  # unreadable settings must not prevent a reset
    problem = find_missing_name(settings, (), WriteRequest(confirm=confirm))
    if problem is not None:
        raise InputError(problem)


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _embedded_server() -> EmbeddedServer:
    # Import here because every command loads this module, but few commands need a server.
    from confiture.core.embedded.server import EmbeddedServer

    return EmbeddedServer(find_project_root(), notify=echo_stderr)
