"""Summarize the runs in a dry run: the estimate, the warnings and the predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby

from confiture.core.dry_run.estimates import estimate_duration
from confiture.core.dry_run.lint_warnings import merge_lint_and_measured
from confiture.core.dry_run.scaling import Scale
from confiture.core.dry_run.spill_warnings import find_spill_warnings
from confiture.core.dry_run.tenancy_prover import mixed_warning
from confiture.core.dry_run.warnings import find_warnings, residual_effects
from confiture.models.events import DryRunFinished
from confiture.models.findings import Finding
from confiture.models.predictions import MeasuredLock, Measurement, Prediction
from confiture.models.tenancy_proofs import IsolationReport, IsolationVerdict
from confiture.models.trace import BlockedAccess, Estimate, LockMode, LockTrace, StatementTrace
from confiture.sql.actions import is_same_relation

Traces = Sequence[StatementTrace]
_Held = dict[tuple[str, LockMode], LockTrace]


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryInputs:
    """The inputs for warnings and estimates, in addition to the traces.

    `threshold_ms` is how long readers or writers of a table may be blocked without a warning. `findings` are the lint
    findings. `locks` are the known locks by statement text: relations with the strongest mode. `non_representative` are
    the versions that a dry run cannot run in the same way as a real run.
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
    """Summarize one or more complete runs: the statements in the last run, and an estimate based on all runs.

    `attempts` are all runs, including those that failed and were retried.
    """
    estimate = _build_estimate(runs, scale, not inputs.non_representative)
    return replace(summarize_failed(runs[-1], attempts, scale, inputs, isolation), estimate=estimate)


def summarize_failed(
    traces: Traces,
    attempts: Sequence[Traces],
    scale: Scale | None,
    inputs: SummaryInputs,
    isolation: IsolationReport | None,
) -> DryRunFinished:
    """Summarize a failed run: its statements up to the failure, without an estimate."""
    complete = add_reacquired_locks(traces, inputs.locks)
    measured = find_warnings(complete, inputs.threshold_ms, inputs.locks.keys())
    spills = find_spill_warnings(complete, scale)
    warnings = merge_lint_and_measured((*measured, *spills), inputs.findings, complete)
    mixed = isolation.with_verdict(IsolationVerdict.MIXED) if isolation else ()
    return DryRunFinished(
        statements=complete,
        warnings=(*map(mixed_warning, mixed), *warnings),
        leftovers=residual_effects(attempts),
        estimate=None,
        isolation=isolation,
    )


def build_predictions(
    runs: Sequence[Traces],
    scale: Scale | None,
    inputs: SummaryInputs,
    database: str,
    checksums: Mapping[str, str],
    isolation: IsolationReport | None,
) -> tuple[Prediction, ...]:
    """Return a prediction for each migration in the runs. `checksums` maps versions to checksums.

    A prediction that is scaled to another database's row counts contains no other measurements.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    complete = add_reacquired_locks(runs[-1], inputs.locks)
    return tuple(
        Prediction.of(
            database,
            version,
            checksum,
            _build_estimate(_select_version(version, runs), scale, version not in inputs.non_representative),
            None if scale else _build_measurement(version, complete, isolation, at),
        )
        for version, checksum in checksums.items()
    )


def _build_measurement(version: str, traces: Traces, isolation: IsolationReport | None, at: str) -> Measurement:
    """Return what the last run measured in a migration. The numbers of a sampled backfill are extrapolated."""
    own = [trace for trace in traces if trace.step.version == version]
    proofs = [one for one in isolation.statements if one.step.version == version] if isolation else []
    held_ms: dict[tuple[str, LockMode], float] = {}
    for lock in (lock for trace in own for lock in trace.locks if lock.is_queried or _blocks_by_index(lock)):
        key = (lock.relation, lock.effective_mode)
        held_ms[key] = max(held_ms.get(key, 0.0), lock.held_ms)
    deleted: Counter[str] = Counter()
    for trace in own:
        deleted.update({rows.table: round(rows.deleted * trace.weight) for rows in trace.rows if rows.deleted})
    temp_bytes = [trace.temp_bytes for trace in own]
    return Measurement(
        at=at,
        locks=tuple(
            MeasuredLock(relation=relation, mode=mode, held_ms=round(ms, 3)) for (relation, mode), ms in held_ms.items()
        ),
        wal_bytes=round(sum(trace.wal_bytes * trace.weight for trace in own)),
        temp_bytes=None if None in temp_bytes else sum(size for size in temp_bytes if size),
        rewrites=tuple(dict.fromkeys(relation for trace in own for relation in trace.rewrites)),
        deleted_rows=tuple(deleted.items()),
        is_proved=isolation is not None,
        mixed=tuple(one.target for one in proofs if one.proof.verdict is IsolationVerdict.MIXED),
        not_provable=tuple(one.target for one in proofs if one.proof.verdict is IsolationVerdict.NOT_PROVABLE),
    )


def _blocks_by_index(lock: LockTrace) -> bool:
    """Whether a lock on an index keeps queries on its table waiting."""
    return lock.kind == "index" and lock.effective_mode.blocked_access is BlockedAccess.READS


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


def add_reacquired_locks(
    traces: Sequence[StatementTrace], locks: Mapping[str, Mapping[str, LockMode]]
) -> tuple[StatementTrace, ...]:
    """Return the traces, adding locks that a real run acquires again after a commit. A dry run cannot observe them.

    All segments in a dry run share one transaction, so the locks from earlier segments are still held, and acquiring
    them again leaves no trace. `locks` contains the strongest modes by statement and relation, derived from the
    statement text.
    """
    complete: list[StatementTrace] = []
    held_locks: _Held = {}
    for _, group in groupby(traces, key=lambda trace: (trace.step.version, trace.step.segment)):
        segment = tuple(group)
        end_ms = max(trace.started_ms + trace.duration_ms for trace in segment)
        taken_locks: set[tuple[str, LockMode]] = set()
        for trace in segment:
            hidden = tuple(_hidden_locks(trace, locks, held_locks, taken_locks, end_ms))
            taken_locks |= {(lock.relation, lock.mode) for lock in (*trace.locks, *hidden)}
            complete.append(replace(trace, locks=(*trace.locks, *hidden)))
        held_locks |= {(lock.relation, lock.mode): lock for trace in segment for lock in trace.locks}
    return tuple(complete)


def _hidden_locks(
    trace: StatementTrace,
    locks: Mapping[str, Mapping[str, LockMode]],
    held_locks: _Held,
    taken: set[tuple[str, LockMode]],
    end_ms: float,
) -> Iterator[LockTrace]:
    """Yield a statement's locks that were already held, in the same or (transactional form) a stronger mode."""
    observed = {(lock.relation, lock.effective_mode) for lock in trace.locks}
    for name, mode in locks.get(trace.original_sql or trace.text, {}).items():
        for (relation, held_mode), lock in held_locks.items():
            hides = held_mode is mode or (trace.original_sql and held_mode.strength > mode.strength)
            if hides and (relation, mode) not in taken | observed and is_same_relation(relation, name):
                taken.add((relation, mode))
                yield replace(
                    lock, mode=mode, acquired_ms=trace.started_ms, released_ms=end_ms, real_mode=None, is_inferred=True
                )
