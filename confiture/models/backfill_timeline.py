"""Folding a backfill's progress events into its report. The report's size does not grow with the run time."""

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
    """Return a run's backfills after applying a progress event."""
    if not any(one.first.step == event.step for one in backfills):
        return (*backfills, BackfillReport(first=event, last=event))
    return tuple(_add_progress(one, event) if one.first.step == event.step else one for one in backfills)


def record_retry(backfills: Sequence[BackfillReport], event: BatchRetried) -> tuple[BackfillReport, ...]:
    """Return a run's backfills after applying a batch retry."""
    return tuple(
        replace(one, retries=one.retries + 1, unreported_retries=one.unreported_retries + 1)
        if one.first.step == event.step
        else one
        for one in backfills
    )


def _add_progress(backfill: BackfillReport, event: BackfillProgressed) -> BackfillReport:
    last = backfill.last
    elapsed_s = event.elapsed_s - last.elapsed_s
    waiting_s_by_reason = dict(backfill.waiting_s_by_reason)
    if last.waiting_for:
        cause = reason_category(last.waiting_for)
        waiting_s_by_reason[cause] = waiting_s_by_reason.get(cause, 0.0) + elapsed_s
    interval = ProgressInterval(
        start_s=last.elapsed_s,
        end_s=event.elapsed_s,
        source_rows=event.source_rows - last.source_rows,
        batches=event.batches - last.batches,
        batch_rows=event.batch_rows,
        retries=backfill.unreported_retries,
        waiting_s=elapsed_s if last.waiting_for else 0.0,
        waiting_for=last.waiting_for,
    )
    return replace(
        backfill,
        last=event,
        intervals=_limit_intervals((*backfill.intervals, interval)),
        unreported_retries=0,
        waiting_s_by_reason=waiting_s_by_reason,
    )


def reason_category(reason: str) -> str:
    """Return a reason for waiting without numbers that change between polls. Limits (in parentheses) are kept."""
    return _NUMBER_OUTSIDE_PARENTHESES.sub("…", reason)


def _limit_intervals(intervals: tuple[ProgressInterval, ...]) -> tuple[ProgressInterval, ...]:
    return intervals if len(intervals) <= MAX_INTERVALS else downsample(intervals)


def downsample(intervals: Sequence[ProgressInterval]) -> tuple[ProgressInterval, ...]:
    """Join the intervals that begin in the same time cell, so that at most half of `MAX_INTERVALS` remain.

    The cell length is a power of two, so that cells from successive passes align.
    """
    span_s = intervals[-1].end_s - intervals[0].start_s
    cell_s = 2.0 ** math.ceil(math.log2(max(span_s, 1.0) / (MAX_INTERVALS / 2)))
    cells = groupby(intervals, key=lambda interval: interval.start_s // cell_s)
    return tuple(reduce(_join_intervals, cell) for _, cell in cells)


def _join_intervals(first: ProgressInterval, second: ProgressInterval) -> ProgressInterval:
    return ProgressInterval(
        start_s=first.start_s,
        end_s=second.end_s,
        source_rows=first.source_rows + second.source_rows,
        batches=first.batches + second.batches,
        batch_rows=second.batch_rows,
        retries=first.retries + second.retries,
        waiting_s=first.waiting_s + second.waiting_s,
        waiting_for=max(first, second, key=lambda interval: interval.waiting_s).waiting_for,
    )
