"""A chart of a backfill over time: rows per second, rows per batch, and shaded bands where it was throttled."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from confiture.durations import format_duration
from confiture.models.backfill_timeline import downsample, reason_category
from confiture.models.events import BackfillProgressed
from confiture.models.reports import BackfillReport, ProgressInterval
from confiture.text import pluralize

LEFT, RIGHT = 84, 984
_MIN_INTERVALS = 3
_MAX_STYLES = 4
_WINDOWS = 60
_BATCHES_PER_WINDOW = 4
_MAX_TICKS = 9
_TICK_STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_ROUND_DIGITS = (1, 2, 4, 5, 10)
_PX_PER_CHARACTER = 6.2


@dataclass(frozen=True, kw_only=True, slots=True)
class ChartPanel:
    """A curve and its frame, in px. `points` uses SVG syntax; `ticks` are pairs of y and label, largest first."""

    title: str
    style: str
    top: int
    bottom: int
    points: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottleBand:
    """A band for a period in which the backfill was throttled, in px. `label` is empty if it does not fit."""

    x: float
    width: float
    style: str
    title: str
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """The chart and summary of a backfill; `panels` is empty if the backfill was too short to draw."""

    name: str
    summary: str
    panels: tuple[ChartPanel, ...] = ()
    bands: tuple[ThrottleBand, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    """Pairs of style and label for the bands."""
    retries: tuple[tuple[float, str], ...] = ()
    """Retried batches: pairs of x and label."""
    ticks: tuple[tuple[float, str], ...] = ()
    window_s: float = 0.0
    """The window, in seconds, over which the rate is averaged."""


def draw_chart(backfill: BackfillReport) -> Chart:
    """Return the chart of a backfill."""
    step = backfill.last.step
    name = f"{step.version} {step.phase.value}: {step.name}"
    sentence = backfill_summary(backfill)
    if len(backfill.intervals) < _MIN_INTERVALS:
        return Chart(name=name, summary=sentence)
    intervals = downsample(backfill.intervals)
    axis = _TimeAxis(start_s=intervals[0].start_s, end_s=intervals[-1].end_s)
    styles = _reason_styles(backfill.waiting_s_by_reason)
    window_s = _window_s(backfill, len(intervals))
    return Chart(
        name=name,
        summary=sentence,
        panels=(
            _draw_panel("Rows per second", "rate", (28, 178), axis, _rates(intervals, window_s)),
            _draw_panel("Rows per batch", "size", (216, 296), axis, _batch_sizes(backfill.first, intervals)),
        ),
        bands=_draw_bands(intervals, axis, styles),
        legend=tuple(
            (styles[cause], f"throttled for {format_duration(seconds * 1000)}: {cause}")
            for cause, seconds in _waits_by_length(backfill)
        ),
        retries=tuple(
            (axis.position((interval.start_s + interval.end_s) / 2), f"retried batches: {interval.retries:,}")
            for interval in intervals
            if interval.retries
        ),
        ticks=axis.ticks(),
        window_s=window_s,
    )


def backfill_summary(backfill: BackfillReport) -> str:
    """Return a sentence about a backfill's progress in this run."""
    first, last = backfill.first, backfill.last
    rows, seconds = last.source_rows - first.source_rows, last.elapsed_s - first.elapsed_s
    parts = [f"{pluralize(rows, 'row')} of the driving table in {format_duration(seconds * 1000)}"]
    if rows and seconds:
        parts.append(f"{rows / seconds:,.0f} per second")
    median = backfill.median_batch_rows
    if median is not None:
        parts.append(f"{pluralize(last.batches - first.batches, 'batch', 'batches')} of {median:,.0f} (median)")
    if backfill.retries:
        parts.append(f"{backfill.retries:,} retried")
    if first.source_rows:
        parts.append(f"{pluralize(first.source_rows, 'row')} done by earlier runs")
    return f"{', '.join(parts)}."


@dataclass(frozen=True, kw_only=True, slots=True)
class _TimeAxis:
    """The time axis."""

    start_s: float
    end_s: float

    def position(self, time_s: float) -> float:
        """Return the x coordinate for a time in seconds."""
        return round(LEFT + (time_s - self.start_s) / (self.end_s - self.start_s) * (RIGHT - LEFT), 1)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Return pairs of x coordinate and label at round times."""
        span_s = self.end_s - self.start_s
        step_s = next((step for step in _TICK_STEPS_S if span_s / step < _MAX_TICKS), math.ceil(span_s / 86400) * 10800)
        times = [number * step_s for number in range(int(span_s / step_s) + 1)]
        return tuple((self.position(self.start_s + time), _format_clock(time, span_s)) for time in times)


def _format_clock(time_s: float, span_s: float) -> str:
    if span_s < 120:
        return f"{time_s:g} s"
    unit, name = (60, "min") if span_s < 7200 else (3600, "h")
    whole, rest = divmod(round(time_s), unit)
    return f"{whole}:{rest * 60 // unit:02d} {name}" if rest else f"{whole} {name}"


def _draw_panel(
    title: str,
    style: str,
    vertical_range: tuple[int, int],
    axis: _TimeAxis,
    points_over_time: Sequence[tuple[float, float]],
) -> ChartPanel:
    top, bottom = vertical_range
    greatest = _round_up(max(value for _, value in points_over_time))
    points = " ".join(
        f"{axis.position(at_s)},{round(bottom - value / greatest * (bottom - top), 1)}"
        for at_s, value in points_over_time
    )
    ticks = ((top, greatest), ((top + bottom) / 2, greatest / 2), (bottom, 0.0))
    return ChartPanel(
        title=title,
        style=style,
        top=top,
        bottom=bottom,
        points=points,
        ticks=tuple((y, f"{value:,g}" if value < 10 else f"{value:,.0f}") for y, value in ticks),
    )


def _round_up(value: float) -> float:
    """Return the next round number that has a round half."""
    power = 10.0 ** math.floor(math.log10(max(value, 1.0)))
    return next(digit * power for digit in _ROUND_DIGITS if digit * power >= value)


def _window_s(backfill: BackfillReport, interval_count: int) -> float:
    """Return an averaging window of at least two samples and several batches, because rows arrive in batches."""
    span_s = backfill.last.elapsed_s - backfill.first.elapsed_s
    batches = backfill.last.batches - backfill.first.batches
    busy_s = span_s - sum(backfill.waiting_s_by_reason.values())
    batch_s, sample_s = busy_s / max(batches, 1), span_s / interval_count
    return min(max(span_s / _WINDOWS, _BATCHES_PER_WINDOW * batch_s, 2 * sample_s), span_s)


def _rates(intervals: Sequence[ProgressInterval], window_s: float) -> list[tuple[float, float]]:
    """Return pairs of time and rows per second, averaged over the window around each sample."""
    times = [intervals[0].start_s, *(interval.end_s for interval in intervals)]
    done = [0, *accumulate(interval.source_rows for interval in intervals)]

    def rows_at(at_s: float) -> float:
        place = min(bisect_right(times, at_s), len(times) - 1)
        before, after = times[place - 1], times[place]
        return done[place - 1] + (done[place] - done[place - 1]) * (at_s - before) / ((after - before) or 1.0)

    curve = []
    for at_s in times:
        start, end = max(at_s - window_s / 2, times[0]), min(at_s + window_s / 2, times[-1])
        curve.append((at_s, (rows_at(end) - rows_at(start)) / (end - start)))
    return curve


def _batch_sizes(first: BackfillProgressed, intervals: Sequence[ProgressInterval]) -> list[tuple[float, float]]:
    return [(first.elapsed_s, first.batch_rows), *((interval.end_s, interval.batch_rows) for interval in intervals)]


def _waits_by_length(backfill: BackfillReport) -> list[tuple[str, float]]:
    return sorted(backfill.waiting_s_by_reason.items(), key=lambda item: -item[1])


def _reason_styles(waiting_s_by_reason: Mapping[str, float]) -> dict[str, str]:
    """Return a style for each cause; the causes with the shortest waits share a style."""
    causes = sorted(waiting_s_by_reason, key=lambda cause: -waiting_s_by_reason[cause])
    return {cause: f"hold{min(place, _MAX_STYLES - 1)}" for place, cause in enumerate(causes)}


def _draw_bands(
    intervals: Sequence[ProgressInterval], axis: _TimeAxis, styles: Mapping[str, str]
) -> tuple[ThrottleBand, ...]:
    spans: list[tuple[float, float, str, str]] = []
    for interval in intervals:
        if interval.waiting_for is None or not interval.waiting_s:
            continue
        cause = reason_category(interval.waiting_for)
        if spans and spans[-1][2] == cause and math.isclose(spans[-1][1], interval.start_s, abs_tol=0.001):
            spans[-1] = (spans[-1][0], interval.start_s + interval.waiting_s, cause, spans[-1][3])
        else:
            # if only part of an interval was throttled, place the band at the end, because throttling usually continues
            spans.append((interval.end_s - interval.waiting_s, interval.end_s, cause, interval.waiting_for))
    return tuple(_draw_band(span, axis, styles) for span in spans)


def _draw_band(span: tuple[float, float, str, str], axis: _TimeAxis, styles: Mapping[str, str]) -> ThrottleBand:
    start_s, end_s, cause, reason = span
    x, width = axis.position(start_s), round(axis.position(end_s) - axis.position(start_s), 1)
    return ThrottleBand(
        x=x,
        width=max(width, 1.0),
        style=styles[cause],
        title=f"throttled for {format_duration((end_s - start_s) * 1000)}: {reason}",
        label=cause if width > len(cause) * _PX_PER_CHARACTER + 8 else "",
    )
