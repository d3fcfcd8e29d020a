"""A dry run fails where the real run fails, changes nothing, and otherwise both succeed: generated migrations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.generated_migrations import generate_case
from tests.support.properties import example_count, generator
from tests.support.servers import Server
from tests.support.verdict_trials import VerdictTrials

_PAIRS_OF_A_TEST = 20
_TESTS = range(example_count(40, full=2_000) // _PAIRS_OF_A_TEST)


@pytest.fixture(scope="module")
def trials(server_18: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerdictTrials]:
    with VerdictTrials(server_18, tmp_path_factory.mktemp("verdicts")).opened() as made:
        yield made


@pytest.mark.property
@pytest.mark.parametrize("number", _TESTS)
def test_a_dry_run_and_the_real_run_end_alike(trials: VerdictTrials, number: int) -> None:
    codes: Counter[int] = Counter()
    for example in range(number * _PAIRS_OF_A_TEST, (number + 1) * _PAIRS_OF_A_TEST):
        trial = trials.run(generate_case(generator(example)))
        assert trial.difference is None, f"example {example}: {trial.difference}\n{trial.case}"
        codes[trial.real.code] += 1
    # If all succeeded, or all failed, the comparison would show little.
    assert codes[0] and codes.total() - codes[0]
