"""Lints migrations that are about to run, by what the database says where they will."""

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
    """What lint says of a plan: its findings, and what each statement (by its text) locks by what is known of it.

    Statements whose locks nobody knows from their text, such as DO, are not in `locks`.
    """

    report: LintReport
    locks: Mapping[str, Mapping[QualifiedName, LockMode]]


def lint_plan(migrations: Sequence[PlannedMigration], settings: Settings, facts: DatabaseFacts) -> PlanLintResult:
    """What is dangerous in migrations that are about to run on a database, and what they lock there.

    What the project's baseline knows is not told. Raises InputError where the settings are wrong, or the baseline
    cannot be read.
    """
    known = known_rules(settings.linting, settings.root)
    actives = active_rules(settings.linting, known)
    replay = MigrationReplay(actives, lint_target(settings, facts))
    if facts.catalog is not None:
        replay.start_from(facts.catalog)
    # what this run makes has no rows that anybody waits for, also in the migrations after
    created: set[QualifiedName] = set()
    judged: list[LocatedViolation] = [one for plan in migrations for one in replay.check(plan, created)]
    findings, suppressed = apply_ignores(to_findings(judged), replay.ignores, actives, known, all_rules_ran=False)
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
    """Raises HazardsFound with the findings of that severity or worse; does nothing without a threshold."""
    if threshold is None:
        return
    refused = SEVERITIES[: SEVERITIES.index(threshold) + 1]
    told = tuple(_to_diagnostic(finding) for finding in findings if finding.severity in refused)
    if told:
        raise HazardsFound(*told)


def _to_diagnostic(finding: Finding) -> Diagnostic:
    remedy = tuple(f"  {line}" for line in (finding.remedy or "").strip().splitlines())
    return Diagnostic(
        code=finding.rule,
        message=finding.message,
        span=finding.span,
        excerpt=finding.excerpt,
        detail=(finding.effect, *(("instead:", *remedy) if remedy else ())),
        hint=f"{finding.hint}; or `-- confiture: ignore {finding.rule} -- reason` where it is meant",
    )
