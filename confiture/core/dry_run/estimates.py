"""Estimate the duration of the real run, with a confidence, from dry-run durations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import atan, cos, pi, sqrt
from statistics import fmean, stdev

from confiture.models.trace import Estimate

LEVEL_PERCENT = 90
"""The intended probability that the range contains the real duration."""
TOLERANCE = 0.15
"""The confidence is the probability that the real duration deviates from the estimate by at most this fraction."""
SCALED_MARGIN = (0.6, 1.4)
"""The measured range of the ratio between scaled and real durations. Durations were scaled linearly by row counts from
a smaller copy (200k to 1.6M rows; SET NOT NULL, ALTER TYPE, CREATE INDEX, ADD FOREIGN KEY, UPDATE)."""


def estimate_duration(totals_ms: Sequence[float], *, scaled: bool = False, is_representative: bool = True) -> Estimate:
    """Return the estimate based on the total durations of one or more dry runs, in milliseconds.

    The real run is one more draw from the distribution of the dry runs. With n runs of mean m and standard deviation s,
    it falls within m ± t·s·√(1 + 1/n), where t has n - 1 degrees of freedom (the prediction interval of a normal
    sample). A single run gives no range, and `scaled` durations give no confidence. Without `is_representative`, there
    is neither, because the spread of dry runs says nothing about the parts that dry runs skip or replace.
    """
    mean = fmean(totals_ms)
    runs = len(totals_ms)
    low: float | None = mean if scaled else None
    high, confidence = low, None
    if runs > 1:
        spread = stdev(totals_ms) * sqrt(1 + 1 / runs)
        reach = student_quantile(LEVEL_PERCENT / 100, runs - 1) * spread
        low, high = max(mean - reach, 0.0), mean + reach
        confidence = 100 * student_probability(TOLERANCE * mean / spread, runs - 1) if spread else 100.0
    if scaled and low is not None and high is not None:
        low, high, confidence = low / SCALED_MARGIN[1], high / SCALED_MARGIN[0], None
    if not is_representative:
        low = high = confidence = None
    return Estimate(
        production_ms=mean,
        low_ms=low,
        high_ms=high,
        confidence_percent=confidence,
        level_percent=None if scaled or low is None else LEVEL_PERCENT,
        runs=runs,
        is_scaled=scaled,
        is_representative=is_representative,
    )


def student_probability(t: float, degrees_of_freedom: int) -> float:
    """Return the probability that |T| < t, where T has Student's t-distribution.

    With t = √ν·tan θ, the density becomes cos^(ν-1) θ (Abramowitz and Stegun 26.7.3 and 26.7.4), which is smooth and
    bounded for every ν.
    """

    def density(angle: float) -> float:
        return cos(angle) ** (degrees_of_freedom - 1)

    return _integrate(density, atan(t / sqrt(degrees_of_freedom))) / _integrate(density, pi / 2)


def student_quantile(probability: float, degrees_of_freedom: int) -> float:
    """Return the t for which `student_probability` equals `probability` (0 < probability < 1)."""
    low, high = 0.0, 1.0
    while student_probability(high, degrees_of_freedom) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_probability(middle, degrees_of_freedom) < probability else (low, middle)
    return (low + high) / 2


def _integrate(function: Callable[[float], float], end: float, parts: int = 2_000) -> float:
    """Integrate from 0 to `end` using Simpson's rule."""
    width = end / parts
    inner = sum(function(n * width) * (4 if n % 2 else 2) for n in range(1, parts))
    return (function(0.0) + inner + function(end)) * width / 3
