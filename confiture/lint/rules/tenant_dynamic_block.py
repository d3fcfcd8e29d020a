"""DO blocks that put SQL together when they run: whose rows it reads cannot be told before."""

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
    summary="A DO block puts SQL together when it runs",
    impact="Nobody knows before whether the statement keeps tenants apart.",
    fix_hint="write plain statements, which are analysed, and proved in a dry run",
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
