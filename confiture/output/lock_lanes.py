"""Dry-run locks by relation, over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from confiture.models.reports import RunReport
from confiture.models.trace import BlockedAccess, LockTrace


@dataclass(frozen=True, kw_only=True, slots=True)
class LockBar:
    """An interval in which a relation is locked, with its strongest lock. Times are in ms from the start of the run."""

    start_ms: float
    end_ms: float
    lock: LockTrace


@dataclass(frozen=True, kw_only=True, slots=True)
class LockLane:
    """A relation with its bars in order."""

    relation: str
    kind: str
    bars: tuple[LockBar, ...]

    @property
    def worst_lock(self) -> LockTrace:
        """The strongest lock of the relation."""
        return max((bar.lock for bar in self.bars), key=lambda lock: lock.effective_mode.strength)

    @property
    def no_reads_ms(self) -> float | None:
        """The longest interval, in milliseconds, in which readers are blocked; None if readers are never blocked."""
        return self._longest_ms({BlockedAccess.READS})

    @property
    def no_writes_ms(self) -> float | None:
        """The longest interval, in milliseconds, in which writers are blocked; None if writers are never blocked."""
        return self._longest_ms({BlockedAccess.READS, BlockedAccess.WRITES})

    def _longest_ms(self, access_kinds: set[BlockedAccess]) -> float | None:
        intervals: list[tuple[float, float]] = []
        for bar in self.bars:
            if bar.lock.effective_mode.blocked_access not in access_kinds:
                continue
            start = bar.start_ms
            if intervals and intervals[-1][1] == start:
                start = intervals.pop()[0]
            intervals.append((start, bar.end_ms))
        return max((end - start for start, end in intervals), default=None)


def lock_lanes(locks: Sequence[LockTrace]) -> tuple[LockLane, ...]:
    """Group the locks on tables and views by relation, strongest first. Locks on indexes are excluded."""
    by_relation: dict[str, list[LockTrace]] = {}
    for lock in locks:
        if lock.is_queried:
            by_relation.setdefault(lock.relation, []).append(lock)
    lanes = [
        LockLane(relation=name, kind=traces[0].kind, bars=_lane_bars(traces)) for name, traces in by_relation.items()
    ]
    return tuple(
        sorted(
            lanes, key=lambda lane: (-lane.worst_lock.effective_mode.strength, -lane.worst_lock.held_ms, lane.relation)
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
    """Return when the last statement or lock of a dry run ended, in milliseconds from the start of the run."""
    ends = [statement.started_ms + statement.duration_ms for statement in report.statements]
    return max([*ends, *(lock.released_ms for lock in report.locks)], default=0.0)
