"""Folds what is told of a backfill into its report, whose length does not grow with how long it takes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import groupby

from confiture.models.events import BackfillProgressed, BatchRetried
from confiture.models.reports import BackfillReport, Stretch

MOST_STRETCHES = 600
_NUMBER_OUTSIDE_PARENTHESES = re.compile(r"\d[\d.,]*(?![^(]*\))")


def progressed(backfills: Sequence[BackfillReport], event: BackfillProgressed) -> tuple[BackfillReport, ...]:
    """The backfills of a run after one of them told how far it is."""
    if not any(one.first.step == event.step for one in backfills):
        return (*backfills, BackfillReport(first=event, last=event))
    return tuple(_after(one, event) if one.first.step == event.step else one for one in backfills)


def retried(backfills: Sequence[BackfillReport], event: BatchRetried) -> tuple[BackfillReport, ...]:
    """The backfills of a run after one of them tried a batch again."""
    return tuple(
        replace(one, retries=one.retries + 1, untold_retries=one.untold_retries + 1)
        if one.first.step == event.step
        else one
        for one in backfills
    )


def _after(one: BackfillReport, event: BackfillProgressed) -> BackfillReport:
    last = one.last
    lasted_s = event.elapsed_s - last.elapsed_s
    held_back_s = dict(one.held_back_s)
    if last.waiting_for:
        cause = without_numbers(last.waiting_for)
        held_back_s[cause] = held_back_s.get(cause, 0.0) + lasted_s
    stretch = Stretch(
        start_s=last.elapsed_s,
        end_s=event.elapsed_s,
        source_rows=event.source_rows - last.source_rows,
        batches=event.batches - last.batches,
        batch_rows=event.batch_rows,
        retries=one.untold_retries,
        held_back_s=lasted_s if last.waiting_for else 0.0,
        held_back_by=last.waiting_for,
    )
    return replace(
        one,
        last=event,
        stretches=_bounded((*one.stretches, stretch)),
        untold_retries=0,
        held_back_s=held_back_s,
    )


def without_numbers(reason: str) -> str:
    """What holds a backfill back, the same from look to look: numbers change, only limits (in parentheses) stay."""
    return _NUMBER_OUTSIDE_PARENTHESES.sub("…", reason)


def _bounded(stretches: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
    return stretches if len(stretches) <= MOST_STRETCHES else evened(stretches)


def evened(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """The same stretches, those that begin within the same cell of time joined: at most half as many as are kept.

    Cells last a power of two, so that those of one thinning fill those of the next.
    """
    span_s = stretches[-1].end_s - stretches[0].start_s
    cell_s = 2.0 ** math.ceil(math.log2(max(span_s, 1.0) / (MOST_STRETCHES / 2)))
    cells = groupby(stretches, key=lambda stretch: stretch.start_s // cell_s)
    return tuple(reduce(_joined, within) for _, within in cells)


def _joined(first: Stretch, second: Stretch) -> Stretch:
    return Stretch(
        start_s=first.start_s,
        end_s=second.end_s,
        source_rows=first.source_rows + second.source_rows,
        batches=first.batches + second.batches,
        batch_rows=second.batch_rows,
        retries=first.retries + second.retries,
        held_back_s=first.held_back_s + second.held_back_s,
        held_back_by=max(first, second, key=lambda stretch: stretch.held_back_s).held_back_by,
    )
