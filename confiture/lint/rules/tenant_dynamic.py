"""Functions that build SQL at run time. The tenants whose rows this SQL reads are unknown until it runs."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.tenancy import find_statement, to_violation
from confiture.models.records import replace
from confiture.models.tenancy import TenancyIssueKind
from confiture.sql.tenant_flow import analyze


def _check(context: SchemaContext) -> Iterable[Violation]:
    if not context.target.settings.tenancy.is_set:
        return
    for function in context.catalog.functions.values():
        if function.language != "plpgsql" or "execute" not in (function.body or "").lower():
            continue
        statement = find_statement(function.location, "create_function_stmt")
        if statement is None:
            continue
        for issue in analyze(statement, context.facts).issues:
            if issue.kind is TenancyIssueKind.DYNAMIC:
                yield replace(to_violation(issue, "info"), subject=str(function.signature), statement=statement.text)


RULE = SchemaRule(
    name="tenant_dynamic",
    group=Group.TENANCY,
    severity="info",
    summary="A function builds SQL at run time",
    impact="Whether the statement separates tenants is unknown until it runs.",
    fix_hint="write plain statements, or prove isolation with `confiture tenancy prove`",
    check=_check,
    bad=Example(
        sql=(
            "CREATE FUNCTION empty_table(name text) RETURNS void LANGUAGE plpgsql\n"
            "SET search_path = public AS $$\n"
            "BEGIN EXECUTE format('DELETE FROM %I', name); END $$",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, amount numeric NOT NULL);\n"
            "CREATE FUNCTION forget(of_tenant bigint) RETURNS void LANGUAGE plpgsql\n"
            "SET search_path = public AS $$\n"
            "BEGIN DELETE FROM w_orders WHERE tenant_id = of_tenant; END $$",
        ),
    ),
)
