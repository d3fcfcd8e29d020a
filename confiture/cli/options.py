"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    JUNIT = "junit"
    MARKDOWN = "markdown"


class DataFormat(StrEnum):
    """How data is printed."""

    TEXT = "text"
    JSON = "json"


class LintFormat(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"
    GITLAB = "gitlab"
    JUNIT = "junit"
    MARKDOWN = "markdown"


class FailOn(StrEnum):
    """The least severity of a finding that ends lint with 1."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    NEVER = "never"


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings file; default: confiture.yaml here or above."),
]
EnvOption = Annotated[
    str | None,
    typer.Option("--env", metavar="NAME", help="The environment of the settings file to use."),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="A postgresql:// URL, a conninfo string, or `embedded`."),
]
VarOption = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="A variable for the templates; wins over all others. Repeatable."),
]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help="Tables, JSON, annotations for GitHub Actions, JUnit XML, or Markdown, on stdout."),
]
DataFormatOption = Annotated[DataFormat, typer.Option("--format", help="A table, or JSON, on stdout.")]
WaitOption = Annotated[
    str,
    typer.Option("--wait", metavar="TIME", help="How long to wait for another run to end: 0, 30s, 5min."),
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="VERSION", help="The last migration to apply.")]
RepeatOption = Annotated[
    int | None,
    typer.Option("--repeat", min=1, max=100, metavar="N", help="Dry run N times: gives the estimate a range."),
]
OutOfOrderOption = Annotated[
    bool, typer.Option("--out-of-order", help="Also apply migrations that come before an applied one.")
]
FullOption = Annotated[
    bool,
    typer.Option("--full", help="With --dry-run: run batched backfills whole, not only a sample of their batches."),
]
ScaleOption = Annotated[
    str | None,
    typer.Option("--scale-to", metavar="URL", help="Scale the estimate by the row counts of this database; read-only."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Dry run although the environment is protected.")]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Also write the report as one HTML page.")
]
EventsOption = Annotated[
    Path | None,
    typer.Option("--events", metavar="FILE", help="Also write what happens, as it happens, as JSON lines."),
]
NoProveOption = Annotated[
    bool,
    typer.Option("--no-prove", help="With --dry-run: do not prove that tenants stay apart."),
]
TenantsOption = Annotated[
    int | None,
    typer.Option("--tenants", min=1, metavar="N", help="With --dry-run: prove it for N tenants; default: 10."),
]
ProveTimeOption = Annotated[
    str | None,
    typer.Option("--prove-time", metavar="TIME", help="With --dry-run: how long all proofs may take; default: 30s."),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Run everything for real in one transaction, report, and roll it back."),
]
