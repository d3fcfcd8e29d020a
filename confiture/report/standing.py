"""Where a database stands, for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from confiture.models.history import AppliedMigration, Origin, State
from confiture.plan.history import Standing, track_record
from confiture.report.terminal import print_text
from confiture.report.words import count, duration


def print_status(console: Console, standing: Standing, database: str, environment: str) -> None:
    """Applied and pending migrations as a table, and the next step."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("State")
    table.add_column("Applied at")
    table.add_column("By", overflow="fold")
    table.add_column("Took", justify="right")
    predicted = any(row.outturn for row in standing.applied)
    if predicted:
        table.add_column("Steps took", justify="right")
        table.add_column("Predicted", justify="right")
    for row in standing.applied:
        state = "[green]applied[/green]" if row.origin is Origin.RUN else "[green]baseline[/green]"
        when = row.applied_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if row.applied_at else ""
        label = escape(f"{row.version} {row.name}")
        outturn = _outturn(row) if predicted else []
        table.add_row(label, state, when, escape(row.applied_by), duration(row.duration_ms), *outturn)
    unfinished = standing.unfinished
    if unfinished and unfinished.state is State.REVERTING:
        table.add_row(escape(f"{unfinished.version} {unfinished.name}"), "[yellow]down stopped midway[/yellow]")
    late = {plan.version for plan in standing.out_of_order}
    for plan in standing.pending:
        if unfinished and plan.version == unfinished.version:
            state = "[yellow]stopped midway[/yellow]"
            if unfinished.state is State.REVERTING:
                continue
        else:
            state = "[red]pending, out of order[/red]" if plan.version in late else "pending"
        table.add_row(escape(plan.migration.label), state)
    if table.row_count:
        console.print(table)
    record = track_record(standing.applied)
    if record:
        print_text(console, Text(f"{record[0].upper()}{record[1:]}.{_single_runs(standing)}"))
    print_text(console, Text(_sentence(standing, database, environment)))


def _outturn(row: AppliedMigration) -> list[str]:
    """What the steps took, and what a dry run had predicted; struck by colour where it did not hold."""
    if row.outturn is None:
        return ["", ""]
    predicted = duration(row.outturn.predicted_ms)
    if row.outturn.low_ms is not None:
        predicted = f"{duration(row.outturn.low_ms)} to {duration(row.outturn.high_ms)}"
    colour = "green" if row.outturn.held else "yellow"
    return [duration(row.outturn.measured_ms), f"[{colour}]{predicted}[/{colour}]"]


def _single_runs(standing: Standing) -> str:
    """By what a prediction without a range is judged, where there is one."""
    if any(row.outturn and row.outturn.low_ms is None for row in standing.applied):
        return " A prediction from a single run counts as held within 15 % of it."
    return ""


def _sentence(standing: Standing, database: str, environment: str) -> str:
    done = f"{count(len(standing.applied), 'migration')} applied on {database} ({environment})"
    if standing.unfinished and standing.unfinished.state is State.REVERTING:
        return f"{done}. Next: `confiture migrate down` finishes the one that stopped midway."
    if standing.pending:
        return f"{done}, {len(standing.pending)} pending. Next: `confiture migrate up`, or `--dry-run` first."
    return f"{done}, none pending."
