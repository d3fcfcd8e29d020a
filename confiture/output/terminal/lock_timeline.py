"""The timeline of locks in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table

from confiture.durations import format_duration
from confiture.models.reports import RunReport
from confiture.models.trace import BlockedAccess
from confiture.output.colors import BLOCKED_ACCESS_STYLES
from confiture.output.lock_lanes import LockLane, lock_lanes, run_end_ms
from confiture.output.terminal.console import CleanText

_ACCESS_CHARACTERS = {
    BlockedAccess.READS: "█",
    BlockedAccess.WRITES: "▓",
    BlockedAccess.DDL: "▒",
    BlockedAccess.STRONGER_DDL: "░",
}
_MAX_TABLES = 30
_NARROW_COLUMNS = 80
_MIN_NAME_WIDTH, _MAX_NAME_WIDTH = 12, 40
_MIN_CELLS, _MAX_CELLS = 16, 60
_TIMES_WIDTH = 24
_STRONGEST_LOCK_WIDTH = 26


def lock_timeline(report: RunReport, width: int) -> list[Table | CleanText]:
    """Draw a timeline bar for each locked relation, with a legend; return an empty list if there are no locks."""
    lanes, total_ms = lock_lanes(report.locks), run_end_ms(report)
    if not lanes or total_ms <= 0:
        return []
    parts: list[Table | CleanText] = [_timeline_table(lanes, total_ms, width)]
    if len(lanes) > _MAX_TABLES:
        parts.append(CleanText(f"... and {len(lanes) - _MAX_TABLES} more with {_describe_rest(lanes)}"))
    return [*parts, _legend_text(lanes)]


def _describe_rest(lanes: Sequence[LockLane]) -> str:
    """Compare the locks on the hidden tables with the weakest lock that is shown."""
    weakest = lanes[_MAX_TABLES - 1].worst_lock.effective_mode
    same = sum(lane.worst_lock.effective_mode.strength == weakest.strength for lane in lanes[_MAX_TABLES:])
    if same == len(lanes) - _MAX_TABLES:
        return f"the same lock ({weakest.sql})"
    return "the same or weaker locks" if same else "weaker locks"


def _timeline_table(all_lanes: Sequence[LockLane], total_ms: float, width: int) -> Table:
    narrow = width < _NARROW_COLUMNS
    space = width - _TIMES_WIDTH - (0 if narrow else _STRONGEST_LOCK_WIDTH)
    longest = max(cell_len(lane.relation) for lane in all_lanes[:_MAX_TABLES])
    name_width = min(longest, max(space // (3 if narrow else 2), _MIN_NAME_WIDTH), _MAX_NAME_WIDTH)
    cells = max(min(space - name_width, _MAX_CELLS), _MIN_CELLS)
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("Locked", no_wrap=True, overflow="ellipsis", width=max(name_width, len("Locked")))
    table.add_column(
        f"0 {'─' * max(cells - len(format_duration(total_ms)) - 3, 1)} {format_duration(total_ms)}", no_wrap=True
    )
    if not narrow:
        table.add_column("Strongest lock", no_wrap=True)
    table.add_column("No reads", justify="right", no_wrap=True)
    table.add_column("No writes", justify="right", no_wrap=True)
    for lane in all_lanes[:_MAX_TABLES]:
        lock = [] if narrow else [lane.worst_lock.effective_mode.sql]
        times = [format_duration(lane.no_reads_ms), format_duration(lane.no_writes_ms)]
        table.add_row(CleanText(lane.relation), _draw_lane(lane, total_ms, cells), *lock, *times)
    return table


def _draw_lane(lane: LockLane, total_ms: float, width: int) -> CleanText:
    text = CleanText()
    for cell in range(width):
        start, end = cell * total_ms / width, (cell + 1) * total_ms / width
        bars = [bar for bar in lane.bars if bar.start_ms < end and bar.end_ms > start]
        if bars:
            blocks = max(
                (bar.lock for bar in bars), key=lambda lock: lock.effective_mode.strength
            ).effective_mode.blocked_access
            text.append(_ACCESS_CHARACTERS[blocks], style=BLOCKED_ACCESS_STYLES[blocks])
        else:
            text.append(" ")
    return text


def _legend_text(all_lanes: Sequence[LockLane]) -> CleanText:
    shown = {bar.lock.effective_mode.blocked_access for lane in all_lanes for bar in lane.bars}
    text = CleanText("blocks: ")
    for blocks in BlockedAccess:
        if blocks in shown:
            text.append(_ACCESS_CHARACTERS[blocks], style=BLOCKED_ACCESS_STYLES[blocks]).append(f" {blocks.value}   ")
    return text
