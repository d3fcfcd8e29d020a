"""Makes one record of what lint says of a statement and what the dry run saw of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from confiture.durations import format_duration_long
from confiture.lint.registry import built_in_rules
from confiture.models.findings import SEVERITIES, Finding
from confiture.models.trace import DryRunWarning, LockTrace, StatementTrace
from confiture.sql.actions import is_same_relation, relations_named_in


def merge_lint_and_measured(
    warnings: Sequence[DryRunWarning], findings: Iterable[Finding], traces: Sequence[StatementTrace]
) -> tuple[DryRunWarning, ...]:
    """The warnings of a dry run together with the findings of lint, the longest measured first.

    A finding that was also seen, for the same table in the same statement, brings its rule and its SQL to that warning;
    one that was not is told with what was measured of it. Of several findings the worst explains what was seen.
    Findings that are only notes are left to lint, and those that the dry run refutes are left out.
    """
    left = list(warnings)
    records = []
    for finding in sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)):
        if finding.severity == "info" or _is_refuted(finding, traces):
            continue
        seen = [warning for warning in left if _is_same_problem(finding, warning)]
        left = [warning for warning in left if warning not in seen]
        records.append(_merge_with_warnings(finding, seen) if seen else _warning_from_finding(finding, traces))
    return tuple(sorted([*records, *left], key=lambda warning: -(warning.measured_ms or 0)))


def _is_refuted(finding: Finding, traces: Sequence[StatementTrace]) -> bool:
    """Whether its rule says that a table is written anew, and the statement ran and neither did that nor read any."""
    rule = built_in_rules().get(finding.rule)
    ran = [trace for trace in traces if finding.statement == trace.text]
    return bool(rule and rule.expected_effects.rewrites and ran) and not any(
        trace.rewrites or trace.scans for trace in ran
    )


def _is_same_problem(finding: Finding, warning: DryRunWarning) -> bool:
    return (
        finding.statement is not None
        and finding.statement == warning.statement
        and finding.relation is not None
        and warning.table is not None
        and (
            is_same_relation(finding.relation, warning.table)
            or _is_indirectly_touched(warning.table, finding.statement)
        )
    )


def _is_indirectly_touched(table: str, statement: str) -> bool:
    """Whether a statement does not name a table that it was seen to touch: a partition, or what inherits."""
    return not any(is_same_relation(table, name) for name in relations_named_in([statement]))


def _merge_with_warnings(finding: Finding, warnings: Sequence[DryRunWarning]) -> DryRunWarning:
    """The warnings of one table and statement as one: all that was measured, and the way out that lint knows."""
    first = max(warnings, key=lambda warning: warning.measured_ms or 0)
    return replace(
        first,
        rule=finding.rule,
        message="; ".join(dict.fromkeys(warning.message for warning in (first, *warnings))),
        hint=finding.hint or first.hint,
        remedy=finding.remedy,
        span=finding.span or first.span,
    )


def _warning_from_finding(finding: Finding, traces: Sequence[StatementTrace]) -> DryRunWarning:
    lock = _worst_lock(finding, traces)
    measured = ""
    if lock and lock.held_ms >= 1:
        measured = (
            f"; the statement holds {lock.effective_mode.sql} on {lock.relation} for up to"
            f" {format_duration_long(lock.held_ms)}"
        )
    return DryRunWarning(
        code=finding.rule,
        rule=finding.rule,
        message=finding.message + measured,
        hint=finding.hint,
        remedy=finding.remedy,
        table=finding.relation,
        measured_ms=lock.held_ms if lock else None,
        span=finding.span,
        statement=finding.statement,
    )


def _worst_lock(finding: Finding, traces: Sequence[StatementTrace]) -> LockTrace | None:
    """The strongest lock that the finding's statement was seen to take on its table, where that keeps queries out."""
    found = [
        lock
        for trace in traces
        if finding.statement in (trace.text, trace.original_sql)
        for lock in trace.locks
        if lock.is_blocking and finding.relation and is_same_relation(finding.relation, lock.relation)
    ]
    return max(found, key=lambda lock: lock.effective_mode.strength, default=None)
