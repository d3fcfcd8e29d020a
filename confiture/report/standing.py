"""Where a database stands, for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from confiture.models.history import Origin, State
from confiture.plan.history import Standing
from confiture.report.words import count, duration


def print_status(console: Console, standing: Standing, database: str, environment: str) -> None:
    """Applied and pending migrations as a table, and the next step."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("State")
    table.add_column("Applied at")
    table.add_column("By", overflow="fold")
    table.add_column("Took", justify="right")
    for row in standing.applied:
        state = "[green]applied[/green]" if row.origin is Origin.RUN else "[green]baseline[/green]"
        when = row.applied_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if row.applied_at else ""
        label = escape(f"{row.version} {row.name}")
        table.add_row(label, state, when, escape(row.applied_by), duration(row.duration_ms))
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
    console.print(escape(_sentence(standing, database, environment)), soft_wrap=True)


def _sentence(standing: Standing, database: str, environment: str) -> str:
    done = f"{count(len(standing.applied), 'migration')} applied on {database} ({environment})"
    if standing.unfinished and standing.unfinished.state is State.REVERTING:
        return f"{done}. Next: `confiture migrate down` finishes the one that stopped midway."
    if standing.pending:
        return f"{done}, {len(standing.pending)} pending. Next: `confiture migrate up`, or `--dry-run` first."
    return f"{done}, none pending."
