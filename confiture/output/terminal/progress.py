"""Progress of a run: a live bar on a terminal, lines in a log."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from confiture.durations import format_duration
from confiture.models.events import (
    BackfillProgressed,
    BatchRetried,
    Event,
    HookProgressed,
    LintFinished,
    LockWaiting,
    MigrationFinished,
    MigrationStarted,
    Notice,
    Outcome,
    RunStarted,
    SegmentRetried,
    ServerMessage,
    StepFinished,
    StepStarted,
)
from confiture.models.findings import Finding
from confiture.models.plan import StepId
from confiture.output.summaries import server_message_text
from confiture.output.terminal.console import escape_markup
from confiture.text import escape_line, pluralize

_MIN_STEP_MS = 1_000
_EVENTS_PER_LINE = 10
"""The number of backfill progress events per log line."""
_WIDE_COLUMNS = 80


class ProgressView(Protocol):
    """An event listener that is also a context manager."""

    def __call__(self, event: Event) -> None: ...
    def __enter__(self) -> ProgressView: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def choose_view(console: Console, *, is_quiet: bool = False, is_verbose: bool = False) -> ProgressView:
    """Return a live bar for a terminal; otherwise, return a view that prints lines.

    A quiet view prints nothing. A verbose view prints a line for each step, also on a terminal.
    """
    if is_quiet:
        return QuietView()
    if is_verbose:
        return VerboseView(console)
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else LineView(console)


class LiveView:
    """A progress bar over all steps, with the name of the current step and the elapsed time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            # shorten the description first: the clock matters more
            TextColumn("{task.fields[what]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=24 if console.width >= _WIDE_COLUMNS else 8),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task("", total=None, what="connecting")
        self._rows: TaskID | None = None

    def __enter__(self) -> LiveView:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Update the bar."""
        match event:
            case RunStarted():
                self._progress.update(self._task, total=event.steps or None)
            case StepStarted():
                step = event.step
                what = f"[bold]{escape_markup(step.version)}[/bold] {step.phase.value}: {escape_markup(step.name)}"
                self._progress.update(self._task, what=what)
            case StepFinished():
                self._progress.advance(self._task)
                self._hide_rows()
            case BackfillProgressed():
                self._show_rows(event)
            case HookProgressed():
                self._show(event.done, event.total, "")
            case _:
                for line in notice_lines(event):
                    self._progress.console.print(escape_markup(line))

    def _show_rows(self, event: BackfillProgressed) -> None:
        # if the estimate is too low, show no total instead of a full bar
        total = event.estimated_rows if (event.estimated_rows or 0) > event.source_rows else None
        self._show(event.source_rows, total, rate_text(event))

    def _show(self, done: float, total: float | None, description: str) -> None:
        if self._rows is None:
            self._rows = self._progress.add_task("", total=None, what="")
        self._progress.update(self._rows, completed=done, total=total, what=escape_markup(description))

    def _hide_rows(self) -> None:
        if self._rows is not None:
            self._progress.remove_task(self._rows)
            self._rows = None


class LineView:
    """A view that prints a line for each migration and each slow step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name = ""
        self._progress_count = 0

    def __enter__(self) -> LineView:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Write a line for an event if it is important enough."""
        match event:
            case MigrationStarted():
                self._name = f"{event.version} {event.name}"
            case BackfillProgressed():
                self._progress_count += 1
                if self._progress_count % _EVENTS_PER_LINE == 0:
                    self._write(f"{event.step.version} {event.step.name}: {rows_done_text(event)}, {rate_text(event)}")
            case StepFinished() if event.duration_ms >= _MIN_STEP_MS:
                rows = f", {pluralize(event.rows, 'row')}" if event.rows is not None else ""
                self._write(
                    f"{event.step.version} {event.step.phase.value}: {event.step.name}{rows}, "
                    f"{format_duration(event.duration_ms)}"
                )
            case MigrationFinished() if event.outcome is Outcome.DONE:
                self._write(f"{self._name}: done in {format_duration(event.duration_ms)}")
            case _:
                for line in notice_lines(event):
                    self._write(line)

    def _write(self, text: str) -> None:
        # bypass the console, because laying out hundreds of lines is slow
        self._console.file.write(f"{escape_line(text)}\n")


class VerboseView(LineView):
    """A view that prints a line for the start and the end of each step, and for each lint finding."""

    def __call__(self, event: Event) -> None:
        """Write a line for an event."""
        match event:
            case StepStarted():
                self._write(f"{_step_label(event.step)} begins")
            case StepFinished():
                rows = f", {pluralize(event.rows, 'row')}" if event.rows is not None else ""
                note = f" ({event.note})" if event.note else ""
                time = format_duration(event.duration_ms)
                self._write(f"{_step_label(event.step)} {event.outcome.value}{rows}, {time}{note}")
            case LintFinished():
                for finding in event.findings:
                    self._write(_finding_line(finding))
            case _:
                super().__call__(event)


class QuietView:
    """A view that prints nothing."""

    def __enter__(self) -> QuietView:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Ignore an event."""


def _step_label(step: StepId) -> str:
    return f"{step.version} {step.phase.value}: {step.name} ({step.span})"


def rows_done_text(event: BackfillProgressed) -> str:
    """Return the number of finished rows in the driving table, and the estimated total if known."""
    if event.estimated_rows is None or event.estimated_rows < event.source_rows:
        return pluralize(event.source_rows, "row")
    return f"{event.source_rows:,} of about {pluralize(event.estimated_rows, 'row')}"


def rate_text(event: BackfillProgressed) -> str:
    """Return a backfill's rate, batch size, remaining time, and reason for waiting."""
    parts = [f"{event.rows_per_s:,.0f} rows/s"] if event.rows_per_s is not None else []
    parts.append(f"batches of {event.batch_rows:,}")
    parts.append(
        f"about {format_duration(event.remaining_s * 1000)} left"
        if event.remaining_s is not None
        else "time left unknown"
    )
    if event.waiting_for:
        parts.append(event.waiting_for)
    return ", ".join(parts)


def notice_lines(event: Event) -> list[str]:
    """Return the lines for an important event; none for other events."""
    if isinstance(event, LintFinished):
        return [_finding_line(finding) for finding in event.findings if finding.severity != "info"]
    sentence = _notice_text(event)
    return [sentence] if sentence else []


def _notice_text(event: Event) -> str | None:
    match event:
        case LockWaiting():
            return f"waiting for the migration lock, held by {event.holder}"
        case SegmentRetried():
            return (
                f"{event.version}: {event.reason}; rolled back, retrying in {format_duration(event.wait_ms)} "
                f"({event.attempt} of {event.attempts})"
            )
        case BatchRetried():
            return (
                f"{event.step.version} {event.step.name}: {event.reason}; retrying with"
                f" {pluralize(event.rows, 'row')}"
                f" in {format_duration(event.wait_ms)} ({event.attempt} of {event.attempts})"
            )
        case Notice():
            return event.text
        case ServerMessage():
            return f"{event.step.version} {server_message_text(event)}"
        case MigrationStarted() if event.resumed_after:
            committed = pluralize(event.resumed_after, "segment")
            return f"{event.version} {event.name}: continues after {committed} that an earlier run committed"
    return None


def _finding_line(finding: Finding) -> str:
    place = f" ({finding.span})" if finding.span else ""
    return f"{finding.severity}[{finding.rule}]: {finding.message}{place}"
