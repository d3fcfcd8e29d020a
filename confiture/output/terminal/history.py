"""The events of a history, one line each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from confiture.durations import format_duration
from confiture.models.history_events import HistoryEvent, HistoryEventKind
from confiture.output.terminal.console import CleanText, print_wrapped
from confiture.output.writer import HistorySummary
from confiture.text import escape_line

_STYLES: dict[str, str] = {
    HistoryEventKind.APPLIED: "green",
    HistoryEventKind.BASELINED: "green",
    HistoryEventKind.FAILED: "red",
    HistoryEventKind.STOPPED: "yellow",
    HistoryEventKind.UNDONE: "yellow",
}
_WIDTH = 80
_GAP = 2
_WIDEST = {"event": 10, "migration": 24, "took": 12}
_NARROWEST_NOTE = 10


def print_history(console: Console, summary: HistorySummary) -> None:
    """Print a line for each event that fits the terminal, or 80 columns elsewhere. Longer texts are cut."""
    if not summary.events:
        text = f"No events for {summary.project} on {summary.database} ({summary.environment})."
        print_wrapped(console, CleanText(text))
        return
    width = max(console.width, _WIDTH) if console.is_terminal else _WIDTH
    columns = [
        _column(summary.events, lambda event: f"{event.at.astimezone():%Y-%m-%d %H:%M}"),
        _column(summary.events, lambda event: event.event, _WIDEST["event"]),
        _column(
            summary.events, lambda event: f"{event.version or ''} {event.name or ''}".strip(), _WIDEST["migration"]
        ),
        _column(summary.events, lambda event: format_duration(event.duration_ms), _WIDEST["took"]),
    ]
    rest = max(width - sum(cell_len(column[0]) + _GAP for column in columns), _NARROWEST_NOTE)
    columns.append(_column(summary.events, _describe_origin, rest))
    for number, event in enumerate(summary.events):
        line = CleanText(no_wrap=True)
        for position, column in enumerate(columns):
            style = _STYLES.get(event.event, "") if position == 1 else ""
            line.append((" " * _GAP if position else "") + column[number], style=style)
        line.rstrip()
        console.print(line, soft_wrap=True)


def _column(
    events: Sequence[HistoryEvent], describe: Callable[[HistoryEvent], str], widest: int | None = None
) -> list[str]:
    """Return a cell for each event, all of the same width."""
    texts = [escape_line(describe(event)) for event in events]
    longest = max(map(cell_len, texts))
    width = longest if widest is None else min(longest, widest)
    return [_fit(text, width) for text in texts]


def _fit(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


def _describe_origin(event: HistoryEvent) -> str:
    """Return who did it, and the reason, the error, or what was predicted."""
    origin = event.origin
    who = origin.ci_actor or (f"{origin.os_user}@{origin.host}" if origin.os_user and origin.host else event.role)
    notes = [event.reason or "", str(event.details.get("message") or "")]
    if event.predicted_ms is not None:
        notes.append(f"predicted {format_duration(event.predicted_ms)}")
    if event.details.get("project"):
        notes.append(f"from {event.details['project']}")
    if event.details.get("direction") == "down" and event.event != HistoryEventKind.UNDONE:
        notes.insert(0, "down")
    return ": ".join(filter(None, (who, "; ".join(filter(None, notes)))))
