"""Joins between tenant tables that do not compare the tenants."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.tenancy import BEFORE, CHANGING, tenancy_violations
from confiture.models.tenancy import TenancyIssueKind


def _check(context: StatementContext) -> Iterable[Violation]:
    return tenancy_violations(context, TenancyIssueKind.JOIN)


RULE = StatementRule(
    name="tenant_join",
    group=Group.TENANCY,
    severity="error",
    summary="Tenant tables are joined without comparing the tenants",
    impact="If ids coincide, or one is wrong, rows of different tenants are joined.",
    fix_hint="compare the tenant columns too; a foreign key on both columns proves that they are equal",
    kinds=CHANGING,
    check=_check,
    bad=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT c.tenant_id, c.id, sum(o.amount)\n"
            "FROM w_customers c\n"
            "LEFT JOIN w_orders o ON o.customer_id = c.id\n"
            "GROUP BY c.tenant_id, c.id",
        ),
    ),
    good=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT c.tenant_id, c.id, sum(o.amount)\n"
            "FROM w_customers c\n"
            "LEFT JOIN w_orders o ON o.customer_id = c.id AND o.tenant_id = c.tenant_id\n"
            "GROUP BY c.tenant_id, c.id",
        ),
    ),
)
