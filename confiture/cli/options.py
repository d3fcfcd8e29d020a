"""Options that several commands share, each declared once, in groups that commands take whole."""

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
    """The least severity of a finding that ends lint with 1."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    NEVER = "never"


def format_option(document: Document, help_text: str) -> Any:
    """The option `--format` of a command that prints this document: any of the formats that write it."""
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
    typer.Option("--config", metavar="FILE", help="The settings file; default: confiture.yaml here or above."),
]
VarOption = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="A variable for the templates; wins over all others. Repeatable."),
]
WaitOption = Annotated[
    str,
    typer.Option("--wait", metavar="TIME", help="How long to wait for another run to end: 0, 30s, 5min."),
]
DEFAULT_WAIT = "10s"
"""`DEFAULT_LOCK_WAIT_MS` of the engine, which `--help` does not load."""
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Run everything for real in one transaction, report, and roll it back."),
]
RunFormatOption = Annotated[
    OutputFormat,
    format_option(Document.RUN, "Tables, JSON, annotations for GitHub Actions, JUnit XML, or Markdown, on stdout."),
]
DATA_FORMAT_HELP = "A table, or JSON, on stdout."


@record(frozen=True, kw_only=True)
class SettingsOptions:
    """Which settings a command uses."""

    config: ConfigOption = None
    env: Annotated[
        str | None,
        typer.Option("--env", metavar="NAME", help="The environment of the settings file to use."),
    ] = None


@record(frozen=True, kw_only=True)
class DatabaseOptions(SettingsOptions):
    """Which settings and which database a command uses."""

    database: Annotated[
        str | None,
        typer.Option("--database", metavar="URL", help="A postgresql:// URL, a conninfo string, or `embedded`."),
    ] = None


@record(frozen=True, kw_only=True)
class DryRunFlags:
    """The options of a dry run; None and False are those that were not given."""

    repeat: Annotated[
        int | None,
        typer.Option("--repeat", min=1, max=100, metavar="N", help="Dry run N times: gives the estimate a range."),
    ] = None
    no_prove: Annotated[
        bool,
        typer.Option("--no-prove", help="With --dry-run: do not prove that tenants stay apart."),
    ] = False
    tenants: Annotated[
        int | None,
        typer.Option("--tenants", min=1, metavar="N", help="With --dry-run: prove it for N tenants; default: 10."),
    ] = None
    prove_time: Annotated[
        str | None,
        typer.Option(
            "--prove-time", metavar="TIME", help="With --dry-run: how long all proofs may take; default: 30s."
        ),
    ] = None
    yes: Annotated[bool, typer.Option("--yes", help="Dry run although the environment is protected.")] = False

    @property
    def flag_names(self) -> list[str]:
        """The names of the options that were given."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [f"--{name.replace('_', '-')}" for name, value in values if value not in (None, False)]


@record(frozen=True, kw_only=True)
class UpDryRunFlags(DryRunFlags):
    """The options of a dry run of `up`."""

    scale_to: Annotated[
        str | None,
        typer.Option(
            "--scale-to", metavar="URL", help="Scale the estimate by the row counts of this database; read-only."
        ),
    ] = None
    full: Annotated[
        bool,
        typer.Option("--full", help="With --dry-run: run batched backfills whole, not only a sample of their batches."),
    ] = False


@record(frozen=True, kw_only=True)
class OutputFiles:
    """The files that a run is written to as well: `report` as one HTML page, `events` as JSON lines."""

    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Also write the report as one HTML page.")
    ] = None
    events: Annotated[
        Path | None,
        typer.Option("--events", metavar="FILE", help="Also write what happens, as it happens, as JSON lines."),
    ] = None


@record(frozen=True, kw_only=True)
class UpFlags:
    """Which migrations `up` applies."""

    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="The last migration to apply.")] = None
    out_of_order: Annotated[
        bool, typer.Option("--out-of-order", help="Also apply migrations that come before an applied one.")
    ] = False
