"""Folds what is told of a backfill into its report, whose length does not grow with how long it takes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import groupby

from confiture.models.events import BackfillProgressed, BatchRetried
from confiture.models.reports import BackfillReport, ProgressInterval

MAX_INTERVALS = 600
_NUMBER_OUTSIDE_PARENTHESES = re.compile(r"\d[\d.,]*(?![^(]*\))")


def record_progress(backfills: Sequence[BackfillReport], event: BackfillProgressed) -> tuple[BackfillReport, ...]:
    """The backfills of a run after one of them told how far it is."""
    if not any(one.first.step == event.step for one in backfills):
        return (*backfills, BackfillReport(first=event, last=event))
    return tuple(_add_progress(one, event) if one.first.step == event.step else one for one in backfills)


def record_retry(backfills: Sequence[BackfillReport], event: BatchRetried) -> tuple[BackfillReport, ...]:
    """The backfills of a run after one of them tried a batch again."""
    return tuple(
        replace(one, retries=one.retries + 1, unreported_retries=one.unreported_retries + 1)
        if one.first.step == event.step
        else one
        for one in backfills
    )


def _add_progress(backfill: BackfillReport, event: BackfillProgressed) -> BackfillReport:
    last = backfill.last
    lasted_s = event.elapsed_s - last.elapsed_s
    held_back_s = dict(backfill.waiting_s_by_reason)
    if last.waiting_for:
        cause = reason_category(last.waiting_for)
        held_back_s[cause] = held_back_s.get(cause, 0.0) + lasted_s
    stretch = ProgressInterval(
        start_s=last.elapsed_s,
        end_s=event.elapsed_s,
        source_rows=event.source_rows - last.source_rows,
        batches=event.batches - last.batches,
        batch_rows=event.batch_rows,
        retries=backfill.unreported_retries,
        waiting_s=lasted_s if last.waiting_for else 0.0,
        waiting_for=last.waiting_for,
    )
    return replace(
        backfill,
        last=event,
        intervals=_limit_intervals((*backfill.intervals, stretch)),
        unreported_retries=0,
        waiting_s_by_reason=held_back_s,
    )


def reason_category(reason: str) -> str:
    """What holds a backfill back, the same from look to look: numbers change, only limits (in parentheses) stay."""
    return _NUMBER_OUTSIDE_PARENTHESES.sub("…", reason)


def _limit_intervals(intervals: tuple[ProgressInterval, ...]) -> tuple[ProgressInterval, ...]:
    return intervals if len(intervals) <= MAX_INTERVALS else downsample(intervals)


def downsample(intervals: Sequence[ProgressInterval]) -> tuple[ProgressInterval, ...]:
    """The same stretches, those that begin within the same cell of time joined: at most half as many as are kept.

    Cells last a power of two, so that those of one thinning fill those of the next.
    """
    span_s = intervals[-1].end_s - intervals[0].start_s
    cell_s = 2.0 ** math.ceil(math.log2(max(span_s, 1.0) / (MAX_INTERVALS / 2)))
    cells = groupby(intervals, key=lambda stretch: stretch.start_s // cell_s)
    return tuple(reduce(_join_intervals, within) for _, within in cells)


def _join_intervals(first: ProgressInterval, second: ProgressInterval) -> ProgressInterval:
    return ProgressInterval(
        start_s=first.start_s,
        end_s=second.end_s,
        source_rows=first.source_rows + second.source_rows,
        batches=first.batches + second.batches,
        batch_rows=second.batch_rows,
        retries=first.retries + second.retries,
        waiting_s=first.waiting_s + second.waiting_s,
        waiting_for=max(first, second, key=lambda stretch: stretch.waiting_s).waiting_for,
    )
