"""Reports for people at a terminal: tables on stdout, talk on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from confiture.errors import Diagnostic, Span

_PIPE_WIDTH = 120
_REFRESH_S = 0.5


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


def print_text(console: Console, text: Text) -> None:
    """A text that a terminal wraps between words, and that stays one line elsewhere, for other programs."""
    console.print(text, soft_wrap=not console.is_terminal)


def print_again_and_again(view: Callable[[], RenderableType]) -> None:
    """Shows what `view` gives, anew twice a second, until Ctrl-C."""
    from rich.live import Live

    with Live(console=data_console(), auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            live.update(view(), refresh=True)
            time.sleep(_REFRESH_S)


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
    width = max(width, 20)
    # a line may be megabytes long, and be shown for each of the mistakes in it
    first, end = max(column - width, 0), column + width
    before = line[first:column].expandtabs(4)
    text = "".join(one if one.isprintable() else "·" for one in line[first:end].expandtabs(4))
    column = len(before)
    start = min(max(column - width // 2, 0), max(len(text) - width, 0))
    shown = text[start : start + width]
    if first or start:
        shown = "…" + shown[1:]
    if len(text) > start + width or len(line) > end:
        shown = shown[:-1] + "…"
    return shown, column - start
