"""Tenant columns that are not set to the tenant of the source rows."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.tenancy import BEFORE, CHANGING, tenancy_violations
from confiture.models.tenancy import TenancyIssueKind


def _check(context: StatementContext) -> Iterable[Violation]:
    return tenancy_violations(context, TenancyIssueKind.WRONG_SOURCE)


RULE = StatementRule(
    name="tenant_wrong_source",
    group=Group.TENANCY,
    severity="error",
    summary="The tenant is not copied from the source rows",
    impact="One tenant's rows are stored as another's, and the other tenant can read them.",
    fix_hint="copy the tenant column from the source rows",
    kinds=CHANGING,
    check=_check,
    bad=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT 1, customer_id, sum(amount) FROM w_orders GROUP BY tenant_id, customer_id",
        ),
    ),
    good=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT 1, customer_id, sum(amount) FROM w_orders WHERE tenant_id = 1 GROUP BY customer_id",
        ),
    ),
)
