"""Estimates: the t distribution against printed tables, and what is said of what cannot be known."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confiture.core.dry_run import estimates
from confiture.core.dry_run.estimates import SCALED_MARGIN, estimate_duration, student_probability, student_quantile
from confiture.models.trace import Estimate
from tests.support.properties import examples, generator


@pytest.mark.parametrize(
    ("probability", "freedom", "t"),
    [(0.90, 1, 6.314), (0.90, 4, 2.132), (0.95, 10, 2.228), (0.99, 30, 2.750), (0.90, 120, 1.658), (0.50, 2, 0.816)],
)
def test_quantiles_agree_with_the_printed_table(probability: float, freedom: int, t: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(t, abs=0.001)
    assert student_probability(t, freedom) == pytest.approx(probability, abs=0.001)


@examples(20)
@given(st.floats(0.01, 0.99), st.integers(1, 60))
def test_quantile_and_probability_undo_each_other(probability: float, freedom: int) -> None:
    assert student_probability(student_quantile(probability, freedom), freedom) == pytest.approx(probability, abs=1e-6)


def test_one_run_leaves_range_and_confidence_unknown() -> None:
    found = estimate_duration([120.0])
    assert (found.production_ms, found.low_ms, found.high_ms, found.confidence_percent) == (120.0, None, None, None)
    assert found.level_percent is None


def test_equal_runs_are_certain() -> None:
    found = estimate_duration([100.0, 100.0, 100.0])
    assert (found.low_ms, found.high_ms, found.confidence_percent) == (100.0, 100.0, 100.0)


def _range(estimate: Estimate) -> float:
    assert estimate.low_ms is not None and estimate.high_ms is not None
    return estimate.high_ms - estimate.low_ms


def test_more_spread_means_a_wider_range_and_less_confidence() -> None:
    calm, wild = estimate_duration([100, 101, 99, 100, 100]), estimate_duration([100, 140, 60, 110, 90])
    assert _range(calm) < _range(wild)
    assert calm.confidence_percent and wild.confidence_percent
    assert calm.confidence_percent > 99 > 60 > wild.confidence_percent


def test_a_scaled_estimate_shows_the_margin_and_no_confidence() -> None:
    found = estimate_duration([100.0], scaled=True)
    assert found.low_ms == pytest.approx(100 / SCALED_MARGIN[1])
    assert found.high_ms == pytest.approx(100 / SCALED_MARGIN[0])
    assert found.confidence_percent is None


@pytest.mark.property
def test_the_range_holds_the_next_run_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # it is the same number each time, and to find it takes longer than all else
    monkeypatch.setattr(estimates, "student_quantile", cache(student_quantile))
    source = generator(20)
    held = 0
    for _ in range(2_000):
        *seen, real = (source.gauss(100, 10) for _ in range(6))
        found = estimate_duration(seen)
        assert found.low_ms is not None and found.high_ms is not None
        held += found.low_ms <= real <= found.high_ms
    # 90 % of 2,000 with a standard deviation of 13
    assert 1_740 <= held <= 1_860
