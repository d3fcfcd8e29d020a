"""Lints migrations that are about to run, by what the database says where they will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confiture.errors import Diagnostic, HazardsFound
from confiture.lint.baseline import read_baseline, unknown
from confiture.lint.engine.configuration import active_rules
from confiture.lint.engine.context import DatabaseFacts, surroundings
from confiture.lint.engine.findings import found, heeding, in_order, unreadable
from confiture.lint.engine.replay import Judged, Replay
from confiture.lint.registry import known_rules
from confiture.models.catalog import Name
from confiture.models.findings import SEVERITIES, Finding, LintReport
from confiture.models.plan import PlannedMigration
from confiture.models.settings import Settings, Severity
from confiture.models.trace import LockMode


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanJudgement:
    """What lint says of a plan: its findings, and what each statement (by its text) locks by what is known of it.

    Statements whose locks nobody knows from their text, such as DO, are not in `locks`.
    """

    report: LintReport
    locks: Mapping[str, Mapping[Name, LockMode]]


def lint_plan(migrations: Sequence[PlannedMigration], settings: Settings, facts: DatabaseFacts) -> PlanJudgement:
    """What is dangerous in migrations that are about to run on a database, and what they lock there.

    What the project's baseline knows is not told. Raises InputError where the settings are wrong, or the baseline
    cannot be read.
    """
    known = known_rules(settings.linting, settings.root)
    actives = active_rules(settings.linting, known)
    replay = Replay(actives, surroundings(settings, facts))
    if facts.catalog is not None:
        replay.begin_with(facts.catalog)
    # what this run makes has no rows that anybody waits for, also in the migrations after
    created: set[Name] = set()
    judged: list[Judged] = [one for plan in migrations for one in replay.judge(plan, created)]
    findings, suppressed = heeding(found(judged), replay.ignores, actives, known, all_judged=False)
    baseline = settings.linting.baseline
    within = (settings.root,)
    new = unknown(findings, read_baseline(baseline, settings.root, within, known)) if baseline else findings
    report = LintReport(
        findings=in_order([*unreadable(replay.failures), *new]),
        files=len(migrations),
        statements=replay.statements,
        tables=len(replay.catalog.tables),
        rules=len({active.rule.name for active in actives}),
        suppressed=suppressed,
        known=len(findings) - len(new),
    )
    return PlanJudgement(report=report, locks=replay.locks)


def refuse_hazards(findings: Sequence[Finding], threshold: Severity | None) -> None:
    """Raises HazardsFound with the findings of that severity or worse; does nothing without a threshold."""
    if threshold is None:
        return
    refused = SEVERITIES[: SEVERITIES.index(threshold) + 1]
    told = tuple(_told(finding) for finding in findings if finding.severity in refused)
    if told:
        raise HazardsFound(*told)


def _told(finding: Finding) -> Diagnostic:
    remedy = tuple(f"  {line}" for line in (finding.remedy or "").strip().splitlines())
    return Diagnostic(
        code=finding.rule,
        message=finding.message,
        span=finding.span,
        excerpt=finding.excerpt,
        detail=(finding.effect, *(("instead:", *remedy) if remedy else ())),
        hint=f"{finding.hint}; or `-- confiture: ignore {finding.rule} -- reason` where it is meant",
    )
