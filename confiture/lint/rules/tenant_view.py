"""Views that mix tenants or hide the tenant of their rows."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.tenancy import find_statement, to_violation
from confiture.models.records import replace
from confiture.models.tenancy import TenancyIssueKind
from confiture.sql.tenant_flow import analyze, analyze_view


def _check(context: SchemaContext) -> Iterable[Violation]:
    if not context.target.settings.tenancy.is_set:
        return
    for view in context.catalog.views.values():
        verdict = analyze_view(view, context.facts)
        if not verdict.issues:
            continue
        statement = find_statement(view.location, "view_stmt")
        if statement:
            # the statement gives the exact location, and a corrected version
            verdict = analyze(statement, context.facts)
        text = statement.text if statement else view.query.text
        for issue in verdict.issues:
            if issue.kind is not TenancyIssueKind.UNKNOWN:
                yield replace(to_violation(issue), subject=str(view.name), statement=text)


RULE = SchemaRule(
    name="tenant_view",
    group=Group.TENANCY,
    severity="error",
    summary="A view mixes tenants or hides the tenant of its rows",
    impact="Readers of the view cannot separate the tenants, or get rows that mix data from several tenants.",
    fix_hint="select the tenant column, and use it in every join and grouping",
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, amount numeric NOT NULL);\n"
            "CREATE VIEW r_totals AS SELECT sum(amount) AS total FROM w_orders",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, amount numeric NOT NULL);\n"
            "CREATE VIEW r_totals AS SELECT tenant_id, sum(amount) AS total FROM w_orders GROUP BY tenant_id",
        ),
    ),
)
