"""`confiture reconcile` and `confiture verify`: compare tables with queries, and repeat checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.context import announce_step, apply_redaction, error_boundary, load_project_with_vars, usage_error
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DatabaseOptions, RedactOption, VarOption, format_option
from confiture.cli.protection import reads_database
from confiture.cli.streams import echo_stderr
from confiture.errors import ExitCode
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

if TYPE_CHECKING:
    from confiture.core.reconcile.ad_hoc import AdHocReconcile


@reads_database
@expand_options
def reconcile(
    *,
    target: Annotated[str, typer.Argument(metavar="TABLE|VERSION", help="A table, or a migration with reconciles.")],
    query: Annotated[
        str | None,
        typer.Option("--sql", metavar="QUERY", help="The query that returns the expected rows."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="A file that contains the query.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="COLUMN", help="A key column; default: a unique key of the table. Repeatable."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="COLUMN", help="Compare groups by this column first; default: the tenant column."),
    ] = None,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    redact: RedactOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.RECONCILE, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Compare a table with its defining query and report missing, extra, and changed rows. Read-only.

    Without a query, runs all `reconcile:` steps of a migration. Exits with 1 if there are differences.

    Examples:

        confiture reconcile 004

        confiture reconcile r_orders --file queries/r_orders.sql --by tenant_id

        confiture reconcile r_totals --sql 'SELECT tenant_id, sum(amount) AS total FROM w_orders GROUP BY 1'
    """
    with error_boundary(output_format) as context:
        apply_redaction(redact)
        settings = context.settings(settings_options)
        comparison = _parse_ad_hoc(target, query, file, key, by)
        project = None if comparison else load_project_with_vars(settings, var)
        from confiture.core.db.connection import resolve_database
        from confiture.core.verify import failed_checks, reconcile_query, verify_reconciles

        with resolve_database(settings, echo_stderr) as database:
            if comparison:
                results = reconcile_query(settings, database, comparison)
            elif project:
                results = verify_reconciles(project, database, target, announce_step)
        context.writer.reconcile(results)
        if failed_checks(results, strict=True):
            raise typer.Exit(ExitCode.FINDINGS)


@reads_database
@expand_options
def verify(
    *,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="One migration; default: all applied migrations.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Also exit with 1 if a step can no longer run.")] = False,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    redact: RedactOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.VERIFY, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Repeat the final checks of applied migrations: their after_validation checks and reconcile steps. Read-only.

    Exits with 1 if a check fails. A step can no longer run if a later migration has changed its tables or columns;
    such a step is reported, but only --strict makes the command exit with 1.

    Examples:

        confiture verify

        confiture verify 002 --env production --format json
    """
    with error_boundary(output_format) as context:
        apply_redaction(redact)
        settings = context.settings(settings_options)
        project = load_project_with_vars(settings, var)
        from confiture.core.db.connection import resolve_database
        from confiture.core.verify import failed_checks
        from confiture.core.verify import verify as run_again

        with resolve_database(settings, echo_stderr) as database:
            results = run_again(project, database, version, announce_step)
        context.writer.verify(results)
        if failed_checks(results, strict=strict):
            raise typer.Exit(ExitCode.FINDINGS)


def _parse_ad_hoc(
    table: str, query: str | None, file: Path | None, key: list[str] | None, by: str | None
) -> AdHocReconcile | None:
    """Return the comparison that the options describe; None without a query. Raise InputError if options conflict."""
    if query is not None and file is not None:
        raise usage_error("--sql and --file are mutually exclusive", "pass the query once")
    if query is None and file is None:
        if key or by is not None:
            raise usage_error(
                "--key and --by require --sql or --file",
                "add the query; a migration's steps define their own keys",
            )
        return None
    from confiture.core.reconcile.ad_hoc import AdHocReconcile

    text = query if file is None else _read_query(file)
    origin = "--sql" if file is None else str(file)
    return AdHocReconcile(table=table, sql=text or "", origin=origin, key=tuple(key or ()), by=by)


def _read_query(file: Path) -> str:
    from confiture.files.access import ANYWHERE, FileAccessError, read_file

    try:
        return read_file(file, str(file), ANYWHERE).decode("utf-8-sig")
    except FileAccessError as refused:
        hint = "pass a file that contains one query, or pass the query with --sql"
        raise usage_error(f"--file: {refused}", hint) from refused
    except UnicodeDecodeError as error:
        raise usage_error(f"--file {file} is not UTF-8", "save the file as UTF-8") from error
