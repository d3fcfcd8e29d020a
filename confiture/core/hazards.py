"""Lints the migrations that are about to run, on the database where they will."""

from __future__ import annotations

from collections.abc import Sequence

from confiture.core.database import Connection
from confiture.core.linting import DatabaseFacts, PlanJudgement, lint_plan
from confiture.core.live_catalog import read_catalog, read_table_rows
from confiture.errors import Diagnostic, HazardsFound
from confiture.models.findings import SEVERITIES, Finding
from confiture.models.plan import Plan
from confiture.models.settings import Settings, Severity

_VERSION = 10_000


def hazards(settings: Settings, plan: Plan, connection: Connection) -> PlanJudgement:
    """What lint says of the migrations of a plan, with the version, the schema and the table sizes of the database.

    Raises psycopg.Error, and InputError where the settings name rules that do not exist.
    """
    facts = DatabaseFacts(
        version=connection.info.server_version // _VERSION,
        table_rows=read_table_rows(connection),
        catalog=read_catalog(connection),
    )
    return lint_plan(plan.migrations, settings, facts)


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
