"""Warnings about statements that write large temporary files, or come near the limit for temporary files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from confiture.core.dry_run.scaling import Scale
from confiture.models.plan import StepId
from confiture.models.trace import DryRunWarning, StatementTrace
from confiture.text import format_bytes

LARGE_TEMP_BYTES = 100 * 1024 * 1024
"""A statement that writes temporary files of this size causes a warning."""
_NEAR_LIMIT = 0.5


def find_spill_warnings(traces: Sequence[StatementTrace], scale: Scale | None) -> Iterator[DryRunWarning]:
    """Yield a warning for each statement or backfill that writes much to temporary files.

    With `scale`, the sizes are those expected for the other database's row counts, against its limit. The size of a
    backfill batch does not depend on row counts.
    """
    factors = scale.factors(traces) if scale else (1.0,) * len(traces)
    largest: dict[tuple[StepId, int | None], tuple[float, StatementTrace, bool]] = {}
    for trace, factor in zip(traces, factors, strict=True):
        is_scaled = scale is not None and not trace.is_batch
        spilled = _spilled_bytes(trace, factor if is_scaled else 1.0)
        key = trace.step, None if trace.is_batch else trace.number
        if spilled and (key not in largest or spilled > largest[key][0]):
            largest[key] = spilled, trace, is_scaled
    for spilled, trace, is_scaled in largest.values():
        limit_bytes = scale.temp_file_limit_bytes if scale else trace.temp_file_limit_bytes
        warning = _spill_warning(trace, spilled, limit_bytes, is_scaled=is_scaled)
        if warning:
            yield warning


def _spilled_bytes(trace: StatementTrace, factor: float) -> float:
    """Return the size of the temporary files for `factor` times the rows; 0 if there are none or it is unknown."""
    if trace.temp_bytes:
        return trace.temp_bytes * factor
    peak_bytes = (trace.memory.peak_bytes or 0) * factor
    # What fits into memory here may not fit there.
    return peak_bytes if factor > 1 and peak_bytes > (trace.memory.limit_bytes or 0) else 0.0


def _spill_warning(
    trace: StatementTrace, spilled: float, limit_bytes: int | None, *, is_scaled: bool
) -> DryRunWarning | None:
    size = format_bytes(round(spilled))
    what = "a batch" if trace.is_batch else "the statement"
    does = f"at the row counts of the other database, {what} writes about" if is_scaled else f"{what} writes"
    if limit_bytes is not None and spilled > _NEAR_LIMIT * limit_bytes:
        is_over = spilled > limit_bytes
        code, comparison = "temp-file-limit", "more than" if is_over else "near"
        message = (
            f"{does} {size} of temporary files, {comparison} temp_file_limit ({format_bytes(limit_bytes)})"
            f"{': it may fail' if is_over else ''}"
        )
        hint = f"raise temp_file_limit for the role, or {_WAYS_OUT[trace.is_batch]}"
    elif spilled >= LARGE_TEMP_BYTES:
        code, message = "temp-files", f"{does} {size} of temporary files"
        hint = _WAYS_OUT[trace.is_batch]
    else:
        return None
    return DryRunWarning(
        code=code,
        message=message,
        hint=f"{hint}{_BUILDS_INDEXES if trace.indexes_built or trace.rewrites else ''}",
        measured_ms=trace.duration_ms,
        span=trace.step.span,
        statement=trace.original_sql or trace.text,
    )


_WAYS_OUT: Mapping[bool, str] = {
    True: "reduce `batch_rows`, or SET LOCAL work_mem before the backfill",
    False: "SET LOCAL work_mem to a larger value before the statement, or run it in batches",
}
"""The ways to avoid the files, by whether the statement is a batch."""
_BUILDS_INDEXES = " (maintenance_work_mem if it builds an index)"
