"""Linting of migrations that are about to run, with facts from their target database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from confiture.errors import Diagnostic, HazardsFound
from confiture.lint.baseline import drop_known, read_baseline
from confiture.lint.engine.configuration import active_rules
from confiture.lint.engine.context import DatabaseFacts, lint_target
from confiture.lint.engine.findings import apply_ignores, parse_error_findings, sort_findings, to_findings
from confiture.lint.engine.replay import LocatedViolation, MigrationReplay
from confiture.lint.registry import known_rules
from confiture.models.catalog import Catalog, QualifiedName
from confiture.models.findings import SEVERITIES, Finding, LintReport
from confiture.models.plan import PlannedMigration
from confiture.models.settings import Settings, Severity
from confiture.models.trace import LockMode


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanLintResult:
    """The lint result of a plan: its findings, and the expected locks for each statement, by SQL text.

    `locks` omits statements whose locks cannot be determined from their text, such as DO.
    """

    report: LintReport
    locks: Mapping[str, Mapping[QualifiedName, LockMode]]


def lint_plan(migrations: Sequence[PlannedMigration], settings: Settings, facts: DatabaseFacts) -> PlanLintResult:
    """Return the hazards in migrations that are about to run on a database, and their expected locks.

    Findings in the project's baseline are not reported. Raises InputError if the settings are invalid, or if the
    baseline cannot be read.
    """
    known = known_rules(settings.linting, settings.root)
    actives = active_rules(settings.linting, known)
    replay = MigrationReplay(actives, lint_target(settings, facts))
    if facts.catalog is not None:
        replay.start_from(facts.catalog)
    # no other session uses relations that this run creates, even in later migrations
    created: set[QualifiedName] = set()
    violations: list[LocatedViolation] = [one for plan in migrations for one in replay.check(plan, created)]
    findings, suppressed = apply_ignores(
        to_findings(violations), replay.ignores, actives, known, can_be_unused=lambda ignore, rule: False
    )
    baseline = settings.linting.baseline
    within = (settings.root,)
    new = drop_known(findings, read_baseline(baseline, settings.root, within, known)) if baseline else findings
    report = LintReport(
        findings=sort_findings([*parse_error_findings(replay.failures), *new]),
        files=len(migrations),
        statements=replay.statements,
        tables=len(replay.catalog.tables),
        rules=len({active.rule.name for active in actives}),
        suppressed=suppressed,
        known=len(findings) - len(new),
    )
    return PlanLintResult(report=report, locks=replay.locks)


def replay_catalog(migrations: Iterable[PlannedMigration], settings: Settings) -> Catalog:
    """Build the schema that migrations create in an empty database."""
    replay = MigrationReplay((), lint_target(settings, None))
    for plan in migrations:
        replay.apply(plan)
    return replay.catalog


def raise_on_hazards(findings: Sequence[Finding], threshold: Severity | None) -> None:
    """Raise HazardsFound with the findings of at least that severity; do nothing without a threshold."""
    if threshold is None:
        return
    rejected = SEVERITIES[: SEVERITIES.index(threshold) + 1]
    hazards = tuple(_to_diagnostic(finding) for finding in findings if finding.severity in rejected)
    if hazards:
        raise HazardsFound(*hazards)


def _to_diagnostic(finding: Finding) -> Diagnostic:
    remedy = tuple(f"  {line}" for line in (finding.remedy or "").strip().splitlines())
    return Diagnostic(
        code=finding.rule,
        message=finding.message,
        span=finding.span,
        excerpt=finding.excerpt,
        detail=(finding.effect, *(("instead:", *remedy) if remedy else ())),
        hint=f"{finding.hint}; or, if it is intended, add `-- confiture: ignore {finding.rule} -- reason`",
    )
