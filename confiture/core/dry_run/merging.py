"""Makes one record of what lint says of a statement and what the dry run saw of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from confiture.lint.registry import built_in_rules
from confiture.models.findings import SEVERITIES, Finding
from confiture.models.trace import LockTrace, RunWarning, StatementTrace
from confiture.models.words import duration_in_prose
from confiture.sql.actions import named_relations, same_relation


def merged(
    warnings: Sequence[RunWarning], findings: Iterable[Finding], traces: Sequence[StatementTrace]
) -> tuple[RunWarning, ...]:
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
        seen = [warning for warning in left if _is_same(finding, warning)]
        left = [warning for warning in left if warning not in seen]
        records.append(_seen(finding, seen) if seen else _unseen(finding, traces))
    return tuple(sorted([*records, *left], key=lambda warning: -(warning.measured_ms or 0)))


def _is_refuted(finding: Finding, traces: Sequence[StatementTrace]) -> bool:
    """Whether its rule says that a table is written anew, and the statement ran and neither did that nor read any."""
    rule = built_in_rules().get(finding.rule)
    ran = [trace for trace in traces if finding.statement == trace.text]
    return bool(rule and rule.claims.rewrites and ran) and not any(trace.rewrites or trace.scans for trace in ran)


def _is_same(finding: Finding, warning: RunWarning) -> bool:
    return (
        finding.statement is not None
        and finding.statement == warning.statement
        and finding.relation is not None
        and warning.table is not None
        and (same_relation(finding.relation, warning.table) or _goes_with(warning.table, finding.statement))
    )


def _goes_with(table: str, statement: str) -> bool:
    """Whether a statement does not name a table that it was seen to touch: a partition, or what inherits."""
    return not any(same_relation(table, name) for name in named_relations([statement]))


def _seen(finding: Finding, warnings: Sequence[RunWarning]) -> RunWarning:
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


def _unseen(finding: Finding, traces: Sequence[StatementTrace]) -> RunWarning:
    lock = _worst_lock(finding, traces)
    measured = ""
    if lock and lock.held_ms >= 1:
        measured = (
            f"; the statement holds {lock.felt.sql} on {lock.relation} for up to {duration_in_prose(lock.held_ms)}"
        )
    return RunWarning(
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
        if finding.statement in (trace.text, trace.instead_of)
        for lock in trace.locks
        if lock.keeps_out and finding.relation and same_relation(finding.relation, lock.relation)
    ]
    return max(found, key=lambda lock: lock.felt.strength, default=None)
