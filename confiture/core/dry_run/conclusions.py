"""What follows from the runs of a rehearsal: the estimate, the warnings, the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from confiture.core.dry_run.advice import leftovers, warnings
from confiture.core.dry_run.estimates import estimate
from confiture.core.dry_run.merging import merged
from confiture.core.dry_run.proving import mixed_warning
from confiture.core.dry_run.retaken import with_retaken
from confiture.core.dry_run.scaling import Scale
from confiture.models.events import Rehearsed
from confiture.models.findings import Finding
from confiture.models.isolation import IsolationReport, Standing
from confiture.models.predictions import Prediction
from confiture.models.trace import Estimate, LockMode, StatementTrace

Traces = Sequence[StatementTrace]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What warnings and estimates depend on besides the traces.

    `threshold_ms` is how long a table may be kept from readers or writers without one, `findings` what lint found,
    `locks` what statements, by their texts, are known to lock: relations with the strongest mode. `otherwise` are the
    versions that a dry run cannot run as a real run will.
    """

    threshold_ms: float
    findings: tuple[Finding, ...] = ()
    locks: Mapping[str, Mapping[str, LockMode]] = field(default_factory=dict)
    otherwise: frozenset[str] = frozenset()


def conclude(
    runs: Sequence[Traces],
    tries: Sequence[Traces],
    scale: Scale | None,
    known: Known,
    isolation: IsolationReport | None,
) -> Rehearsed:
    """What is told of one or more complete runs: the last one's statements, and an estimate from all of them.

    `tries` are all runs, those that were broken off and tried again included.
    """
    found = _estimate(runs, scale, not known.otherwise)
    return replace(partial(runs[-1], tries, known, isolation), estimate=found)


def partial(traces: Traces, tries: Sequence[Traces], known: Known, isolation: IsolationReport | None) -> Rehearsed:
    """What is told of a run that failed on the way: what was seen until then, and no estimate."""
    complete = with_retaken(traces, known.locks)
    felt = merged(warnings(complete, known.threshold_ms, known.locks.keys()), known.findings, complete)
    mixed = isolation.of(Standing.MIXED) if isolation else ()
    return Rehearsed(
        statements=complete,
        warnings=(*map(mixed_warning, mixed), *felt),
        leftovers=leftovers(tries),
        estimate=None,
        isolation=isolation,
    )


def predictions(
    runs: Sequence[Traces], scale: Scale | None, known: Known, database: str, checksums: Mapping[str, str]
) -> tuple[Prediction, ...]:
    """A prediction for each migration of the runs; `checksums` are by version."""
    return tuple(
        Prediction.of(database, version, checksum, _estimate(_of(version, runs), scale, version not in known.otherwise))
        for version, checksum in checksums.items()
    )


def _of(version: str, runs: Sequence[Traces]) -> list[Traces]:
    return [[trace for trace in run if trace.step.version == version] for run in runs]


def _estimate(runs: Sequence[Traces], scale: Scale | None, as_real: bool) -> Estimate:
    scaled = scale is not None and any(scale.reaches(run) for run in runs)
    return estimate([_total_ms(run, scale) for run in runs], scaled=scaled, as_real=as_real)


def _total_ms(run: Traces, scale: Scale | None) -> float:
    factors = scale.factors(run) if scale else (1.0,) * len(run)
    return sum(trace.duration_ms * trace.stands_for * factor for trace, factor in zip(run, factors, strict=True))
