"""Where a database stands, for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from confiture.models.history import AppliedMigration, Origin, State
from confiture.models.words import count, duration
from confiture.plan.history import Standing, Stopped, track_record
from confiture.plan.ordering import version_key
from confiture.report.terminal import Text, escape, print_text


def print_status(console: Console, standing: Standing, database: str, environment: str) -> None:
    """Applied and pending migrations as a table, and the next step."""
    table = _table(standing)
    if table.row_count:
        console.print(table)
    record = track_record(standing.applied)
    if record:
        print_text(console, Text(f"{record[0].upper()}{record[1:]}.{_single_runs(standing)}"))
    for plan in standing.pending:
        for one in plan.missing:
            print_text(console, Text(f"{plan.migration.label} cannot run yet: {one.message}."))
    for stopped in standing.stopped:
        print_text(console, Text(_progress(stopped, under_way=standing.under_way is not None)))
    if standing.renamed is not None:
        problem = standing.renamed
        text = f"{problem.message[0].upper()}{problem.message[1:]}. Next: {problem.hint}."
        print_text(console, Text(text, style="yellow"))
        return
    print_text(console, Text(_sentence(standing, database, environment)))


def _table(standing: Standing) -> Table:
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
    for stopped in standing.stopped:
        state = "midway" if standing.under_way else "stopped midway"
        down = "down " if stopped.row.state is State.REVERTING else ""
        table.add_row(escape(_label(stopped)), f"[yellow]{down}{state}[/yellow]")
    midway = {version_key(stopped.row.version) for stopped in standing.stopped}
    late = {plan.version for plan in standing.out_of_order}
    for plan in standing.pending:
        if version_key(plan.version) not in midway:
            state = "[red]pending, out of order[/red]" if plan.version in late else "pending"
            table.add_row(escape(plan.migration.label), state)
    return table


def _label(stopped: Stopped) -> str:
    return f"{stopped.row.version} {stopped.row.name}"


def _progress(stopped: Stopped, *, under_way: bool) -> str:
    """How far a migration came that is midway, and where the next run goes on if this one has stopped."""
    what = "The down of " if stopped.row.state is State.REVERTING else ""
    told = f"{what}{_label(stopped)} {'is' if under_way else 'stopped'} midway: {_committed(stopped)} committed"
    step = stopped.next_step
    if under_way or stopped.segments is None:
        return f"{told}."
    if step is None:
        return f"{told}, nothing is left to run."
    place = f"{step.phase}: {step.label} ({step.span.path}:{step.span.line})"
    if stopped.begun:
        return f"{told}. It had begun {place}, and looks first whether that is done."
    return f"{told}. It goes on at {place}."


def _committed(stopped: Stopped) -> str:
    if stopped.segments is None:
        return count(stopped.committed, "segment")
    return f"{stopped.committed} of {count(stopped.segments, 'segment')}"


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
        return " A prediction without a range counts as held within 15 % of it."
    return ""


def _sentence(standing: Standing, database: str, environment: str) -> str:
    done = f"{count(len(standing.applied), 'migration')} applied on {database} ({environment})"
    if standing.under_way:
        return f"{done}, {len(standing.pending)} pending. Under way now: {standing.under_way}."
    if any(stopped.row.state is State.REVERTING for stopped in standing.stopped):
        return f"{done}. Next: `confiture migrate down` finishes the one that stopped midway."
    if standing.pending:
        return f"{done}, {len(standing.pending)} pending. Next: `confiture migrate up`, or `--dry-run` first."
    return f"{done}, none pending."
