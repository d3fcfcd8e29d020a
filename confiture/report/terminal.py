"""Reports for people at a terminal: tables on stdout, talk on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from confiture.errors import Diagnostic
from confiture.models.events import Outcome
from confiture.models.reports import MigrationReport, RunReport
from confiture.report.sentences import blocked_sentences, estimate_sentences, run_sentence
from confiture.report.timeline import print_timeline
from confiture.report.words import count, duration, rows

_MOST_STEPS = 60
_PIPE_WIDTH = 120
_NARROW = 100
_STYLES = {
    Outcome.DONE: "green",
    Outcome.SKIPPED: "dim",
    Outcome.FAILED: "bold red",
    Outcome.ROLLED_BACK: "red",
    Outcome.STOPPED: "bold yellow",
}


_SUMMARY_STYLES = {
    Outcome.DONE: "green",
    Outcome.FAILED: "red",
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
    # without emoji: `:key:` is no picture of one
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False, emoji=False)


def print_run(console: Console, report: RunReport) -> None:
    """The steps of a run as a table, and how it ended in a sentence."""
    if any(migration.steps for migration in report.migrations):
        console.print(_run_table(report, narrow=console.width < _NARROW))
    if report.dry_run:
        _print_measured(console, report)
    for line in blocked_sentences(report):
        print_text(console, Text(line))
    print_text(console, Text(run_sentence(report), style=_SUMMARY_STYLES.get(report.outcome or Outcome.FAILED, "")))


def print_text(console: Console, text: Text) -> None:
    """A text that a terminal wraps between words, and that stays one line elsewhere, for other programs."""
    console.print(text, soft_wrap=not console.is_terminal)


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
        if step.note:
            name += f" [dim]({escape(step.note)})[/dim]"
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
    return Text(word, style=_STYLES[outcome])


def _print_measured(console: Console, report: RunReport) -> None:
    """What only a dry run has: locks over time, warnings, what stays behind, the estimate."""
    if report.locks:
        console.print()
        print_timeline(console, report.locks, max(lock.released_ms for lock in report.locks))
    for warning in report.warnings:
        console.print()
        print_text(console, Text("warning: ", style="bold yellow").append(warning.message, style="bold default"))
        if warning.span:
            console.print(Text(f"  --> {warning.span}", style="cyan"), soft_wrap=True)
        print_text(console, Text("  next: ", style="green").append(warning.hint, style="default"))
    console.print()
    for line in report.leftovers:
        print_text(console, Text(f"Left behind by the dry run: {line}."))
    for line in estimate_sentences(report):
        print_text(console, Text(line))


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
    print_text(console, line)
    span = diagnostic.span
    if span:
        console.print(Text(f"  --> {span}", style="cyan"), soft_wrap=True)
    if span and diagnostic.excerpt is not None:
        number = str(span.line)
        text, column = _window(diagnostic.excerpt, span.column - 1, console.width - len(number) - 4)
        console.print(Text(f" {number} | ", style="cyan").append(text, style="default"), soft_wrap=True)
        pointer = " " * cell_len(text[:column]) + "^"
        console.print(Text(f" {' ' * len(number)} | ", style="cyan").append(pointer, style="red"), soft_wrap=True)
    for detail in diagnostic.detail:
        print_text(console, Text(f"  {detail}"))
    if diagnostic.hint:
        print_text(console, Text("  next: ", style="green").append(diagnostic.hint, style="default"))


def _window(line: str, column: int, width: int) -> tuple[str, int]:
    """The part of a line that surrounds a column (from 0), and the column in that part.

    Tabs become spaces and what cannot be printed a dot. `width` is a number of characters.
    """
    before = line[:column].expandtabs(4)
    text = "".join(character if character.isprintable() else "·" for character in line.expandtabs(4))
    column, width = len(before), max(width, 20)
    if len(text) <= width:
        return text, column
    start = min(max(column - width // 2, 0), len(text) - width)
    shown = text[start : start + width]
    if start:
        shown = "…" + shown[1:]
    if start + width < len(text):
        shown = shown[:-1] + "…"
    return shown, column - start
