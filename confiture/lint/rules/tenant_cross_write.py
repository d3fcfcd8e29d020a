"""UPDATE, DELETE, MERGE, and ON CONFLICT that affect other tenants' rows."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.tenancy import BEFORE, CHANGING, tenancy_violations
from confiture.models.tenancy import TenancyIssueKind


def _check(context: StatementContext) -> Iterable[Violation]:
    return tenancy_violations(context, TenancyIssueKind.CROSS_WRITE)


RULE = StatementRule(
    name="tenant_cross_write",
    aliases=("tenant_reach",),
    group=Group.TENANCY,
    severity="error",
    summary="One tenant's rows change another tenant's rows",
    impact="One tenant's row causes another tenant's row to be updated or deleted.",
    fix_hint="compare the tenant columns too",
    kinds=CHANGING,
    check=_check,
    bad=Example(
        before=BEFORE,
        sql=(
            "UPDATE w_orders o SET amount = 0 FROM w_customers c\n"
            "WHERE c.id = o.customer_id AND c.name = 'Closed' AND o.id >= 1 AND o.id < 501",
        ),
    ),
    good=Example(
        before=BEFORE,
        sql=(
            "UPDATE w_orders o SET amount = 0 FROM w_customers c\n"
            "WHERE c.id = o.customer_id AND c.tenant_id = o.tenant_id\n"
            "AND c.name = 'Closed' AND o.id >= 1 AND o.id < 501",
        ),
    ),
)
