"""`confiture migrate plan`: save a plan for review, and show a saved plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.context import (
    CommandContext,
    error_boundary,
    load_project_with_vars,
    parse_duration_option,
    parse_variables,
    usage_error,
)
from confiture.cli.option_groups import expand_options
from confiture.cli.options import DatabaseOptions, UpFlags, VarOption, format_option
from confiture.cli.protection import reads_database, without_database
from confiture.cli.streams import echo_stderr
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

if TYPE_CHECKING:
    from confiture.core.commands import UpOptions
    from confiture.models.saved_plans import SavedPlan
    from confiture.plan.project import PlannedProject

app = typer.Typer(no_args_is_help=False)
PlanFormatOption = Annotated[
    OutputFormat, format_option(Document.SAVED_PLAN, "Output format on stdout: text, JSON or Markdown.")
]


@app.callback(invoke_without_command=True)
@reads_database
@expand_options
def plan(
    *,
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the plan to this file; default: only print it.")
    ] = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="How long the plan is valid; 0: for ever.")
    ] = "24h",
    options: UpFlags,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: PlanFormatOption = TEXT,
) -> None:
    """Save a plan for the pending migrations, for review. `migrate up --plan FILE` runs exactly that.

    The file contains the rendered SQL, the grades, and everything that must not change until the plan runs: the end of
    the history, the database, the files, the settings, and the objects that the migrations touch. Changes nothing.

    Examples:

        confiture migrate plan --env production --out plan.json

        confiture migrate plan show plan.json

        confiture migrate up --plan plan.json
    """
    if context.invoked_subcommand is not None:
        if any(str(context.get_parameter_source(name)).endswith("COMMANDLINE") for name in context.params):
            raise typer.BadParameter(
                f"put options after the command: confiture migrate plan {context.invoked_subcommand}"
            )
        return
    with error_boundary(output_format) as command:
        expires_ms = parse_duration_option("--expires", expires)
        settings = command.settings(settings_options)
        project = load_project_with_vars(settings, var)
        from confiture.core.db.connection import resolve_database
        from confiture.core.review.saved_plans import PlanOptions, create_saved_plan
        from confiture.files.saved_plans import write_saved_plan

        plan_options = PlanOptions(
            to=options.to,
            out_of_order=options.out_of_order,
            variables=parse_variables(var or ()),
            expires_ms=expires_ms,
        )
        with resolve_database(settings, echo_stderr) as target:
            saved = create_saved_plan(project, target, plan_options)
        if out is not None:
            write_saved_plan(out, saved)
            echo_stderr(f"wrote {out}")
        command.writer.saved_plan(saved)


@app.command(short_help="Show a saved plan.")
@without_database
@expand_options
def show(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The saved plan.")],
    output_format: PlanFormatOption = TEXT,
) -> None:
    """Show a saved plan: its target, its grades, and its SQL. Needs neither the project nor a database.

    Example: confiture migrate plan show plan.json --format markdown
    """
    with error_boundary(output_format) as context:
        from confiture.files.saved_plans import read_saved_plan

        context.writer.saved_plan(read_saved_plan(file))


def load_saved_plan(
    path: Path, options: UpFlags, settings_options: DatabaseOptions, *, dry_run: bool, var: list[str] | None
) -> SavedPlan:
    """Read the plan for `up --plan`. Raise InputError if other options would change what runs."""
    from confiture.files.saved_plans import plan_refused, read_saved_plan

    given = {
        "--to": options.to is not None,
        "--out-of-order": options.out_of_order,
        "--var": bool(var),
        "--dry-run": dry_run,
    }
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise usage_error(
            f"{', '.join(names)} cannot be combined with --plan, which determines what runs",
            "remove the option, or save a new plan with it",
        )
    saved = read_saved_plan(path)
    environment = saved.content["environment"]
    if settings_options.env not in (None, environment):
        raise plan_refused((f"environment: {settings_options.env}, not {environment}",))
    return saved


def open_saved_plan(
    context: CommandContext, saved: SavedPlan, settings_options: DatabaseOptions
) -> tuple[PlannedProject, UpOptions]:
    """Return the project with the plan's variables, and the options that the plan contains.

    Raise Drift if a file or a setting has changed, before the files are read.
    """
    from confiture.core.commands import UpOptions
    from confiture.core.review.saved_plans import PlanGuard
    from confiture.files.saved_plans import check_plan_files
    from confiture.plan.project import load_project
    from confiture.plan.saved_plan import check_plan_settings

    settings = context.settings(replace(settings_options, env=saved.content["environment"]))
    # the default environment remains the default, although its name was passed
    settings = replace(settings, is_declared=saved.content["settings"]["is_declared"])
    check_plan_files(settings.root, saved)
    check_plan_settings(settings, saved)
    planned = saved.content["options"]
    project = load_project(settings, planned["variables"], needs_variables=False)
    guard = PlanGuard(project, saved)
    return project, UpOptions(to=planned["to"], out_of_order=planned["out_of_order"], guard=guard)
