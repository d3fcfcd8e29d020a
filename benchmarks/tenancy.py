"""Is what the analysis of tenants calls safe, safe? Generated statements, held against what they do to data."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bench import Bench
from benchmarks.results import Result, Row
from benchmarks.timing import Run, Sample
from confiture.models.tenancy import TenancyGrade
from confiture.models.tenancy_proofs import IsolationVerdict
from tests.support.tenancy_trials import EMPTY, Spent, Tally, Trial, trials

SCHEMAS, STATEMENTS, FILLINGS, MOST_FILLINGS = 200, 50, 2, 8
LEAST_PRECISION = 0.9
_DATABASE = "tenancy"
_PROVED, _ANALYSED = "isolation proofs", "static analysis"
_MEANT = "0 unsound, precision at least 90 %"


def run(bench: Bench) -> Result:
    """Analyses and proves generated statements. `--runs` is how many schemas there are."""
    schemas = bench.runs(SCHEMAS)
    bench.server.create_anew(_DATABASE)
    by_schema: list[list[Trial]] = [
        list(trials(bench.server.url(_DATABASE), [number], STATEMENTS, FILLINGS, MOST_FILLINGS))
        for number in range(schemas)
    ]
    found = [trial for schema in by_schema for trial in schema]
    return Result(
        name="tenancy",
        title=f"{len(found):,} generated statements on {schemas} generated schemas",
        how=f"{_told(found)} A round is the {STATEMENTS} statements of a schema, by our own clock.",
        baseline=_PROVED,
        rows=(
            Row(name=_PROVED, sample=_sample([[one.proving for one in schema] for schema in by_schema])),
            Row(name=_ANALYSED, sample=_judged(by_schema, found), target=_MEANT),
        ),
    )


def _told(found: Sequence[Trial]) -> str:
    tally = Tally.of(found)
    by_grade = "; ".join(
        f"{grade.value}: {tally.number(IsolationVerdict.ISOLATED, grade):,} keep tenants apart, "
        f"{tally.number(IsolationVerdict.MIXED, grade):,} do not, {tally.number(EMPTY, grade):,} made no row"
        for grade in TenancyGrade
    )
    unprovable = tally.number(IsolationVerdict.NOT_PROVABLE)
    unsound = sum(trial.is_unsound for trial in found)
    return (
        f"{FILLINGS} sets of data each, up to {MOST_FILLINGS} where it is called an error. "
        f"Called {by_grade}; {unprovable:,} cannot be proved. "
        f"Unsound (called safe, but mix): {unsound}. Precision (share called safe or warned of, "
        f"of those that make rows and keep tenants apart): {tally.precision:.1%}."
    )


def _judged(by_schema: Sequence[Sequence[Trial]], found: Sequence[Trial]) -> Sample:
    unsound = [trial for trial in found if trial.is_unsound]
    if unsound:
        return Sample(failure=f"calls {len(unsound)} safe that mix tenants, the first: {unsound[0].told()}")
    precision = Tally.of(found).precision
    if precision < LEAST_PRECISION:
        return Sample(failure=f"calls too much an error: precision {precision:.1%}")
    return _sample([[trial.analysing for trial in schema] for schema in by_schema])


def _sample(by_schema: Sequence[Sequence[Spent]]) -> Sample:
    return Sample(
        [
            Run(wall_ms=sum(one.wall_ms for one in schema), cpu_ms=sum(one.cpu_ms for one in schema))
            for schema in by_schema
        ]
    )
