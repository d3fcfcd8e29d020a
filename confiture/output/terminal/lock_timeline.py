"""Who holds what for how long: locks by table over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len
from rich.table import Table

from confiture.durations import format_duration
from confiture.models.reports import RunReport
from confiture.models.trace import BlockedAccess, LockTrace
from confiture.output.colors import BLOCKED_ACCESS_STYLES
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


@dataclass(frozen=True, kw_only=True, slots=True)
class LockBar:
    """A stretch of time (milliseconds from the start of the run) in which a relation is locked, by its worst lock."""

    start_ms: float
    end_ms: float
    lock: LockTrace


@dataclass(frozen=True, kw_only=True, slots=True)
class LockLane:
    """A relation and its bars, one after the other."""

    relation: str
    kind: str
    bars: tuple[LockBar, ...]

    @property
    def worst_lock(self) -> LockTrace:
        """Its strongest lock."""
        return max((bar.lock for bar in self.bars), key=lambda lock: lock.effective_mode.strength)

    @property
    def no_reads_ms(self) -> float | None:
        """How long readers are kept out, the longest stretch at a time; None for never."""
        return self._longest_ms({BlockedAccess.READS})

    @property
    def no_writes_ms(self) -> float | None:
        """How long writers are kept out, the longest stretch at a time; None for never."""
        return self._longest_ms({BlockedAccess.READS, BlockedAccess.WRITES})

    def _longest_ms(self, access_kinds: set[BlockedAccess]) -> float | None:
        stretches: list[tuple[float, float]] = []
        for bar in self.bars:
            if bar.lock.effective_mode.blocked_access not in access_kinds:
                continue
            start = bar.start_ms
            if stretches and stretches[-1][1] == start:
                start = stretches.pop()[0]
            stretches.append((start, bar.end_ms))
        return max((end - start for start, end in stretches), default=None)


def lock_lanes(locks: Sequence[LockTrace]) -> tuple[LockLane, ...]:
    """The locks of tables and views by relation, the worst first. Indexes go with their table and are left out."""
    by_relation: dict[str, list[LockTrace]] = {}
    for lock in locks:
        if lock.is_queried:
            by_relation.setdefault(lock.relation, []).append(lock)
    found = [LockLane(relation=name, kind=held[0].kind, bars=_lane_bars(held)) for name, held in by_relation.items()]
    return tuple(
        sorted(
            found, key=lambda lane: (-lane.worst_lock.effective_mode.strength, -lane.worst_lock.held_ms, lane.relation)
        )
    )


def _lane_bars(locks: Sequence[LockTrace]) -> tuple[LockBar, ...]:
    moments = sorted({time for lock in locks for time in (lock.acquired_ms, lock.released_ms)})
    bars: list[LockBar] = []
    for start, end in pairwise(moments):
        holding = [lock for lock in locks if lock.acquired_ms <= start and lock.released_ms >= end]
        if not holding:
            continue
        worst = max(holding, key=lambda lock: lock.effective_mode.strength)
        if bars and bars[-1].lock is worst and bars[-1].end_ms == start:
            start = bars.pop().start_ms
        bars.append(LockBar(start_ms=start, end_ms=end, lock=worst))
    return tuple(bars)


def run_end_ms(report: RunReport) -> float:
    """When the last statement of a dry run ended and the last lock was released, from the start of the run."""
    ends = [statement.started_ms + statement.duration_ms for statement in report.statements]
    return max([*ends, *(lock.released_ms for lock in report.locks)], default=0.0)


def lock_timeline(report: RunReport, width: int) -> list[Table | CleanText]:
    """A bar for each relation over the time of the run, and what the signs mean; empty where nothing was locked."""
    found, total_ms = lock_lanes(report.locks), run_end_ms(report)
    if not found or total_ms <= 0:
        return []
    parts: list[Table | CleanText] = [_timeline_table(found, total_ms, width)]
    if len(found) > _MAX_TABLES:
        parts.append(CleanText(f"... and {len(found) - _MAX_TABLES} more with weaker locks"))
    return [*parts, _legend_text(found)]


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
        here = [bar for bar in lane.bars if bar.start_ms < end and bar.end_ms > start]
        if here:
            blocks = max(
                (bar.lock for bar in here), key=lambda lock: lock.effective_mode.strength
            ).effective_mode.blocked_access
            text.append(_ACCESS_CHARACTERS[blocks], style=BLOCKED_ACCESS_STYLES[blocks])
        else:
            text.append(" ")
    return text


def _legend_text(all_lanes: Sequence[LockLane]) -> CleanText:
    shown = {bar.lock.effective_mode.blocked_access for lane in all_lanes for bar in lane.bars}
    text = CleanText("keeps out: ")
    for blocks in BlockedAccess:
        if blocks in shown:
            text.append(_ACCESS_CHARACTERS[blocks], style=BLOCKED_ACCESS_STYLES[blocks]).append(f" {blocks.value}   ")
    return text
