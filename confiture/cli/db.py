"""`confiture db`: the project's embedded PostgreSQL server."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.streams import echo_stderr, echo_stdout
from confiture.errors import Diagnostic, ExitCode, InputError
from confiture.text import escape_line

if TYPE_CHECKING:
    from confiture.core.embedded.server import EmbeddedServer

app = typer.Typer(
    name="db",
    no_args_is_help=True,
    help="The project's own PostgreSQL server: no installation, no port, one directory (.confiture/postgres).\n\n"
    "It starts by itself when a command needs it and stops afterwards. Use these commands to look into it.",
)


def find_project_root() -> Path:
    """Where confiture.yaml is, upward from the working directory; without one, the working directory."""
    from confiture.files.settings import find_settings_file

    here = Path.cwd()
    found = find_settings_file(here)
    return found.parent if found else here


@app.command()
def start() -> None:
    """Start the server and let it run, until `confiture db stop`.

    Without it, the server runs only as long as a command needs it.

    Example: confiture db start && psql "$(confiture db url)"
    """
    server = _embedded_server()
    started = server.start()
    echo_stderr(
        f"PostgreSQL {server.version} {'started' if started else 'was running already'} and stays until: db stop"
    )


@app.command()
def stop(
    force: Annotated[bool, typer.Option("--force", help="Stop it even while others use it; ends their work.")] = False,
) -> None:
    """Stop the server. The data stay.

    Example: confiture db stop
    """
    echo_stderr("PostgreSQL stopped" if _embedded_server().stop(force=force) else "PostgreSQL was not running")


@app.command()
def status() -> None:
    """Tell whether the server runs, and who uses it. Ends with 0 when it runs, with 3 when it does not.

    Example: confiture db status || confiture db start
    """
    server = _embedded_server()
    running = server.is_running()
    echo_stdout(f"server: {'running' if running else 'stopped'}")
    echo_stdout(f"kept: {'yes' if server.is_persistent() else 'no'}")
    echo_stdout(f"version: {server.version}")
    echo_stdout(f"data: {server.data_directory}{'' if server.data_directory.exists() else ' (not made yet)'}")
    echo_stdout(f"log: {server.log_file}")
    for user in server.client_processes():
        echo_stdout(f"used by: {user}")
    if not running:
        raise typer.Exit(ExitCode.UNREACHABLE)


@app.command()
def url(
    database: Annotated[
        str, typer.Argument(metavar="[DATABASE]", help="The name of a database on the server.")
    ] = "postgres",
) -> None:
    """Print the server's URL, for other programs. Only the URL goes to standard output.

    Example: pg_dump "$(confiture db url)" > dump.sql
    """
    server = _embedded_server()
    echo_stdout(server.url(database))
    if not server.is_running():
        echo_stderr("PostgreSQL is not running; to start it: confiture db start")


@app.command(context_settings={"ignore_unknown_options": True})
def psql(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="-- ARGS", help="Options for psql.")] = None,
) -> None:
    """Open psql on the server, starting it meanwhile. Ends with psql's own exit code.

    Example: confiture db psql -- -c 'TABLE confiture.migrations'

    Example: confiture db psql < seed.sql
    """
    server = _embedded_server()
    program = server.program_path("psql")
    with server.started() as address:
        # Ctrl-C cancels a query in psql and must not end us, or the server would go away under it. A handler that does
        # nothing, and not SIG_IGN, which psql would inherit.
        former = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            # The address as --dbname, because psql reads a first word without it as the user's own database.
            done = subprocess.run([program, f"--dbname={address}", *(arguments or [])], check=False)
        finally:
            signal.signal(signal.SIGINT, former)
    # A negative number tells which signal ended it; shells tell that as 128 and the number.
    raise typer.Exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the server's data. The next start makes an empty server.

    Example: confiture db reset --yes && confiture migrate up
    """
    server = _embedded_server()
    if not yes:
        if not _is_interactive():
            raise InputError(
                Diagnostic(
                    code="embedded-reset-unconfirmed",
                    message="without a terminal to ask at, `confiture db reset` removes nothing",
                    hint="`confiture db reset --yes` removes all data of the embedded server",
                )
            )
        typer.confirm(f"Remove all data in {escape_line(str(server.data_directory))}?", abort=True, err=True)
    echo_stderr("The embedded server's data are removed" if server.reset() else "There were no data to remove")


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _embedded_server() -> EmbeddedServer:
    # Imported here, because every command loads this module and few need a server.
    from confiture.core.embedded.server import EmbeddedServer

    return EmbeddedServer(find_project_root(), notify=echo_stderr)
