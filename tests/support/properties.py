"""Property tests: how many examples each takes, and the seed that they come from.

The suite runs a sample of each, the same one every time; `python -m benchmarks.properties` runs them at full length.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from random import Random

import hypothesis
import pytest
from hypothesis import HealthCheck

SEED = int(os.environ.get("CONFITURE_SEED", "0"))
FULL = bool(os.environ.get("CONFITURE_FULL_PROPERTIES"))
_FULL_FACTOR = 20
_EXAMPLES = 50

_common = hypothesis.settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
hypothesis.settings.register_profile("suite", _common, max_examples=_EXAMPLES, database=None)
hypothesis.settings.register_profile("full", _common, max_examples=_EXAMPLES * _FULL_FACTOR)


def example_count(sample: int, full: int | None = None) -> int:
    """The number of examples of a test of which the suite runs so many; at full length, 20 times as many or `full`."""
    return (full or sample * _FULL_FACTOR) if FULL else sample


def examples(sample: int = _EXAMPLES) -> hypothesis.settings:
    """Settings for a Hypothesis test with more or fewer examples than the others."""
    return hypothesis.settings(max_examples=example_count(sample))


def seeds(sample: int) -> range:
    """One seed for each example of a test that generates its examples itself."""
    return range(SEED, SEED + example_count(sample))


def generator(number: int) -> Random:
    """A random generator for the test that has this number."""
    return Random(SEED * 1_000 + number)


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("full" if FULL else "suite")
    if config.getoption("--hypothesis-seed", None) is None:
        hypothesis.core.global_force_seed = SEED  # type: ignore[assignment] # what its own option does


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and hypothesis.is_hypothesis_test(item.function):
            item.add_marker("property")


def _header() -> str:
    return f"property tests: {'full length' if FULL else 'a sample'} (CONFITURE_SEED={SEED})"


def pytest_report_header() -> str:
    return _header()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and item.get_closest_marker("property"):
        report.sections.append(("Seed", _header()))
    return report
