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

from confiture.errors import Diagnostic, Span
from confiture.models.events import Outcome
from confiture.models.reports import MigrationReport, RunReport
from confiture.models.trace import RunWarning
from confiture.report.colours import OUTCOMES
from confiture.report.sentences import blocked_sentences, estimate_sentences, retry_sentences, run_sentence
from confiture.report.timeline import timeline
from confiture.report.words import count, duration, rows
from confiture.report.work import is_notable, work_of

_MOST_STEPS = 60
_PIPE_WIDTH = 120
_NARROW = 100
_MOST_WORK_LINES = 30


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
    style = OUTCOMES[report.outcome or Outcome.FAILED]
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
    return Text(word, style=OUTCOMES[outcome])


def _measured(console: Console, report: RunReport) -> list[list[Table | Text]]:
    """What only a dry run has: locks over time, what statements cost, warnings."""
    return [timeline(report, console.width), _work(report), *(_warning(warning) for warning in report.warnings)]


def _work(report: RunReport) -> list[Table | Text]:
    """A line for each statement that does more than little."""
    found = [statement for statement in report.statements if is_notable(statement)]
    lines = [
        Text(f"{statement.step.version} {statement.step.name}: ", style="bold").append(
            work_of(statement), style="default not bold"
        )
        for statement in found[:_MOST_WORK_LINES]
    ]
    if len(found) > len(lines):
        lines.append(Text(f"... and {len(found) - len(lines)} more statements; the JSON report has them all"))
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
        for line in excerpt_lines(console.width, span, diagnostic.excerpt):
            console.print(line, soft_wrap=True)
    for detail in diagnostic.detail:
        print_text(console, Text(f"  {detail}"))
    if diagnostic.hint:
        print_text(console, Text("  next: ", style="green").append(diagnostic.hint, style="default"))


def excerpt_lines(width: int, span: Span, excerpt: str | None) -> list[Text]:
    """The line of a file that a place is in, and below it where; none where the line is not known."""
    if excerpt is None:
        return []
    number = str(span.line)
    text, column = _window(excerpt, span.column - 1, width - len(number) - 4)
    pointer = " " * cell_len(text[:column]) + "^"
    return [
        Text(f" {number} | ", style="cyan").append(text, style="default"),
        Text(f" {' ' * len(number)} | ", style="cyan").append(pointer, style="red"),
    ]


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
