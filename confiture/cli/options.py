"""Options shared by several commands, each declared once, in reusable groups."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from confiture.models.records import record
from confiture.output.document import Document
from confiture.output.formats import OutputFormat, formats_for


class FailOn(StrEnum):
    """The lowest severity at which lint exits with 1."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    NEVER = "never"


def format_option(document: Document, help_text: str) -> Any:
    """Return the `--format` option for a command that prints this document. It allows all supported formats."""
    formats = formats_for(document)

    def parse(value: str | OutputFormat) -> OutputFormat:
        form = formats.get(str(value))
        if form is None:
            raise typer.BadParameter(f"{str(value)!r} is not one of {', '.join(map(repr, formats))}.")
        return form

    return typer.Option(
        "--format", parser=parse, metavar=f"[{'|'.join(formats)}]", autocompletion=lambda: [*formats], help=help_text
    )


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings file; default: the nearest confiture.yaml."),
]
VarOption = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="Set a template variable; overrides other sources. Repeatable."),
]
WaitOption = Annotated[
    str,
    typer.Option("--wait", metavar="TIME", help="How long to wait for the migration lock: 0, 30s, 5min."),
]
DEFAULT_WAIT = "10s"
"""Must equal the engine's `DEFAULT_LOCK_WAIT_MS`. `--help` does not import the engine."""
RedactOption = Annotated[
    bool | None,
    typer.Option("--redact/--no-redact", help="Hide the values of rows in output; default: only if CI is set."),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Run everything in one transaction, report, and roll back."),
]
RunFormatOption = Annotated[
    OutputFormat,
    format_option(Document.RUN, "Output format on stdout: tables, JSON, GitHub annotations, JUnit XML or Markdown."),
]
DATA_FORMAT_HELP = "Output format on stdout: a table or JSON."


@record(frozen=True, kw_only=True)
class SettingsOptions:
    """The options that choose the settings."""

    config: ConfigOption = None
    env: Annotated[
        str | None,
        typer.Option("--env", metavar="NAME", help="The environment in the settings file to use."),
    ] = None


@record(frozen=True, kw_only=True)
class DatabaseOptions(SettingsOptions):
    """The options that choose the settings and the database."""

    database: Annotated[
        str | None,
        typer.Option("--database", metavar="URL", help="A postgresql:// URL, a conninfo string, or `embedded`."),
    ] = None


@record(frozen=True, kw_only=True)
class DryRunFlags:
    """The dry-run options; None or False for an option that is not given."""

    repeat: Annotated[
        int | None,
        typer.Option("--repeat", min=1, max=100, metavar="N", help="With --dry-run: run N times to estimate a range."),
    ] = None
    no_prove: Annotated[
        bool,
        typer.Option("--no-prove", help="With --dry-run: skip the tenant isolation proofs."),
    ] = False
    tenants: Annotated[
        int | None,
        typer.Option("--tenants", min=1, metavar="N", help="With --dry-run: run proofs for N tenants; default: 10."),
    ] = None
    prove_time: Annotated[
        str | None,
        typer.Option("--prove-time", metavar="TIME", help="With --dry-run: time limit for all proofs; default: 30s."),
    ] = None
    yes: Annotated[bool, typer.Option("--yes", help="With --dry-run: allow a protected environment.")] = False

    @property
    def flag_names(self) -> list[str]:
        """The names of the options that were given."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [f"--{name.replace('_', '-')}" for name, value in values if value not in (None, False)]


@record(frozen=True, kw_only=True)
class UpDryRunFlags(DryRunFlags):
    """The dry-run options of `up`."""

    scale_to: Annotated[
        str | None,
        typer.Option(
            "--scale-to",
            metavar="URL",
            help="With --dry-run: scale the estimate by the row counts in this database; read-only.",
        ),
    ] = None
    full: Annotated[
        bool,
        typer.Option("--full", help="With --dry-run: run all backfill batches, not only a sample."),
    ] = False


@record(frozen=True, kw_only=True)
class OutputFiles:
    """Additional output files of a run: `report` is an HTML page, `events` is JSON lines."""

    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Also write the report as one HTML page.")
    ] = None
    events: Annotated[
        Path | None,
        typer.Option("--events", metavar="FILE", help="Also stream events as JSON lines."),
    ] = None
    log_file: Annotated[
        Path | None,
        typer.Option(
            "--log-file", metavar="FILE", help="Also append events with their level to this log, as JSON lines."
        ),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors, and documents of other formats.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", help="Also print the start and the end of each step.")] = False
    redact: RedactOption = None


@record(frozen=True, kw_only=True)
class UpFlags:
    """The options that select migrations for `up`."""

    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="The last migration to apply.")] = None
    out_of_order: Annotated[
        bool, typer.Option("--out-of-order", help="Also apply pending migrations older than an applied one.")
    ] = False


@record(frozen=True, kw_only=True)
class SavedPlanFlags(UpFlags):
    """The options of `up`: what to apply, or a saved plan."""

    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Apply exactly this saved plan, if it still matches.")
    ] = None
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Review the plan with questions before anything runs.")
    ] = False
