"""A write to a tenants' table that leaves the tenant out."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Example, Group, Hit, StatementRule
from confiture.lint.facts.tenancy import BEFORE, CHANGING, hits
from confiture.models.tenancy import Leak


def _check(subject: StatementSubject) -> Iterable[Hit]:
    return hits(subject, Leak.NOT_WRITTEN, Leak.HIDDEN)


RULE = StatementRule(
    name="tenant_not_written",
    group=Group.TENANCY,
    severity="error",
    summary="Rows are written without their tenant",
    effect="The new rows belong to nobody: no query, policy or check can tell whose they are.",
    hint="write the tenant column, from the rows that are read",
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
