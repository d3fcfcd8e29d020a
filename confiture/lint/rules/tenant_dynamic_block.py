"""DO blocks that build SQL at run time. The tenants that this SQL reads are unknown until it runs."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.tenancy import BEFORE, tenancy_violations
from confiture.models.tenancy import TenancyIssueKind


def _check(context: StatementContext) -> Iterable[Violation]:
    return tenancy_violations(context, TenancyIssueKind.DYNAMIC)


RULE = StatementRule(
    name="tenant_dynamic_block",
    group=Group.TENANCY,
    severity="info",
    summary="A DO block builds SQL at run time",
    impact="Whether the statement separates tenants is unknown until it runs.",
    fix_hint="write plain statements: lint analyzes them, and a dry run proves isolation",
    kinds=frozenset({"do_stmt"}),
    check=_check,
    bad=Example(
        before=BEFORE,
        sql=("DO $$ BEGIN EXECUTE format('DELETE FROM %I', 'r_spending'); END $$",),
    ),
    good=Example(
        before=BEFORE,
        sql=("DELETE FROM r_spending WHERE tenant_id = 1 AND customer_id = 2",),
    ),
)
