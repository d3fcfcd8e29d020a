"""`confiture tenancy`: which tables are whose, and whether migrations keep tenants apart."""

from __future__ import annotations

from typing import Annotated

import typer

from confiture.cli.context import (
    announce_step,
    error_boundary,
    load_project_with_vars,
    parse_duration_option,
    parse_variables,
    usage_error,
)
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DatabaseOptions, VarOption, format_option
from confiture.cli.streams import echo_stderr
from confiture.errors import ExitCode
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

app = typer.Typer(no_args_is_help=True, help="Show whose tables are whose, prove that tenants stay apart.")


@app.command("map", short_help="Show which tables belong to tenants, and why.")
@expand_options
def show_map(
    *,
    live: Annotated[bool, typer.Option("--live", help="Look at the database, not at the files.")] = False,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.TENANT_MAP, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Show which tables belong to tenants, which do not and why, and how each reaches its tenant.

    From the DDL files and migrations, without a database, unless --live.

    Examples:

        confiture tenancy map

        confiture tenancy map --live --env production --format json
    """
    with error_boundary(output_format) as context:
        settings = context.settings(settings_options, needs_database=live)
        from confiture.core.tenancy.commands import ownership_from_database, ownership_from_files

        if live:
            from confiture.core.db.connection import resolve_database

            with resolve_database(settings, echo_stderr) as opened:
                found = ownership_from_database(settings, opened)
        else:
            found = ownership_from_files(settings, parse_variables(var or ()))
        context.writer.tenant_map(found)


@app.command(short_help="Prove by the data that migrations keep tenants apart.")
@expand_options
def prove(
    *,
    migration: Annotated[
        str | None, typer.Argument(metavar="[MIGRATION]", help="Its version; default: all migrations.")
    ] = None,
    tenants: Annotated[
        int | None, typer.Option("--tenants", min=1, metavar="N", help="Look at N tenants; default: 10.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Look at every tenant.")] = False,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Give up on a proof that takes longer, such as 60s."),
    ] = None,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.TENANT_ISOLATION, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Prove by the data that what migrations write keeps tenants apart. Reads only, in one snapshot.

    For each statement and tenant: what the query makes for the tenant from all data must be what it makes from that
    tenant's data alone. Looks at the database as it is: what the migration itself makes is not there before it ran.
    Ends with 1 where tenants mix.

    Examples:

        confiture tenancy prove 002

        confiture tenancy prove 002 --all --timeout 60s --env production
    """
    with error_boundary(output_format) as context:
        if every and tenants is not None:
            raise usage_error("--tenants and --all exclude each other", "leave one out")
        timeout_ms = parse_duration_option("--timeout", timeout) if timeout is not None else None
        settings = context.settings(settings_options)
        project = load_project_with_vars(settings, var)
        from confiture.core.db.connection import resolve_database
        from confiture.core.tenancy.commands import prove_project
        from confiture.models.tenancy_proofs import DEFAULT_TENANTS, IsolationVerdict

        with resolve_database(settings, echo_stderr) as opened:
            found = prove_project(
                project,
                opened,
                migration,
                None if every else tenants or DEFAULT_TENANTS,
                timeout_ms=timeout_ms,
                announce=announce_step,
            )
        context.writer.tenant_isolation(found)
        if found.with_verdict(IsolationVerdict.MIXED):
            raise typer.Exit(ExitCode.FINDINGS)
