"""`confiture tenancy`: map tenant tables and prove tenant isolation."""

from __future__ import annotations

from typing import Annotated

import typer

from confiture.cli.context import (
    announce_step,
    apply_redaction,
    error_boundary,
    load_project_with_vars,
    parse_duration_option,
    parse_variables,
    usage_error,
)
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DatabaseOptions, RedactOption, VarOption, format_option
from confiture.cli.protection import reads_database
from confiture.cli.streams import echo_stderr
from confiture.errors import ExitCode
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

app = typer.Typer(
    no_args_is_help=True, help="Map tenant tables and check tenant isolation.\n\nExample: confiture tenancy map"
)


@app.command("map", short_help="Show which tables belong to tenants.")
@reads_database
@expand_options
def show_map(
    *,
    live: Annotated[bool, typer.Option("--live", help="Read the database instead of the files.")] = False,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.TENANT_MAP, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Show which tables belong to tenants, which do not and why, and how each row is linked to its tenant.

    Reads the DDL files and migrations; needs a database only with --live.

    Examples:

        confiture tenancy map

        confiture tenancy map --live --env production --format json
    """
    with error_boundary(output_format) as context:
        settings = context.settings(settings_options, needs_database=live)
        from confiture.core.tenancy.commands import ownership_from_database, ownership_from_files

        if live:
            from confiture.core.db.connection import resolve_database

            with resolve_database(settings, echo_stderr) as database:
                ownership = ownership_from_database(settings, database)
        else:
            ownership = ownership_from_files(settings, parse_variables(var or ()))
        context.writer.tenant_map(ownership)


@app.command(short_help="Prove that migrations isolate tenants.")
@reads_database
@expand_options
def prove(
    *,
    migration: Annotated[
        str | None, typer.Argument(metavar="[MIGRATION]", help="The version of a migration; default: all migrations.")
    ] = None,
    tenants: Annotated[
        int | None, typer.Option("--tenants", min=1, metavar="N", help="Sample N tenants; default: 10.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every tenant.")] = False,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Time limit for each proof, such as 60s."),
    ] = None,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    redact: RedactOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.TENANT_ISOLATION, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Prove on the actual data that migrations do not mix tenants. Read-only, in one snapshot.

    For each statement and tenant, runs the query on all data and on the tenant's data alone. Both runs must return the
    same rows for that tenant. Uses the current state of the database, without the changes of pending migrations.
    Exits with 1 if a statement mixes tenants.

    Examples:

        confiture tenancy prove 002

        confiture tenancy prove 002 --all --timeout 60s --env production
    """
    with error_boundary(output_format) as context:
        apply_redaction(redact)
        if every and tenants is not None:
            raise usage_error("--tenants and --all are mutually exclusive", "remove one of them")
        timeout_ms = parse_duration_option("--timeout", timeout) if timeout is not None else None
        settings = context.settings(settings_options)
        project = load_project_with_vars(settings, var)
        from confiture.core.db.connection import resolve_database
        from confiture.core.tenancy.commands import prove_project
        from confiture.models.tenancy_proofs import DEFAULT_TENANTS, IsolationVerdict

        with resolve_database(settings, echo_stderr) as database:
            proofs = prove_project(
                project,
                database,
                migration,
                None if every else tenants or DEFAULT_TENANTS,
                timeout_ms=timeout_ms,
                announce=announce_step,
            )
        context.writer.tenant_isolation(proofs)
        if proofs.with_verdict(IsolationVerdict.MIXED):
            raise typer.Exit(ExitCode.FINDINGS)
