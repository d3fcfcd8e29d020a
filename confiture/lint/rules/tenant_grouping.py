"""Aggregates, DISTINCT, and windows over rows of several tenants."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.tenancy import BEFORE, CHANGING, tenancy_violations
from confiture.models.tenancy import TenancyIssueKind


def _check(context: StatementContext) -> Iterable[Violation]:
    return tenancy_violations(context, TenancyIssueKind.GROUPING)


RULE = StatementRule(
    name="tenant_grouping",
    group=Group.TENANCY,
    severity="error",
    summary="An aggregate, DISTINCT or window combines rows of several tenants",
    impact="One tenant reads results computed from other tenants' rows.",
    fix_hint="add the tenant column to GROUP BY, DISTINCT ON or PARTITION BY",
    kinds=CHANGING,
    check=_check,
    bad=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT min(tenant_id), customer_id, sum(amount) FROM w_orders GROUP BY customer_id",
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
