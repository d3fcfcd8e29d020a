"""Lints the migrations that are about to run, on the database where they will."""

from __future__ import annotations

from collections.abc import Sequence

from confiture.core.database import Connection
from confiture.core.linting import DatabaseFacts, PlanJudgement, lint_plan
from confiture.core.live_catalog import read_table_rows
from confiture.core.project import Project
from confiture.errors import Diagnostic, HazardsFound
from confiture.models.findings import SEVERITIES, Finding
from confiture.models.history import AppliedMigration, State
from confiture.models.plan import Plan
from confiture.models.settings import Severity
from confiture.plan.ordering import version_key

_VERSION = 10_000


def hazards(project: Project, plan: Plan, history: Sequence[AppliedMigration], connection: Connection) -> PlanJudgement:
    """What lint says of the migrations of a plan, with the version and the table sizes of the database.

    Raises psycopg.Error, and InputError where the settings name rules that do not exist.
    """
    applied = {version_key(row.version) for row in history if row.state is State.APPLIED}
    earlier = [migration for migration in project.ups if version_key(migration.version) in applied]
    facts = DatabaseFacts(version=connection.info.server_version // _VERSION, table_rows=read_table_rows(connection))
    return lint_plan(plan.migrations, earlier, project.settings, facts)


def refuse_hazards(findings: Sequence[Finding], threshold: Severity | None) -> None:
    """Raises HazardsFound with the findings of that severity or worse; does nothing without a threshold."""
    if threshold is None:
        return
    refused = SEVERITIES[: SEVERITIES.index(threshold) + 1]
    told = tuple(_told(finding) for finding in findings if finding.severity in refused)
    if told:
        raise HazardsFound(*told)


def _told(finding: Finding) -> Diagnostic:
    remedy = tuple(f"instead: {line}" for line in (finding.remedy or "").strip().splitlines())
    return Diagnostic(
        code=finding.rule,
        message=finding.message,
        span=finding.span,
        excerpt=finding.excerpt,
        detail=(finding.effect, *remedy),
        hint=f"{finding.hint}; or `-- confiture: ignore {finding.rule} -- reason` where it is meant",
    )
