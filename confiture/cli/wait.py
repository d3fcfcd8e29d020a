"""`confiture migrate wait`: wait until the migrations are applied."""

from __future__ import annotations

from typing import Annotated

import typer

from confiture.cli.context import error_boundary, parse_duration_option
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DatabaseOptions
from confiture.cli.protection import reads_database
from confiture.cli.streams import echo_stderr, echo_stdout


@reads_database
@expand_options
def wait(
    *,
    for_version: Annotated[
        str | None, typer.Option("--for", metavar="VERSION", help="Wait for this version; default: all migrations.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait: 0, 30s, 5min.")] = "5min",
    settings_options: DatabaseOptions,
) -> None:
    """Wait until the migrations in the files are applied, before an application starts.

    Needs only SELECT on the history and acquires no locks that conflict with a run. Exits with 8 after the timeout.

    Examples:

        confiture migrate wait --timeout 10min

        confiture migrate wait --for 014
    """
    with error_boundary() as context:
        timeout_ms = parse_duration_option("--timeout", timeout)
        settings = context.settings(settings_options)
        from confiture.core.db.connection import resolve_database
        from confiture.core.wait import wait_for_migrations
        from confiture.plan.project import load_project

        versions = [for_version]
        if for_version is None:
            migrations = load_project(settings, {}, needs_variables=False).migrations
            versions = [migration.version for migration in migrations]
        with resolve_database(settings, echo_stderr) as target:
            wait_for_migrations(target, settings.history, [one for one in versions if one], timeout_ms, echo_stderr)
        echo_stdout(f"applied: {for_version or f'all {len(versions)} migrations'}")
