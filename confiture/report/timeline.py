"""Who holds what for how long: locks by table over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len
from rich.table import Table

from confiture.models.reports import RunReport
from confiture.models.trace import Blocks, LockTrace
from confiture.models.words import duration
from confiture.report.colours import BLOCKS
from confiture.report.terminal import Text

_SIGNS = {Blocks.READS: "█", Blocks.WRITES: "▓", Blocks.DDL: "▒", Blocks.STRONGER_DDL: "░"}
_MOST_TABLES = 30
_NARROW = 80
_SHORTEST_NAME, _LONGEST_NAME = 12, 40
_FEWEST_CELLS, _MOST_CELLS = 16, 60
_TIMES = 24
_STRONGEST_LOCK = 26


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A stretch of time (milliseconds from the start of the run) in which a relation is locked, by its worst lock."""

    start_ms: float
    end_ms: float
    lock: LockTrace


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """A relation and its bars, one after the other."""

    relation: str
    kind: str
    bars: tuple[Bar, ...]

    @property
    def worst(self) -> LockTrace:
        """Its strongest lock."""
        return max((bar.lock for bar in self.bars), key=lambda lock: lock.felt.strength)

    @property
    def no_reads_ms(self) -> float | None:
        """How long readers are kept out, the longest stretch at a time; None for never."""
        return self._longest({Blocks.READS})

    @property
    def no_writes_ms(self) -> float | None:
        """How long writers are kept out, the longest stretch at a time; None for never."""
        return self._longest({Blocks.READS, Blocks.WRITES})

    def _longest(self, blocks: set[Blocks]) -> float | None:
        stretches: list[tuple[float, float]] = []
        for bar in self.bars:
            if bar.lock.felt.blocks not in blocks:
                continue
            start = bar.start_ms
            if stretches and stretches[-1][1] == start:
                start = stretches.pop()[0]
            stretches.append((start, bar.end_ms))
        return max((end - start for start, end in stretches), default=None)


def lanes(locks: Sequence[LockTrace]) -> tuple[Lane, ...]:
    """The locks of tables and views by relation, the worst first. Indexes go with their table and are left out."""
    by_relation: dict[str, list[LockTrace]] = {}
    for lock in locks:
        if lock.is_queried:
            by_relation.setdefault(lock.relation, []).append(lock)
    found = [Lane(relation=name, kind=held[0].kind, bars=_bars(held)) for name, held in by_relation.items()]
    return tuple(sorted(found, key=lambda lane: (-lane.worst.felt.strength, -lane.worst.held_ms, lane.relation)))


def _bars(held: Sequence[LockTrace]) -> tuple[Bar, ...]:
    moments = sorted({time for lock in held for time in (lock.taken_ms, lock.released_ms)})
    bars: list[Bar] = []
    for start, end in pairwise(moments):
        holding = [lock for lock in held if lock.taken_ms <= start and lock.released_ms >= end]
        if not holding:
            continue
        worst = max(holding, key=lambda lock: lock.felt.strength)
        if bars and bars[-1].lock is worst and bars[-1].end_ms == start:
            start = bars.pop().start_ms
        bars.append(Bar(start_ms=start, end_ms=end, lock=worst))
    return tuple(bars)


def run_end_ms(report: RunReport) -> float:
    """When the last statement of a dry run ended and the last lock was released, from the start of the run."""
    ends = [statement.started_ms + statement.duration_ms for statement in report.statements]
    return max([*ends, *(lock.released_ms for lock in report.locks)], default=0.0)


def timeline(report: RunReport, width: int) -> list[Table | Text]:
    """A bar for each relation over the time of the run, and what the signs mean; empty where nothing was locked."""
    found, total_ms = lanes(report.locks), run_end_ms(report)
    if not found or total_ms <= 0:
        return []
    parts: list[Table | Text] = [_chart(found, total_ms, width)]
    if len(found) > _MOST_TABLES:
        parts.append(Text(f"... and {len(found) - _MOST_TABLES} more with weaker locks"))
    return [*parts, _legend(found)]


def _chart(found: Sequence[Lane], total_ms: float, width: int) -> Table:
    narrow = width < _NARROW
    space = width - _TIMES - (0 if narrow else _STRONGEST_LOCK)
    longest = max(cell_len(lane.relation) for lane in found[:_MOST_TABLES])
    name_width = min(longest, max(space // (3 if narrow else 2), _SHORTEST_NAME), _LONGEST_NAME)
    cells = max(min(space - name_width, _MOST_CELLS), _FEWEST_CELLS)
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("Locked", no_wrap=True, overflow="ellipsis", width=max(name_width, len("Locked")))
    table.add_column(f"0 {'─' * max(cells - len(duration(total_ms)) - 3, 1)} {duration(total_ms)}", no_wrap=True)
    if not narrow:
        table.add_column("Strongest lock", no_wrap=True)
    table.add_column("No reads", justify="right", no_wrap=True)
    table.add_column("No writes", justify="right", no_wrap=True)
    for lane in found[:_MOST_TABLES]:
        lock = [] if narrow else [lane.worst.felt.sql]
        times = [duration(lane.no_reads_ms), duration(lane.no_writes_ms)]
        table.add_row(Text(lane.relation), _drawn(lane, total_ms, cells), *lock, *times)
    return table


def _drawn(lane: Lane, total_ms: float, width: int) -> Text:
    text = Text()
    for cell in range(width):
        start, end = cell * total_ms / width, (cell + 1) * total_ms / width
        here = [bar for bar in lane.bars if bar.start_ms < end and bar.end_ms > start]
        if here:
            blocks = max((bar.lock for bar in here), key=lambda lock: lock.felt.strength).felt.blocks
            text.append(_SIGNS[blocks], style=BLOCKS[blocks])
        else:
            text.append(" ")
    return text


def _legend(found: Sequence[Lane]) -> Text:
    shown = {bar.lock.felt.blocks for lane in found for bar in lane.bars}
    text = Text("keeps out: ")
    for blocks in Blocks:
        if blocks in shown:
            text.append(_SIGNS[blocks], style=BLOCKS[blocks]).append(f" {blocks.value}   ")
    return text
