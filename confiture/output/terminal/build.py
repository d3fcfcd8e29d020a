"""The progress and the report of a build on a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from confiture.durations import format_duration
from confiture.models.builds import BuildAction, BuildReport
from confiture.output.terminal.console import escape_markup
from confiture.text import pluralize

if TYPE_CHECKING:
    from confiture.plan.schema_script import SchemaScript, ScriptFile

_SILENT_S = 1.0
_UPDATE_S = 0.1


class BuildView:
    """A progress bar over the files on a terminal, shown if the build takes longer than a second.

    Elsewhere, nothing is shown.
    """

    def __init__(self, console: Console) -> None:
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._progress = Progress(
            TextColumn("{task.fields[path]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task("", total=None, path="")
        self._started = time.monotonic()
        self._next_update = self._started + _SILENT_S

    def __enter__(self) -> BuildView:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def on_load(self, script: SchemaScript) -> None:
        """Set the number of files."""
        self._progress.update(self._task, total=len(script.files))

    def on_file(self, number: int, file: ScriptFile) -> None:
        """Show the file that runs next; `number` files are done."""
        now = time.monotonic()
        if not self._is_live or now < self._next_update:
            return
        self._next_update = now + _UPDATE_S
        self._progress.start()
        self._progress.update(self._task, completed=number, path=escape_markup(file.path))


def summary_lines(report: BuildReport) -> list[str]:
    """Return the sentences about a build."""
    size = f"{pluralize(report.files, 'file')}, {pluralize(report.statements, 'statement')}"
    duration = format_duration(report.read_ms + report.run_ms)
    match report.action:
        case BuildAction.BUILD:
            first = f"Built {report.target} from {size} in {duration}."
        case BuildAction.CHECK:
            first = f"The schema files build: {size}, on {report.target} in {duration}."
        case BuildAction.OUTPUT:
            first = f"Wrote {size} to {report.target}."
        case BuildAction.TEMPLATE if report.is_unchanged:
            first = f"The template database {report.target} is up to date: {size}."
        case BuildAction.TEMPLATE:
            first = f"Built the template database {report.target} from {size} in {duration}."
    return [first, *(f"note: {note}" for note in report.notes)]
