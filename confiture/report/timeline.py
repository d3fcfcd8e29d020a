"""Who holds what for how long: locks by table over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.console import Console
from rich.table import Table
from rich.text import Text

from confiture.models.trace import Blocks, LockTrace
from confiture.report.words import duration

_COLOURS = {Blocks.READS: "red", Blocks.WRITES: "yellow", Blocks.DDL: "cyan", Blocks.STRONGER_DDL: "bright_black"}
_SIGNS = {Blocks.READS: "█", Blocks.WRITES: "▓", Blocks.DDL: "▒", Blocks.STRONGER_DDL: "░"}
_MOST_TABLES = 30


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


def lanes(locks: Sequence[LockTrace]) -> tuple[Lane, ...]:
    """The locks of tables and views by relation, the worst first. Indexes go with their table and are left out."""
    by_relation: dict[str, list[LockTrace]] = {}
    for lock in locks:
        if "index" not in lock.kind and lock.kind != "sequence":
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


def print_timeline(console: Console, locks: Sequence[LockTrace], total_ms: float) -> None:
    """A bar for each relation over the time of the run, and what the signs mean."""
    found = lanes(locks)
    if not found or total_ms <= 0:
        return
    width = max(min(console.width - 60, 60), 16)
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("Locked", overflow="fold")
    table.add_column(f"0 {'─' * max(width - len(duration(total_ms)) - 4, 1)} {duration(total_ms)}", no_wrap=True)
    table.add_column("Strongest lock", no_wrap=True)
    table.add_column("Held up to", justify="right", no_wrap=True)
    for lane in found[:_MOST_TABLES]:
        worst = lane.worst
        table.add_row(Text(lane.relation), _drawn(lane, total_ms, width), worst.felt.sql, duration(worst.held_ms))
    console.print(table)
    if len(found) > _MOST_TABLES:
        console.print(f"... and {len(found) - _MOST_TABLES} more with weaker locks")
    console.print(_legend(found))


def _drawn(lane: Lane, total_ms: float, width: int) -> Text:
    text = Text()
    for cell in range(width):
        start, end = cell * total_ms / width, (cell + 1) * total_ms / width
        here = [bar for bar in lane.bars if bar.start_ms < end and bar.end_ms > start]
        if here:
            blocks = max((bar.lock for bar in here), key=lambda lock: lock.felt.strength).felt.blocks
            text.append(_SIGNS[blocks], style=_COLOURS[blocks])
        else:
            text.append(" ")
    return text


def _legend(found: Sequence[Lane]) -> Text:
    shown = {bar.lock.felt.blocks for lane in found for bar in lane.bars}
    text = Text("keeps out: ")
    for blocks in Blocks:
        if blocks in shown:
            text.append(_SIGNS[blocks], style=_COLOURS[blocks]).append(f" {blocks.value}   ")
    return text
