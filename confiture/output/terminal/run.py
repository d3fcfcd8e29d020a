"""The report of a run as tables and sentences."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from confiture.durations import format_duration
from confiture.models.events import Outcome
from confiture.models.reports import MigrationReport, RunReport
from confiture.models.trace import DryRunWarning
from confiture.output.numbers import format_rows
from confiture.output.statement_cost import describe_cost, group_batches, is_notable
from confiture.output.summaries import blocked_summary, estimate_summary, retry_summary, run_summary
from confiture.output.terminal.console import CleanText, escape_markup, print_wrapped
from confiture.output.terminal.lock_timeline import lock_timeline
from confiture.output.terminal.tenancy_proofs import dry_run_tables
from confiture.text import pluralize

_MOST_STEPS = 60
_NARROW = 100
_MOST_WORK_LINES = 30
_OUTCOMES = {
    Outcome.DONE: "green",
    Outcome.SKIPPED: "dim",
    Outcome.FAILED: "bold red",
    Outcome.ROLLED_BACK: "red",
    Outcome.STOPPED: "bold yellow",
}


def print_run(console: Console, report: RunReport) -> None:
    """Print the steps of a run as a table and the outcome as a sentence."""
    style = _OUTCOMES[report.outcome or Outcome.FAILED]
    ending = [*_notices(report), CleanText(run_summary(report), style=style)]
    steps: list[Table | CleanText] = []
    if any(migration.steps for migration in report.migrations):
        steps.append(_run_table(report, is_narrow=console.width < _NARROW))
    blocks = [steps, *_dry_run_sections(console, report), ending] if report.dry_run else [[*steps, *ending]]
    for number, block in enumerate(block for block in blocks if block):
        if number:
            console.print()
        for part in block:
            _print_part(console, part)


def _print_part(console: Console, part: Table | CleanText) -> None:
    if isinstance(part, CleanText) and not part.no_wrap:
        print_wrapped(console, part)
    else:
        console.print(part, soft_wrap=isinstance(part, CleanText))


def _notices(report: RunReport) -> list[Table | CleanText]:
    """Return the lines above the summary: dry-run leftovers, the estimate, retries, and blocked sessions."""
    lines = [f"The dry run left behind: {line}." for line in report.leftovers]
    lines += [*estimate_summary(report), *retry_summary(report), *blocked_summary(report)]
    return [CleanText(line) for line in lines]


def _run_table(report: RunReport, *, is_narrow: bool) -> Table:
    """Return a table with a row for each step. On a narrow terminal, migrations and phases are headings."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    if not is_narrow:
        table.add_column("Migration", overflow="fold")
        table.add_column("Phase", no_wrap=True)
    table.add_column("Step", overflow="fold", ratio=1)
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Time", justify="right", no_wrap=True)
    table.add_column("Result", overflow="fold")
    is_brief = sum(len(migration.steps) for migration in report.migrations) > _MOST_STEPS
    for migration in report.migrations:
        if migration.outcome is None:
            continue
        if is_brief and migration.outcome is Outcome.DONE:
            _add_migration(table, migration, is_narrow=is_narrow)
        else:
            _add_steps(table, migration, narrow=is_narrow)
    return table


def _add_migration(table: Table, migration: MigrationReport, *, is_narrow: bool) -> None:
    label, steps = escape_markup(f"{migration.version} {migration.name}"), pluralize(len(migration.steps), "step")
    table.add_row(
        *([f"{label}, {steps}"] if is_narrow else [label, "", steps]),
        format_rows(migration.rows),
        format_duration(migration.duration_ms),
        _outcome_text(migration.outcome),
    )


def _add_steps(table: Table, migration: MigrationReport, *, narrow: bool) -> None:
    label, phase = escape_markup(f"{migration.version} {migration.name}"), ""
    if narrow:
        table.add_row(f"[bold]{label}[/bold]")
    for step in migration.steps:
        name = escape_markup(step.step.name)
        if step.note_and_stats:
            name += f" [dim]({escape_markup(step.note_and_stats)})[/dim]"
        if narrow and phase != step.step.phase.value:
            table.add_row(f"[dim]{step.step.phase.value}[/dim]")
        phase = step.step.phase.value
        table.add_row(
            *([Padding(name, (0, 0, 0, 2))] if narrow else [label, phase, name]),
            format_rows(step.rows),
            format_duration(step.duration_ms),
            _outcome_text(step.outcome),
        )
        label = ""
    table.add_section()


def _outcome_text(outcome: Outcome | None) -> CleanText:
    if outcome is None:
        return CleanText("not reached", style="dim")
    word = "ok" if outcome is Outcome.DONE else outcome.value
    return CleanText(word, style=_OUTCOMES[outcome])


def _dry_run_sections(console: Console, report: RunReport) -> list[list[Table | CleanText]]:
    """Return the sections of a dry run: locks over time, statement costs, warnings, tenant isolation."""
    proofs = dry_run_tables(report.isolation) if report.isolation else []
    return [
        lock_timeline(report, console.width),
        _statement_costs(report),
        *map(_warning_parts, report.warnings),
        proofs,
    ]


def _statement_costs(report: RunReport) -> list[Table | CleanText]:
    """Return a line for each statement or backfill with notable costs."""
    costs = [cost for cost in group_batches(report.statements) if is_notable(cost.statement)]
    lines = [
        CleanText(f"{cost.label}: ", style="bold").append(describe_cost(cost.statement), style="default not bold")
        for cost in costs[:_MOST_WORK_LINES]
    ]
    if len(costs) > len(lines):
        lines.append(
            CleanText(f"... and {pluralize(len(costs) - len(lines), 'more statement')}; the JSON report lists all")
        )
    return [*lines]


def _warning_parts(warning: DryRunWarning) -> list[Table | CleanText]:
    label = f"warning[{warning.rule}]: " if warning.rule else "warning: "
    lines = [CleanText(label, style="bold yellow").append(warning.message, style="bold default")]
    if warning.span:
        lines.append(CleanText(f"  --> {warning.span}", style="cyan", no_wrap=True))
    lines.append(CleanText("  next: ", style="green").append(warning.hint, style="default"))
    for number, line in enumerate((warning.remedy or "").strip().splitlines()):
        label = "  instead: " if number == 0 else " " * len("  instead: ")
        lines.append(CleanText(label, style="green", no_wrap=True).append(line, style="default"))
    return [*lines]
