"""What the analysis calls safe never mixes tenants: statements are generated, and held against what they do."""

from __future__ import annotations

import pytest

from confiture.models.tenancy import TenancyGrade
from confiture.models.tenancy_proofs import IsolationVerdict
from tests.support.properties import seeds
from tests.support.servers import Database
from tests.support.tenancy_trials import Tally, trials

WORLDS, STATEMENTS = seeds(6), 50


@pytest.mark.property
def test_what_is_called_safe_is(database_18: Database) -> None:
    found = list(trials(database_18.url, WORLDS, STATEMENTS))
    tally = Tally.of(found)
    unsound = [trial.told() for trial in found if trial.is_unsound]
    assert not unsound, "\n".join(unsound)
    # a generator that makes no mistakes, or nothing else, would prove nothing
    assert tally.number(IsolationVerdict.MIXED) > len(found) / 10
    assert tally.number(IsolationVerdict.ISOLATED) > len(found) / 4
    assert tally.number(IsolationVerdict.ISOLATED, TenancyGrade.SAFE) > len(found) / 10
    assert tally.number(IsolationVerdict.NOT_PROVABLE) < len(found) / 50
    # 0.88 of this sample; the benchmark, which looks at more data, says what it is of 10,000
    assert tally.precision >= 0.85, tally.counts
