"""The rows of the table of grades for locks, data loss, duration, tenancy, and reversibility."""

from __future__ import annotations

from confiture.durations import format_duration
from confiture.models.grades import Grade, GradeSource, RiskCategory
from confiture.plan.grade_reasons import (
    always_holds,
    blocking_locks,
    format_lock,
    format_losses,
    format_missing_prediction,
    format_prediction,
    is_empty,
    is_long,
    is_measured_completely,
    is_over_window,
    join_some,
    locks_over_limit_in_use,
    locks_without_use,
    lost_data,
    partial_losses,
    uncertain_losses,
    undetermined_locks,
)
from confiture.plan.grade_row import GradeRow

_LOCKS, _LOSS, _DURATION = RiskCategory.LOCKS, RiskCategory.DATA_LOSS, RiskCategory.DURATION
_TENANCY, _REVERSIBILITY = RiskCategory.TENANCY, RiskCategory.REVERSIBILITY
_MEASURED, _PARSED, _DECLARED = GradeSource.MEASURED, GradeSource.PARSED, GradeSource.DECLARED
_UNKNOWN = GradeSource.UNKNOWN

PLAN_GRADE_ROWS: tuple[GradeRow, ...] = (
    GradeRow(
        _LOCKS,
        Grade.HIGH,
        _MEASURED,
        "a lock blocked reads or writes for longer than `max_blocking`, and the table is in use",
        lambda facts: bool(locks_over_limit_in_use(facts)),
        lambda facts: join_some(locks_over_limit_in_use(facts)),
    ),
    GradeRow(
        _LOCKS,
        Grade.UNKNOWN,
        _UNKNOWN,
        "the text does not determine the locks of a statement, and no dry run measured them",
        lambda facts: bool(facts.opaque) and not is_measured_completely(facts),
        lambda facts: f"the locks are unknown: {join_some(list(facts.opaque))}",
    ),
    GradeRow(
        _LOCKS,
        Grade.UNKNOWN,
        _UNKNOWN,
        "a lock blocks reads or writes; the hold time, or whether the table is in use, is not known",
        lambda facts: bool(undetermined_locks(facts)),
        lambda facts: (
            f"{join_some(undetermined_locks(facts))}; "
            + ("whether the table is in use is unknown" if facts.is_measured else "the hold time is unknown")
        ),
    ),
    GradeRow(
        _LOCKS,
        Grade.MEDIUM,
        _MEASURED,
        "a lock blocks reads or writes for a long or unknown time, but the table is not in use",
        lambda facts: bool(locks_without_use(facts)),
        lambda facts: f"{join_some(locks_without_use(facts))}; no other session used the table",
    ),
    GradeRow(
        _LOCKS,
        Grade.LOW,
        _MEASURED,
        "locks blocked reads or writes for at most `max_blocking`",
        lambda facts: bool(blocking_locks(facts)),
        lambda facts: join_some([format_lock(lock) for lock in blocking_locks(facts)]),
    ),
    GradeRow(
        _LOCKS,
        Grade.LOW,
        _PARSED,
        "locks on existing relations, none of which blocks reads or writes",
        lambda facts: bool(facts.locks),
        lambda facts: join_some([format_lock(lock) for lock in facts.locks]),
    ),
    GradeRow(
        _LOCKS,
        Grade.NONE,
        _PARSED,
        "no lock on an existing relation",
        always_holds,
        lambda facts: "no lock on an existing relation",
    ),
    GradeRow(
        _LOSS,
        Grade.HIGH,
        _MEASURED,
        "rows or values of a table with rows are lost, and `down` does not write them again",
        lambda facts: bool(lost_data(facts)),
        lambda facts: format_losses(lost_data(facts)),
    ),
    GradeRow(
        _LOSS,
        Grade.UNKNOWN,
        _UNKNOWN,
        "rows or values may be lost: the number of rows, or the effect of a statement, is not known",
        lambda facts: bool(facts.opaque or uncertain_losses(facts)),
        lambda facts: (
            format_losses(uncertain_losses(facts)) or f"the effects are unknown: {join_some(list(facts.opaque))}"
        ),
    ),
    GradeRow(
        _LOSS,
        Grade.MEDIUM,
        _PARSED,
        "selected rows are deleted, values are overwritten, or `down` writes the lost rows again",
        lambda facts: bool(partial_losses(facts)),
        lambda facts: format_losses(partial_losses(facts)),
    ),
    GradeRow(
        _LOSS,
        Grade.LOW,
        _MEASURED,
        "the affected tables contain no rows now",
        lambda facts: bool(facts.losses),
        lambda facts: f"{format_losses(list(facts.losses))}; no rows now",
    ),
    GradeRow(
        _LOSS, Grade.NONE, _PARSED, "no statement removes data", always_holds, lambda facts: "no statement removes data"
    ),
    GradeRow(
        _DURATION,
        Grade.NONE,
        _PARSED,
        "the migration has no statements",
        is_empty,
        lambda facts: "no statements",
    ),
    GradeRow(
        _DURATION,
        Grade.HIGH,
        _MEASURED,
        "the upper end of the estimate is over the environment's `window`",
        is_over_window,
        lambda facts: f"{format_prediction(facts)}; the window is {format_duration(facts.window_ms)}",
    ),
    GradeRow(
        _DURATION,
        Grade.UNKNOWN,
        _UNKNOWN,
        "no dry run on this database, or it does not execute a statement",
        lambda facts: facts.prediction is None or bool(facts.unmeasured),
        format_missing_prediction,
    ),
    GradeRow(
        _DURATION,
        Grade.MEDIUM,
        _MEASURED,
        "the upper end of the estimate is over half of `window`; without a window, over 1 minute",
        is_long,
        format_prediction,
    ),
    GradeRow(_DURATION, Grade.LOW, _MEASURED, "a shorter estimate", always_holds, format_prediction),
    GradeRow(
        _TENANCY,
        Grade.NONE,
        _DECLARED,
        "the settings configure no `tenancy`",
        lambda facts: not facts.has_tenants,
        lambda facts: "the settings configure no tenancy",
    ),
    GradeRow(
        _TENANCY,
        Grade.HIGH,
        _MEASURED,
        "a dry run found rows that mix tenants",
        lambda facts: bool(facts.prediction and facts.prediction.measurement and facts.prediction.measurement.mixed),
        lambda facts: (
            join_some(list(facts.prediction.measurement.mixed))
            if facts.prediction and facts.prediction.measurement
            else ""
        ),
    ),
    GradeRow(
        _TENANCY,
        Grade.HIGH,
        _PARSED,
        "lint reports an error about tenants",
        lambda facts: bool(facts.tenant_errors),
        lambda facts: join_some(list(facts.tenant_errors)),
    ),
    GradeRow(
        _TENANCY,
        Grade.UNKNOWN,
        _UNKNOWN,
        "tenant isolation of a statement is not provable",
        lambda facts: bool(facts.tenant_doubts),
        lambda facts: f"not provable: {join_some(list(facts.tenant_doubts))}",
    ),
    GradeRow(
        _TENANCY,
        Grade.MEDIUM,
        _PARSED,
        "lint reports a warning about tenants",
        lambda facts: bool(facts.tenant_warnings),
        lambda facts: join_some(list(facts.tenant_warnings)),
    ),
    GradeRow(
        _TENANCY,
        Grade.LOW,
        _MEASURED,
        "a dry run proved the statements",
        lambda facts: bool(
            facts.prediction and facts.prediction.measurement and facts.prediction.measurement.is_proved
        ),
        lambda facts: f"proved in a dry run on {facts.prediction.database}" if facts.prediction else "",
    ),
    GradeRow(
        _TENANCY,
        Grade.LOW,
        _PARSED,
        "lint reports nothing about tenants",
        always_holds,
        lambda facts: "lint reports nothing",
    ),
    GradeRow(
        _REVERSIBILITY,
        Grade.NONE,
        _PARSED,
        "the migration has no statements",
        is_empty,
        lambda facts: "no statements",
    ),
    GradeRow(
        _REVERSIBILITY,
        Grade.HIGH,
        _DECLARED,
        "there is no `down`",
        lambda facts: facts.has_down is False,
        lambda facts: "there is no down",
    ),
    GradeRow(
        _REVERSIBILITY,
        Grade.UNKNOWN,
        _UNKNOWN,
        "`down` lacks variables",
        lambda facts: facts.has_down is None,
        lambda facts: "down lacks variables",
    ),
    GradeRow(
        _REVERSIBILITY,
        Grade.MEDIUM,
        _PARSED,
        "`down` exists; segments commit before the end",
        lambda facts: facts.segments > 1,
        lambda facts: f"commits {facts.segments} times; after a failure, `up` resumes and `down` reverts",
    ),
    GradeRow(
        _REVERSIBILITY,
        Grade.LOW,
        _PARSED,
        "`down` exists; one commit",
        always_holds,
        lambda facts: "down exists, one commit",
    ),
)
