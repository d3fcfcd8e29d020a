"""A branch of UNION, INTERSECT or EXCEPT that drops the tenant."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.tenancy import BEFORE, CHANGING, tenancy_violations
from confiture.models.tenancy import TenancyIssueKind


def _check(context: StatementContext) -> Iterable[Violation]:
    return tenancy_violations(context, TenancyIssueKind.BRANCH)


RULE = StatementRule(
    name="tenant_branch",
    group=Group.TENANCY,
    severity="error",
    summary="A branch of a set operation drops the tenant",
    impact="Rows from that branch get the wrong tenant.",
    fix_hint="select the tenant column at the same position in every branch",
    kinds=CHANGING,
    check=_check,
    bad=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT tenant_id, id, 0 FROM w_customers UNION ALL\n"
            "SELECT id, customer_id, amount FROM w_orders WHERE amount < 0",
        ),
    ),
    good=Example(
        before=BEFORE,
        sql=(
            "INSERT INTO r_spending (tenant_id, customer_id, total)\n"
            "SELECT tenant_id, id, 0 FROM w_customers UNION ALL\n"
            "SELECT tenant_id, customer_id, amount FROM w_orders WHERE amount < 0",
        ),
    ),
)
