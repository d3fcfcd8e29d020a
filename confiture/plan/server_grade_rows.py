"""The rows of the table of grades for disk space, memory, and concurrent activity."""

from __future__ import annotations

from confiture.durations import format_duration
from confiture.models.grades import Grade, GradeSource, RiskCategory
from confiture.plan.grade_reasons import (
    always_holds,
    format_disk_need,
    format_size,
    has_small_need,
    is_empty,
    is_measured_completely,
    is_over_temp_limit,
    join_some,
    join_transactions,
    needs_over,
    temp_bytes,
)
from confiture.plan.grade_row import GradeRow

LAG_MS = 10_000
"""From this lag on, a replica is behind."""
_DISK, _MEMORY, _ACTIVITY = RiskCategory.DISK_SPACE, RiskCategory.MEMORY, RiskCategory.CONCURRENT_ACTIVITY
_MEASURED, _PARSED = GradeSource.MEASURED, GradeSource.PARSED
_UNKNOWN = GradeSource.UNKNOWN

SERVER_GRADE_ROWS: tuple[GradeRow, ...] = (
    GradeRow(
        _DISK,
        Grade.HIGH,
        _MEASURED,
        "WAL, temporary files, and rewritten relations need over half of `free_space`",
        lambda facts: needs_over(facts, 0.5),
        format_disk_need,
    ),
    GradeRow(
        _DISK,
        Grade.UNKNOWN,
        _UNKNOWN,
        "statements process rows, and the need is not measured, or it is over 1 % of the database without `free_space`",
        lambda facts: (facts.reads_rows or bool(facts.opaque) or bool(facts.rewrites)) and not has_small_need(facts),
        lambda facts: (
            f"{format_disk_need(facts)}; the free space is unknown"
            if is_measured_completely(facts)
            else "not measured" + (f"; rewrites {join_some(list(facts.rewrites))}" if facts.rewrites else "")
        ),
    ),
    GradeRow(
        _DISK,
        Grade.MEDIUM,
        _MEASURED,
        "they need over 10 % of `free_space`",
        lambda facts: needs_over(facts, 0.1),
        format_disk_need,
    ),
    GradeRow(
        _DISK,
        Grade.LOW,
        _MEASURED,
        "they need less",
        lambda facts: facts.reads_rows or bool(facts.opaque) or bool(facts.rewrites),
        format_disk_need,
    ),
    GradeRow(
        _DISK,
        Grade.NONE,
        _PARSED,
        "no statement processes rows",
        always_holds,
        lambda facts: "no statement processes rows",
    ),
    GradeRow(
        _MEMORY,
        Grade.HIGH,
        _MEASURED,
        "temporary files need over half of `temp_file_limit`",
        is_over_temp_limit,
        lambda facts: (
            f"{format_size(temp_bytes(facts) or 0)} of temporary files;"
            f" temp_file_limit is {format_size(facts.temp_file_limit_bytes or 0)}"
        ),
    ),
    GradeRow(
        _MEMORY,
        Grade.UNKNOWN,
        _UNKNOWN,
        "statements process rows, and temporary files are not measured",
        lambda facts: (facts.reads_rows or bool(facts.opaque) or bool(facts.rewrites)) and temp_bytes(facts) is None,
        lambda facts: "not measured",
    ),
    GradeRow(
        _MEMORY,
        Grade.MEDIUM,
        _MEASURED,
        "a statement wrote temporary files, because `work_mem` was too small",
        lambda facts: bool(temp_bytes(facts)),
        lambda facts: f"{format_size(temp_bytes(facts) or 0)} of temporary files",
    ),
    GradeRow(
        _MEMORY,
        Grade.LOW,
        _MEASURED,
        "no statement wrote temporary files",
        lambda facts: facts.reads_rows or bool(facts.opaque) or bool(facts.rewrites),
        lambda facts: "no temporary files",
    ),
    GradeRow(
        _MEMORY,
        Grade.NONE,
        _PARSED,
        "no statement processes rows",
        always_holds,
        lambda facts: "no statement processes rows",
    ),
    GradeRow(
        _ACTIVITY, Grade.NONE, _PARSED, "the migration has no statements", is_empty, lambda facts: "no statements"
    ),
    GradeRow(
        _ACTIVITY,
        Grade.HIGH,
        _MEASURED,
        "another run holds the migration lock now",
        lambda facts: facts.lock_holder is not None,
        lambda facts: f"running now: {facts.lock_holder}",
    ),
    GradeRow(
        _ACTIVITY,
        Grade.HIGH,
        _MEASURED,
        "a statement would wait now for a transaction older than `lock_timeout`",
        lambda facts: bool(facts.holders),
        lambda facts: join_transactions(facts.holders),
    ),
    GradeRow(
        _ACTIVITY,
        Grade.UNKNOWN,
        _UNKNOWN,
        "the role may not see other sessions",
        lambda facts: not facts.sees_sessions,
        lambda facts: "the role may not see other sessions; GRANT pg_read_all_stats",
    ),
    GradeRow(
        _ACTIVITY,
        Grade.MEDIUM,
        _MEASURED,
        "a replica lags by over 10 seconds, or other transactions are older than `lock_timeout`",
        lambda facts: bool(facts.old_transactions) or (facts.replica_lag_ms or 0.0) > LAG_MS,
        lambda facts: (
            join_transactions(facts.old_transactions) or f"a replica lags by {format_duration(facts.replica_lag_ms)}"
        ),
    ),
    GradeRow(
        _ACTIVITY,
        Grade.LOW,
        _MEASURED,
        "no such transaction or lag now",
        always_holds,
        lambda facts: "no transaction in the way now",
    ),
)
