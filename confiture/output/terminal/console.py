"""Consoles for a terminal: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from shutil import get_terminal_size
from typing import IO, cast

from rich import markup
from rich import text as rich_text
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import Style

from confiture.errors import Diagnostic, Span
from confiture.output.terminal.streams import CleanStream
from confiture.secrets import hide_secrets
from confiture.text import escape_block, escape_line

_PIPE_WIDTH = 120
_DUMB, _DUMB_WIDTH = ("dumb", "unknown"), 80
_REFRESH_S = 0.5


class CleanText(rich_text.Text):
    """Literal text on one line, cleaned before it is measured and laid out."""

    def __init__(self, text: str = "", style: str = "", *, no_wrap: bool | None = None) -> None:
        super().__init__(escape_line(text), style, no_wrap=no_wrap)

    def append(self, text: str | rich_text.Text, style: str | Style | None = None) -> CleanText:
        super().append(escape_line(text) if isinstance(text, str) else text, style)
        return self


def escape_markup(text: str) -> str:
    """Escape text so that a function that expects markup prints it literally, on one line."""
    return markup.escape(escape_line(text))


class CleanConsole(Console):
    """A console that cleans all output: the only control characters are those of its own styles."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control or _is_clean(segment.text) else _clean_segment(segment)


def _is_clean(text: str) -> bool:
    return text == "\n" or (text.isprintable() and hide_secrets(text) == text)


def _clean_segment(segment: Segment) -> Segment:
    # a line end in a segment belongs to the layout
    return Segment(escape_block(segment.text), segment.style)


def stdout_console() -> Console:
    """Return the stdout console, for the results of a command."""
    return _make_console(stderr=False)


def stderr_console() -> Console:
    """Return the stderr console, for progress and errors."""
    return _make_console(stderr=True)


def _make_console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    if width is None and os.environ.get("TERM", "").lower() in _DUMB:
        # rich assumes 80 columns for such a terminal
        width = get_terminal_size((_DUMB_WIDTH, 24)).columns
    file = cast("IO[str]", stream.styled_stream) if isinstance(stream, CleanStream) else stream
    # without emoji: `:key:` is printed literally
    return CleanConsole(file=file, stderr=stderr, width=width, highlight=False, soft_wrap=False, emoji=False)


def print_wrapped(console: Console, text: CleanText) -> None:
    """Print text. Wrap it between words on a terminal; elsewhere, print a single line for other programs."""
    console.print(text, soft_wrap=not console.is_terminal)


def watch_view(render_view: Callable[[], RenderableType]) -> None:
    """Show the result of `render_view`, refreshed twice a second, until Ctrl-C."""
    from rich.live import Live

    with Live(console=stdout_console(), auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            live.update(render_view(), refresh=True)
            time.sleep(_REFRESH_S)


def print_diagnostics(console: Console, diagnostics: Iterable[Diagnostic]) -> None:
    """Print each diagnostic with its location, the line of the file, the details, and the next step."""
    for number, diagnostic in enumerate(diagnostics):
        if number:
            console.print()
        _print_diagnostic(console, diagnostic)


def _print_diagnostic(console: Console, diagnostic: Diagnostic) -> None:
    line = CleanText()
    line.append(f"error[{diagnostic.code}]", style="bold red")
    line.append(f": {diagnostic.message}", style="bold")
    print_wrapped(console, line)
    span = diagnostic.span
    if span:
        console.print(CleanText(f"  --> {span}", style="cyan"), soft_wrap=True)
        for line in excerpt_lines(console.width, span, diagnostic.excerpt):
            console.print(line, soft_wrap=True)
    for detail in diagnostic.detail:
        print_wrapped(console, CleanText(f"  {detail}"))
    if diagnostic.hint:
        print_wrapped(console, CleanText("  next: ", style="green").append(diagnostic.hint, style="default"))


def excerpt_lines(width: int, span: Span, excerpt: str | None) -> list[CleanText]:
    """Return the source line and a pointer to the column; an empty list if the line is unknown."""
    if excerpt is None:
        return []
    number = str(span.line)
    text, column = _excerpt_window(excerpt, span.column - 1, width - len(number) - 4)
    pointer = " " * cell_len(text[:column]) + "^"
    return [
        CleanText(f" {number} | ", style="cyan").append(text, style="default"),
        CleanText(f" {' ' * len(number)} | ", style="cyan").append(pointer, style="red"),
    ]


def _excerpt_window(line: str, column: int, width: int) -> tuple[str, int]:
    """Return the part of a line around a column (from 0), and the column in that part.

    Tabs become spaces; unprintable characters become dots. `width` is a number of characters.
    """
    width = max(width, 20)
    # a line may be megabytes long and is printed once for each of its errors
    first, end = max(column - width, 0), column + width
    before = line[first:column].expandtabs(4)
    text = "".join(character if character.isprintable() else "·" for character in line[first:end].expandtabs(4))
    column = len(before)
    start = min(max(column - width // 2, 0), max(len(text) - width, 0))
    window = text[start : start + width]
    if first or start:
        window = "…" + window[1:]
    if len(text) > start + width or len(line) > end:
        window = window[:-1] + "…"
    return window, column - start
