"""Conversion of violations to findings: add locations, apply ignore comments, and remove duplicates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from confiture.errors import Diagnostic
from confiture.lint.engine.configuration import ActiveRule
from confiture.lint.engine.ignores import UNUSED, WITHOUT_REASON, IgnoreComment, ignores_without_reason, unused_ignores
from confiture.lint.engine.replay import NOT_FOLLOWED, LocatedViolation
from confiture.lint.engine.rule import Rule, Violation
from confiture.models.findings import SEVERITIES, Finding


def to_findings(violations: Iterable[LocatedViolation]) -> tuple[Finding, ...]:
    """Convert violations to findings without duplicates, sorted by file and line."""
    return dedupe_findings(map(_to_finding, violations))


def dedupe_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings without duplicates, sorted by file and line.

    Among duplicates, the one that names a migration is kept.
    """
    once: dict[object, Finding] = {}
    for finding in findings:
        # a migration may run a file that is also part of the schema, or that another migration also runs
        key = (finding.rule, finding.span, finding.relation, finding.subject, finding.message, finding.severity)
        known = once.get(key)
        if known is None or (finding.migration and not known.migration):
            once[key] = finding
    return sort_findings(once.values())


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings by file and line; at the same location, put the most severe first."""
    return tuple(sorted(findings, key=_sort_key))


def _sort_key(finding: Finding) -> tuple[object, ...]:
    span = finding.span
    place = (span.path, span.line, span.column) if span else ("", 0, 0)
    return (*place, SEVERITIES.index(finding.severity), finding.rule, finding.relation or "", finding.message)


def _to_finding(located: LocatedViolation) -> Finding:
    active, violation = located.active_rule, located.violation
    span = violation.location.span if violation.location else None
    return Finding(
        rule=active.rule.name,
        severity=active.severity_for(violation),
        message=violation.message,
        effect=violation.effect or active.rule.impact,
        hint=violation.hint or active.rule.fix_hint,
        remedy=violation.remedy,
        span=span,
        excerpt=violation.location.rendered.source.file.excerpt(span.line) if violation.location and span else None,
        relation=violation.relation,
        subject=violation.subject,
        statement=located.statement if violation.statement is None else violation.statement,
        migration=located.migration,
        lines=located.lines,
        edits=() if _is_templated(violation) else violation.edits,
        stable_rule=active.rule.stable_name,
        also_at=violation.also_at.span if violation.also_at else None,
    )


def _is_templated(violation: Violation) -> bool:
    """Whether the text was rendered from a template. Other renderings may need a different change, or none."""
    return violation.location is None or violation.location.rendered.text != violation.location.rendered.source.text


def _always(ignore: IgnoreComment, rule: Rule) -> bool:
    return True


def apply_ignores(
    findings: Sequence[Finding],
    ignores: Iterable[IgnoreComment],
    active_rules: Sequence[ActiveRule],
    rules: Mapping[str, Rule],
    *,
    can_be_unused: Callable[[IgnoreComment, Rule], bool] = _always,
) -> tuple[tuple[Finding, ...], int]:
    """Return the findings that no ignore comment suppresses, the findings about the comments, and the number
    suppressed.

    `can_be_unused` is whether a rule ran on the SQL around a comment; otherwise the comment is not reported as unused.
    """
    comments = {ignore.span: ignore for ignore in ignores}.values()
    by_path: dict[str, list[IgnoreComment]] = {}
    for ignore in comments:
        by_path.setdefault(ignore.span.path, []).append(ignore)
    used: set[tuple[object, str]] = set()
    remaining = []
    for finding in findings:
        here = by_path.get(finding.span.path, ()) if finding.span else ()
        covering = [ignore for ignore in here if finding.span and ignore.covers(rules[finding.rule], finding.span)]
        used |= {(ignore.span, finding.rule) for ignore in covering}
        if not covering:
            remaining.append(finding)
    active_names = {active.rule.name for active in active_rules}
    about = to_findings(_check_comments(comments, used, active_rules, active_names, rules, can_be_unused))
    return sort_findings([*remaining, *about]), len(findings) - len(remaining)


def _check_comments(
    comments: Iterable[IgnoreComment],
    used: Collection[tuple[object, str]],
    active_rules: Sequence[ActiveRule],
    comment_rules: Collection[str],
    rules: Mapping[str, Rule],
    can_be_unused: Callable[[IgnoreComment, Rule], bool],
) -> Iterator[LocatedViolation]:
    by_name = {active.rule.name: active for active in active_rules}
    for ignore in comments:
        unused = [
            name
            for name in ignore.rules
            if (rule := rules.get(name)) is None
            or (rule.name in comment_rules and (ignore.span, rule.name) not in used and can_be_unused(ignore, rule))
        ]
        if UNUSED in by_name:
            yield from (
                LocatedViolation(active_rule=by_name[UNUSED], violation=violation)
                for violation in unused_ignores(ignore, unused, rules)
            )
        if WITHOUT_REASON in by_name:
            yield from (
                LocatedViolation(active_rule=by_name[WITHOUT_REASON], violation=violation)
                for violation in ignores_without_reason(ignore)
            )


def parse_error_findings(problems: Iterable[Diagnostic]) -> Iterator[Finding]:
    """Return file reading errors as findings; a file that several migrations run is reported once."""
    for problem in {(one.code, one.span, one.message): one for one in problems}.values():
        yield Finding(
            rule=problem.code,
            severity="warning" if problem.code == NOT_FOLLOWED else "error",
            message=problem.message,
            effect="; ".join(problem.detail),
            hint=problem.hint or "",
            span=problem.span,
            excerpt=problem.excerpt,
            subject=_words(problem.excerpt) if problem.excerpt else None,
        )


@lru_cache(maxsize=16)  # errors in the same long line share the shortened text
def _words(line: str) -> str:
    return " ".join(line.split())


def is_parse_error(finding: Finding) -> bool:
    """Whether a finding is a file reading error. Its code contains a dash, unlike rule names."""
    return "-" in finding.rule
