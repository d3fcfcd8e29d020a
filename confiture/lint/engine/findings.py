"""Makes findings of what rules hit: places worked out, ignore comments heeded, what was found twice merged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from confiture.errors import Diagnostic
from confiture.lint.engine.configuration import ActiveRule
from confiture.lint.engine.ignores import UNUSED, WITHOUT_REASON, IgnoreComment, ignores_without_reason, unused_ignores
from confiture.lint.engine.replay import NOT_FOLLOWED, LocatedViolation
from confiture.lint.engine.rule import Rule, Violation
from confiture.models.findings import SEVERITIES, Finding


def to_findings(violations: Iterable[LocatedViolation]) -> tuple[Finding, ...]:
    """The findings of what rules hit, each once, by file and line."""
    return dedupe_findings(map(_to_finding, violations))


def dedupe_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, by file and line. The one that knows its migration wins over its twin."""
    once: dict[object, Finding] = {}
    for finding in findings:
        # one migration may run a file that is also read as schema, or that another runs again
        key = (finding.rule, finding.span, finding.relation, finding.subject, finding.message, finding.severity)
        known = once.get(key)
        if known is None or (finding.migration and not known.migration):
            once[key] = finding
    return sort_findings(once.values())


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By file and line, the worst first in one place."""
    return tuple(sorted(findings, key=_sort_key))


def _sort_key(finding: Finding) -> tuple[object, ...]:
    span = finding.span
    place = (span.path, span.line, span.column) if span else ("", 0, 0)
    return (*place, SEVERITIES.index(finding.severity), finding.rule, finding.relation or "", finding.message)


def _to_finding(located: LocatedViolation) -> Finding:
    active, hit = located.active_rule, located.violation
    span = hit.location.span if hit.location else None
    return Finding(
        rule=active.rule.name,
        severity=active.severity_for(hit),
        message=hit.message,
        effect=hit.effect or active.rule.impact,
        hint=hit.hint or active.rule.fix_hint,
        remedy=hit.remedy,
        span=span,
        excerpt=hit.location.rendered.source.file.excerpt(span.line) if hit.location and span else None,
        relation=hit.relation,
        subject=hit.subject,
        statement=located.statement if hit.statement is None else hit.statement,
        migration=located.migration,
        lines=located.lines,
        edits=() if _is_templated(hit) else hit.edits,
        stable_rule=active.rule.stable_name,
        also_at=hit.also_at.span if hit.also_at else None,
    )


def _is_templated(violation: Violation) -> bool:
    """Whether a template made the text: other renderings of it may need no change, or another one."""
    return violation.location is None or violation.location.rendered.text != violation.location.rendered.source.text


def apply_ignores(
    findings: Sequence[Finding],
    ignores: Iterable[IgnoreComment],
    active_rules: Sequence[ActiveRule],
    rules: Mapping[str, Rule],
    *,
    all_rules_ran: bool = True,
) -> tuple[tuple[Finding, ...], int]:
    """The findings that no ignore comment takes away, those about the comments, and how many were taken away.

    Without `all_rules_ran`, rules may have found nothing because they were not asked: no comment counts as unused.
    """
    comments = {ignore.span: ignore for ignore in ignores}.values()
    by_path: dict[str, list[IgnoreComment]] = {}
    for ignore in comments:
        by_path.setdefault(ignore.span.path, []).append(ignore)
    used: set[tuple[object, str]] = set()
    kept = []
    for finding in findings:
        here = by_path.get(finding.span.path, ()) if finding.span else ()
        covering = [ignore for ignore in here if finding.span and ignore.covers(rules[finding.rule], finding.span)]
        used |= {(ignore.span, finding.rule) for ignore in covering}
        if not covering:
            kept.append(finding)
    judging = {active.rule.name for active in active_rules}
    about = to_findings(_check_comments(comments, used, active_rules, judging, rules, all_rules_ran=all_rules_ran))
    return sort_findings([*kept, *about]), len(findings) - len(kept)


def _check_comments(
    comments: Iterable[IgnoreComment],
    used: Collection[tuple[object, str]],
    active_rules: Sequence[ActiveRule],
    comment_rules: Collection[str],
    rules: Mapping[str, Rule],
    *,
    all_rules_ran: bool,
) -> Iterator[LocatedViolation]:
    by_name = {active.rule.name: active for active in active_rules}
    for ignore in comments:
        unused = [
            name
            for name in ignore.rules
            if (rule := rules.get(name)) is None
            or (all_rules_ran and rule.name in comment_rules and (ignore.span, rule.name) not in used)
        ]
        if UNUSED in by_name:
            yield from (
                LocatedViolation(active_rule=by_name[UNUSED], violation=hit)
                for hit in unused_ignores(ignore, unused, rules)
            )
        if WITHOUT_REASON in by_name:
            yield from (
                LocatedViolation(active_rule=by_name[WITHOUT_REASON], violation=hit)
                for hit in ignores_without_reason(ignore)
            )


def parse_error_findings(problems: Iterable[Diagnostic]) -> Iterator[Finding]:
    """What cannot be read, as findings; a file that several migrations run is told once."""
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


@lru_cache(maxsize=16)  # the mistakes of a long line share it
def _words(line: str) -> str:
    return " ".join(line.split())


def is_parse_error(finding: Finding) -> bool:
    """Whether the finding is that a file cannot be read. The codes of such have dashes, the names of rules have not."""
    return "-" in finding.rule
