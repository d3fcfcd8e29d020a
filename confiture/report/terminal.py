"""Reports for people at a terminal: tables on stdout, talk on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from confiture.errors import Diagnostic
from confiture.models.events import Outcome
from confiture.models.plan import Direction
from confiture.models.reports import MigrationReport, RunReport
from confiture.report.words import count, duration, rows

_MOST_STEPS = 60
_PIPE_WIDTH = 120
_STYLES = {
    Outcome.DONE: "green",
    Outcome.SKIPPED: "dim",
    Outcome.FAILED: "bold red",
    Outcome.ROLLED_BACK: "red",
    Outcome.STOPPED: "bold yellow",
}


def data_console() -> Console:
    """The console for stdout, which carries what was asked for."""
    return _console(stderr=False)


def talk_console() -> Console:
    """The console for stderr, which carries progress and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def print_run(console: Console, report: RunReport) -> None:
    """The steps of a run as a table, and how it ended in a sentence."""
    if any(migration.steps for migration in report.migrations):
        console.print(_run_table(report))
    console.print(_summary(report))


def _run_table(report: RunReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Migration", overflow="fold")
    table.add_column("Phase", overflow="fold")
    table.add_column("Step", overflow="fold", ratio=1)
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Time", justify="right", no_wrap=True)
    table.add_column("Result", overflow="fold")
    brief = sum(len(migration.steps) for migration in report.migrations) > _MOST_STEPS
    for migration in report.migrations:
        if migration.outcome is None:
            continue
        if brief and migration.outcome is Outcome.DONE:
            _add_migration(table, migration)
        else:
            _add_steps(table, migration)
    return table


def _add_migration(table: Table, migration: MigrationReport) -> None:
    table.add_row(
        escape(f"{migration.version} {migration.name}"),
        "",
        count(len(migration.steps), "step"),
        rows(migration.rows),
        duration(migration.duration_ms),
        _outcome(migration.outcome),
    )


def _add_steps(table: Table, migration: MigrationReport) -> None:
    label = escape(f"{migration.version} {migration.name}")
    for step in migration.steps:
        name = escape(step.step.name)
        if step.note:
            name += f" [dim]({escape(step.note)})[/dim]"
        table.add_row(
            label, step.step.phase.value, name, rows(step.rows), duration(step.duration_ms), _outcome(step.outcome)
        )
        label = ""
    table.add_section()


def _outcome(outcome: Outcome | None) -> Text:
    if outcome is None:
        return Text("not reached", style="dim")
    word = "ok" if outcome is Outcome.DONE else outcome.value
    return Text(word, style=_STYLES[outcome])


def _summary(report: RunReport) -> Text:
    reached = [migration for migration in report.migrations if migration.outcome is not None]
    done = [migration for migration in reached if migration.outcome is Outcome.DONE]
    written = count(sum(migration.rows for migration in done), "row")
    took = duration(report.duration_ms)
    where = f"on {report.database}" + (f" ({report.environment})" if report.environment else "")
    verb = "undone" if report.direction is Direction.DOWN else "applied"
    if report.outcome is Outcome.DONE and not report.migrations:
        nothing = (
            "Nothing to undo" if report.direction is Direction.DOWN else "Nothing to do: every migration is applied"
        )
        return Text(f"{nothing} {where}.")
    if report.dry_run:
        what = count(len(done), "migration")
        if report.outcome is Outcome.DONE:
            return Text(f"Dry run {where}: {what} would be {verb}, {written}, {took}. Rolled back: nothing changed.")
        return Text(f"Dry run {where} failed after {took}. Rolled back: nothing changed.", style="red")
    if report.outcome is Outcome.DONE:
        return Text(f"{count(len(done), 'migration')} {verb} {where}: {written}, {took}.", style="green")
    failed = next((m for m in reached if m.outcome is not Outcome.DONE), None)
    return Text(_failure_sentence(report, failed, len(done), verb), style="red")


def _failure_sentence(report: RunReport, failed: MigrationReport | None, done: int, verb: str) -> str:
    before = f"{count(done, 'migration')} {verb} before. " if done else ""
    command = "confiture migrate down" if report.direction is Direction.DOWN else "confiture migrate up"
    if failed is None:
        return f"{before}Nothing was changed."
    label = f"{failed.version} {failed.name}"
    if report.outcome is Outcome.STOPPED:
        return (
            f"{before}{label} stopped midway: what ran before the failed step is committed."
            f" Next: mend the cause, then `{command}` goes on from there."
        )
    return f"{before}{label} was rolled back: nothing of it remains. Next: mend the cause, then `{command}`."


def print_diagnostics(console: Console, diagnostics: Iterable[Diagnostic]) -> None:
    """Each mistake with its place, the line that stands there, the facts, and the next step."""
    for number, diagnostic in enumerate(diagnostics):
        if number:
            console.print()
        _print_diagnostic(console, diagnostic)


def _print_diagnostic(console: Console, diagnostic: Diagnostic) -> None:
    line = Text()
    line.append(f"error[{diagnostic.code}]", style="bold red")
    line.append(f": {diagnostic.message}", style="bold")
    console.print(line, soft_wrap=True)
    span = diagnostic.span
    if span:
        console.print(Text(f"  --> {span}", style="cyan"), soft_wrap=True)
    if span and diagnostic.excerpt is not None:
        gutter = len(str(span.line))
        text = diagnostic.excerpt.expandtabs(4)
        column = len(diagnostic.excerpt[: span.column - 1].expandtabs(4))
        console.print(Text(f" {span.line} | ", style="cyan").append(text, style="default"), soft_wrap=True)
        console.print(Text(f" {' ' * gutter} | ", style="cyan").append(" " * column + "^", style="red"), soft_wrap=True)
    for detail in diagnostic.detail:
        console.print(Text(f"  {detail}"), soft_wrap=True)
    if diagnostic.hint:
        console.print(Text("  next: ", style="green").append(diagnostic.hint, style="default"), soft_wrap=True)
