"""Merge lint findings with dry-run measurements."""

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
    """Return the dry-run warnings merged with the lint findings, longest measured duration first.

    If a finding and a warning concern the same table in the same statement, the finding adds its rule and its SQL to
    the warning. Any other finding becomes a warning with its own measurements. If several findings match, the most
    severe one explains the warning. Findings with severity info and findings refuted by the dry run are omitted.
    """
    remaining = list(warnings)
    records = []
    for finding in sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)):
        if finding.severity == "info" or _is_refuted(finding, traces):
            continue
        matches = [warning for warning in remaining if _is_same_problem(finding, warning)]
        remaining = [warning for warning in remaining if warning not in matches]
        records.append(_merge_with_warnings(finding, matches) if matches else _warning_from_finding(finding, traces))
    return tuple(sorted([*records, *remaining], key=lambda warning: -(warning.measured_ms or 0)))


def _is_refuted(finding: Finding, traces: Sequence[StatementTrace]) -> bool:
    """Whether the rule expects a table rewrite but the statement ran without a rewrite or scan."""
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
    """Whether a statement touched a table without naming it, such as a partition or an inheritance child."""
    return not any(is_same_relation(table, name) for name in relations_named_in([statement]))


def _merge_with_warnings(finding: Finding, warnings: Sequence[DryRunWarning]) -> DryRunWarning:
    """Merge the warnings for one table and statement into one warning with all measurements and lint's remedy."""
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
    """Return the strongest lock that the finding's statement acquired on its table, if that lock blocks queries."""
    locks = [
        lock
        for trace in traces
        if finding.statement in (trace.text, trace.original_sql)
        for lock in trace.locks
        if lock.is_blocking and finding.relation and is_same_relation(finding.relation, lock.relation)
    ]
    return max(locks, key=lambda lock: lock.effective_mode.strength, default=None)
