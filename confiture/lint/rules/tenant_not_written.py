"""Writes to a tenant table that omit the tenant."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.tenancy import BEFORE, CHANGING, tenancy_violations
from confiture.models.tenancy import TenancyIssueKind


def _check(context: StatementContext) -> Iterable[Violation]:
    return tenancy_violations(context, TenancyIssueKind.NOT_WRITTEN, TenancyIssueKind.NO_TENANT_COLUMN)


RULE = StatementRule(
    name="tenant_not_written",
    group=Group.TENANCY,
    severity="error",
    summary="Rows are written without their tenant",
    impact="The new rows belong to no tenant, and no query, policy, or check can determine their tenant.",
    fix_hint="copy the tenant column from the source rows",
    kinds=CHANGING,
    check=_check,
    bad=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (customer_id, total)\n"
            "SELECT customer_id, sum(amount) FROM w_orders GROUP BY tenant_id, customer_id",
        ),
    ),
    good=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT tenant_id, customer_id, sum(amount) FROM w_orders GROUP BY tenant_id, customer_id",
        ),
    ),
)
