"""What follows from the runs of a rehearsal: the estimate, the warnings, the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from confiture.core.dry_run.estimates import estimate_duration
from confiture.core.dry_run.lint_warnings import merge_lint_and_measured
from confiture.core.dry_run.retaken import add_reacquired_locks
from confiture.core.dry_run.scaling import Scale
from confiture.core.dry_run.tenancy_prover import mixed_warning
from confiture.core.dry_run.warnings import find_warnings, residual_effects
from confiture.models.events import DryRunFinished
from confiture.models.findings import Finding
from confiture.models.predictions import Prediction
from confiture.models.tenancy_proofs import IsolationReport, IsolationVerdict
from confiture.models.trace import Estimate, LockMode, StatementTrace

Traces = Sequence[StatementTrace]


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryInputs:
    """What warnings and estimates depend on besides the traces.

    `threshold_ms` is how long a table may be kept from readers or writers without one, `findings` what lint found,
    `locks` what statements, by their texts, are known to lock: relations with the strongest mode. `otherwise` are the
    versions that a dry run cannot run as a real run will.
    """

    threshold_ms: float
    findings: tuple[Finding, ...] = ()
    locks: Mapping[str, Mapping[str, LockMode]] = field(default_factory=dict)
    non_representative: frozenset[str] = frozenset()


def summarize(
    runs: Sequence[Traces],
    attempts: Sequence[Traces],
    scale: Scale | None,
    inputs: SummaryInputs,
    isolation: IsolationReport | None,
) -> DryRunFinished:
    """What is told of one or more complete runs: the last one's statements, and an estimate from all of them.

    `tries` are all runs, those that were broken off and tried again included.
    """
    found = _build_estimate(runs, scale, not inputs.non_representative)
    return replace(summarize_failed(runs[-1], attempts, inputs, isolation), estimate=found)


def summarize_failed(
    traces: Traces, attempts: Sequence[Traces], inputs: SummaryInputs, isolation: IsolationReport | None
) -> DryRunFinished:
    """What is told of a run that failed on the way: what was seen until then, and no estimate."""
    complete = add_reacquired_locks(traces, inputs.locks)
    felt = merge_lint_and_measured(
        find_warnings(complete, inputs.threshold_ms, inputs.locks.keys()), inputs.findings, complete
    )
    mixed = isolation.with_verdict(IsolationVerdict.MIXED) if isolation else ()
    return DryRunFinished(
        statements=complete,
        warnings=(*map(mixed_warning, mixed), *felt),
        leftovers=residual_effects(attempts),
        estimate=None,
        isolation=isolation,
    )


def build_predictions(
    runs: Sequence[Traces], scale: Scale | None, inputs: SummaryInputs, database: str, checksums: Mapping[str, str]
) -> tuple[Prediction, ...]:
    """A prediction for each migration of the runs; `checksums` are by version."""
    return tuple(
        Prediction.of(
            database,
            version,
            checksum,
            _build_estimate(_select_version(version, runs), scale, version not in inputs.non_representative),
        )
        for version, checksum in checksums.items()
    )


def _select_version(version: str, runs: Sequence[Traces]) -> list[Traces]:
    return [[trace for trace in run if trace.step.version == version] for run in runs]


def _build_estimate(runs: Sequence[Traces], scale: Scale | None, is_representative: bool) -> Estimate:
    scaled = scale is not None and any(scale.has_counts_for(run) for run in runs)
    return estimate_duration(
        [_total_ms(run, scale) for run in runs], scaled=scaled, is_representative=is_representative
    )


def _total_ms(run: Traces, scale: Scale | None) -> float:
    factors = scale.factors(run) if scale else (1.0,) * len(run)
    return sum(trace.duration_ms * trace.weight * factor for trace, factor in zip(run, factors, strict=True))
