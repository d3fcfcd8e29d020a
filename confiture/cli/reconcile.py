"""`confiture reconcile` and `confiture verify`: does what was proved still hold?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.context import announce_step, error_boundary, load_project_with_vars, usage_error
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DATA_FORMAT_HELP, DatabaseOptions, VarOption, format_option
from confiture.cli.streams import echo_stderr
from confiture.errors import ExitCode
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

if TYPE_CHECKING:
    from confiture.core.reconcile.ad_hoc import AdHocReconcile


@expand_options
def reconcile(
    *,
    target: Annotated[str, typer.Argument(metavar="TABLE|VERSION", help="A table, or a migration with reconciles.")],
    query: Annotated[
        str | None, typer.Option("--sql", metavar="QUERY", help="The query that defines what the table must hold.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="The same, in a file.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="COLUMN", help="What tells rows apart; default: what is unique. Repeatable."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="COLUMN", help="Compare by this column first; default: the tenant's."),
    ] = None,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.RECONCILE, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Hold a table against its defining query: equal, or which rows are missing, extra, changed. Reads only.

    Without a query, runs all `reconcile:` steps of a migration. Ends with 1 where something differs.

    Examples:

        confiture reconcile 004

        confiture reconcile r_orders --file queries/r_orders.sql --by tenant_id

        confiture reconcile r_totals --sql 'SELECT tenant_id, sum(amount) AS total FROM w_orders GROUP BY 1'
    """
    with error_boundary(output_format) as context:
        settings = context.settings(settings_options)
        asked = _parse_ad_hoc(target, query, file, key, by)
        project = None if asked else load_project_with_vars(settings, var)
        from confiture.core.db.connection import resolve_database
        from confiture.core.verify import failed_checks, reconcile_query, verify_reconciles

        with resolve_database(settings, echo_stderr) as opened:
            if asked:
                found = reconcile_query(settings, opened, asked)
            elif project:
                found = verify_reconciles(project, opened, target, announce_step)
        context.writer.reconcile(found)
        if failed_checks(found, strict=True):
            raise typer.Exit(ExitCode.FINDINGS)


@expand_options
def verify(
    *,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="One migration; default: all that are applied.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Also end with 1 where a step cannot run any more.")] = False,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.VERIFY, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Run again what applied migrations checked at their ends: checks of after_validation, and reconciles. Reads only.

    Ends with 1 where something does not hold. A step whose tables or columns a later migration has changed cannot run
    any more: that is told, and ends with 1 only if --strict.

    Examples:

        confiture verify

        confiture verify 002 --env production --format json
    """
    with error_boundary(output_format) as context:
        settings = context.settings(settings_options)
        project = load_project_with_vars(settings, var)
        from confiture.core.db.connection import resolve_database
        from confiture.core.verify import failed_checks
        from confiture.core.verify import verify as run_again

        with resolve_database(settings, echo_stderr) as opened:
            found = run_again(project, opened, version, announce_step)
        context.writer.verify(found)
        if failed_checks(found, strict=strict):
            raise typer.Exit(ExitCode.FINDINGS)


def _parse_ad_hoc(
    table: str, query: str | None, file: Path | None, key: list[str] | None, by: str | None
) -> AdHocReconcile | None:
    """The reconcile that the options describe; None where they name no query. Raises InputError."""
    if query is not None and file is not None:
        raise usage_error("--sql and --file exclude each other", "give the query once")
    if query is None and file is None:
        if key or by is not None:
            raise usage_error("--key and --by need a query", "give --sql or --file; a migration's steps have their own")
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
        raise usage_error(f"--file: {refused}", "name a file with one query, or pass it with --sql") from refused
    except UnicodeDecodeError as error:
        raise usage_error(f"--file {file} is not UTF-8", "save it as UTF-8") from error
