"""Runs as tables and sentences for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from confiture.models.events import Outcome
from confiture.models.reports import MigrationReport, RunReport
from confiture.models.trace import RunWarning
from confiture.models.words import count, duration
from confiture.report.isolation import rehearsed_parts
from confiture.report.sentences import blocked_sentences, estimate_sentences, retry_sentences, run_sentence
from confiture.report.terminal import Text, escape, print_text
from confiture.report.timeline import timeline
from confiture.report.words import rows
from confiture.report.work import folded, is_notable, work_of

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
    """The steps of a run as a table, and how it ended in a sentence."""
    style = _OUTCOMES[report.outcome or Outcome.FAILED]
    ending = [*_remarks(report), Text(run_sentence(report), style=style)]
    steps: list[Table | Text] = []
    if any(migration.steps for migration in report.migrations):
        steps.append(_run_table(report, narrow=console.width < _NARROW))
    blocks = [steps, *_measured(console, report), ending] if report.dry_run else [[*steps, *ending]]
    for number, block in enumerate(block for block in blocks if block):
        if number:
            console.print()
        for part in block:
            _print_part(console, part)


def _print_part(console: Console, part: Table | Text) -> None:
    if isinstance(part, Text) and not part.no_wrap:
        print_text(console, part)
    else:
        console.print(part, soft_wrap=isinstance(part, Text))


def _remarks(report: RunReport) -> list[Table | Text]:
    """What stands above the last sentence: what stays behind, the estimate, what was tried again, who waited."""
    lines = [f"Left behind by the dry run: {line}." for line in report.leftovers]
    lines += [*estimate_sentences(report), *retry_sentences(report), *blocked_sentences(report)]
    return [Text(line) for line in lines]


def _run_table(report: RunReport, *, narrow: bool) -> Table:
    """A line for each step. Where the terminal is narrow, migrations and phases are headings above their steps."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    if not narrow:
        table.add_column("Migration", overflow="fold")
        table.add_column("Phase", no_wrap=True)
    table.add_column("Step", overflow="fold", ratio=1)
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Time", justify="right", no_wrap=True)
    table.add_column("Result", overflow="fold")
    brief = sum(len(migration.steps) for migration in report.migrations) > _MOST_STEPS
    for migration in report.migrations:
        if migration.outcome is None:
            continue
        if brief and migration.outcome is Outcome.DONE:
            _add_migration(table, migration, narrow=narrow)
        else:
            _add_steps(table, migration, narrow=narrow)
    return table


def _add_migration(table: Table, migration: MigrationReport, *, narrow: bool) -> None:
    label, steps = escape(f"{migration.version} {migration.name}"), count(len(migration.steps), "step")
    table.add_row(
        *([f"{label}, {steps}"] if narrow else [label, "", steps]),
        rows(migration.rows),
        duration(migration.duration_ms),
        _outcome(migration.outcome),
    )


def _add_steps(table: Table, migration: MigrationReport, *, narrow: bool) -> None:
    label, phase = escape(f"{migration.version} {migration.name}"), ""
    if narrow:
        table.add_row(f"[bold]{label}[/bold]")
    for step in migration.steps:
        name = escape(step.step.name)
        if step.remark:
            name += f" [dim]({escape(step.remark)})[/dim]"
        if narrow and phase != step.step.phase.value:
            table.add_row(f"[dim]{step.step.phase.value}[/dim]")
        phase = step.step.phase.value
        table.add_row(
            *([Padding(name, (0, 0, 0, 2))] if narrow else [label, phase, name]),
            rows(step.rows),
            duration(step.duration_ms),
            _outcome(step.outcome),
        )
        label = ""
    table.add_section()


def _outcome(outcome: Outcome | None) -> Text:
    if outcome is None:
        return Text("not reached", style="dim")
    word = "ok" if outcome is Outcome.DONE else outcome.value
    return Text(word, style=_OUTCOMES[outcome])


def _measured(console: Console, report: RunReport) -> list[list[Table | Text]]:
    """What only a dry run has: locks over time, what statements cost, warnings, whether tenants stay apart."""
    proofs = rehearsed_parts(report.isolation) if report.isolation else []
    return [timeline(report, console.width), _work(report), *map(_warning, report.warnings), proofs]


def _work(report: RunReport) -> list[Table | Text]:
    """A line for each statement, and for each backfill, that does more than little."""
    found = [work for work in folded(report.statements) if is_notable(work.statement)]
    lines = [
        Text(f"{work.label}: ", style="bold").append(work_of(work.statement), style="default not bold")
        for work in found[:_MOST_WORK_LINES]
    ]
    if len(found) > len(lines):
        lines.append(Text(f"... and {count(len(found) - len(lines), 'more statement')}; the JSON report has them all"))
    return [*lines]


def _warning(warning: RunWarning) -> list[Table | Text]:
    named = f"warning[{warning.rule}]: " if warning.rule else "warning: "
    lines = [Text(named, style="bold yellow").append(warning.message, style="bold default")]
    if warning.span:
        lines.append(Text(f"  --> {warning.span}", style="cyan", no_wrap=True))
    lines.append(Text("  next: ", style="green").append(warning.hint, style="default"))
    for number, line in enumerate((warning.remedy or "").strip().splitlines()):
        label = "  instead: " if number == 0 else " " * len("  instead: ")
        lines.append(Text(label, style="green", no_wrap=True).append(line, style="default"))
    return [*lines]
