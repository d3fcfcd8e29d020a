"""`confiture migrate assess`: the graded risks of pending migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.context import error_boundary, load_project_with_vars, parse_duration_option, parse_wait
from confiture.cli.option_groups import expand_options
from confiture.cli.options import (
    DEFAULT_WAIT,
    DatabaseOptions,
    DryRunFlags,
    DryRunOption,
    VarOption,
    WaitOption,
    format_option,
)
from confiture.cli.protection import reads_database
from confiture.cli.run_command import dry_run_options
from confiture.cli.streams import echo_stderr
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

if TYPE_CHECKING:
    from confiture.core.commands import UpOptions
    from confiture.core.db.connection import ConnectionTarget
    from confiture.plan.project import PlannedProject


@reads_database
@expand_options
def assess(
    *,
    versions: Annotated[
        list[str] | None, typer.Argument(metavar="[VERSION]...", help="Pending migrations; default: all.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="The last migration to assess.")] = None,
    sample: Annotated[
        str,
        typer.Option(
            "--sample", metavar="TIME", help="Watch the use of tables for this time; default: 0, the counters so far."
        ),
    ] = "0",
    dry_run: DryRunOption = False,
    flags: DryRunFlags,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[
        OutputFormat, format_option(Document.ASSESSMENT, "Output format on stdout: text, JSON or Markdown.")
    ] = TEXT,
    wait: WaitOption = DEFAULT_WAIT,
) -> None:
    """Grade the risks of pending migrations.

    The categories are locks, data loss, duration, tenancy, reversibility, disk space, memory, and concurrent activity.
    Changes nothing. Times come from dry runs: without one on this database, the duration is unknown.

    Examples:

        confiture migrate assess

        confiture migrate assess 004 --env production --format markdown

        confiture migrate assess --dry-run --repeat 5
    """
    with error_boundary(output_format) as context:
        rehearsal = dry_run_options(flags, dry_run=dry_run)
        settings = context.settings(settings_options)
        project = load_project_with_vars(settings, var)
        from confiture.core.commands import UpOptions
        from confiture.core.db.connection import resolve_database
        from confiture.core.review.assessment import AssessmentOptions
        from confiture.core.review.assessment import assess as assess_database

        options = AssessmentOptions(
            versions=tuple(versions or ()), to=to, sample_ms=parse_duration_option("--sample", sample)
        )
        with resolve_database(settings, echo_stderr) as target:
            if dry_run:
                up_options = UpOptions(
                    to=to, dry_run=True, out_of_order=True, lock_wait_ms=parse_wait(wait), rehearsal=rehearsal
                )
                _measure(project, target, up_options)
            assessment = assess_database(project, target, options)
        context.writer.assessment(assessment)


def _measure(project: PlannedProject, target: ConnectionTarget, options: UpOptions) -> None:
    """Dry-run the pending migrations. The result is stored with the predictions."""
    from confiture.core.commands import up
    from confiture.models.events import Emitter
    from confiture.output.terminal.console import stderr_console
    from confiture.output.terminal.progress import choose_view

    view = choose_view(stderr_console())
    with view:
        up(project, target, options, Emitter(view))
