"""Functions whose statements mix tenants."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.tenancy import find_statement, to_violation
from confiture.models.records import replace
from confiture.models.tenancy import TenancyIssueKind
from confiture.sql.tenant_flow import analyze

_IGNORED_KINDS = (TenancyIssueKind.UNKNOWN, TenancyIssueKind.DYNAMIC)


def _check(context: SchemaContext) -> Iterable[Violation]:
    if not context.target.settings.tenancy.is_set:
        return
    for function in context.catalog.functions.values():
        statement = find_statement(function.location, "create_function_stmt")
        if statement is None:
            continue
        for issue in analyze(statement, context.facts).issues:
            if issue.kind not in _IGNORED_KINDS:
                yield replace(to_violation(issue), subject=str(function.signature), statement=statement.text)


RULE = SchemaRule(
    name="tenant_function",
    group=Group.TENANCY,
    severity="error",
    summary="A function mixes rows of different tenants",
    impact="Every call can leak one tenant's rows to another.",
    fix_hint="compare and write the tenant column in every statement of the function body",
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, amount numeric NOT NULL);\n"
            "CREATE TABLE r_totals (tenant_id bigint PRIMARY KEY, total numeric);\n"
            "CREATE FUNCTION fill_totals() RETURNS void LANGUAGE sql SET search_path = public AS\n"
            "    'INSERT INTO r_totals SELECT 1, sum(amount) FROM w_orders'",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, amount numeric NOT NULL);\n"
            "CREATE TABLE r_totals (tenant_id bigint PRIMARY KEY, total numeric);\n"
            "CREATE FUNCTION fill_totals() RETURNS void LANGUAGE sql SET search_path = public AS\n"
            "    'INSERT INTO r_totals SELECT tenant_id, sum(amount) FROM w_orders GROUP BY tenant_id'",
        ),
    ),
)
