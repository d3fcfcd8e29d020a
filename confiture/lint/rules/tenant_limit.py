"""LIMIT and OFFSET over rows from all tenants."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.tenancy import BEFORE, CHANGING, tenancy_violations
from confiture.models.tenancy import TenancyIssueKind


def _check(context: StatementContext) -> Iterable[Violation]:
    return tenancy_violations(context, TenancyIssueKind.LIMIT)


RULE = StatementRule(
    name="tenant_limit",
    group=Group.TENANCY,
    severity="warning",
    summary="LIMIT or OFFSET counts rows across all tenants",
    impact="The number of other tenants' rows determines whether a tenant gets its own rows.",
    fix_hint="limit within each tenant, with a LATERAL subquery or row_number() OVER (PARTITION BY tenant)",
    kinds=CHANGING,
    check=_check,
    bad=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT tenant_id, id, 0 FROM w_customers ORDER BY id LIMIT 100",
        ),
    ),
    good=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT tenant_id, id, 0 FROM w_customers WHERE tenant_id = 1 ORDER BY id LIMIT 100",
        ),
    ),
)
