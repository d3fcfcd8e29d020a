"""Functions whose statements mix tenants."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaSubject
from confiture.lint.engine.rule import Example, Group, Hit, SchemaRule
from confiture.lint.facts.tenancy import hit, statement_at
from confiture.models.tenancy import Leak
from confiture.models.values import replace
from confiture.sql.flow import analyse

_SILENT = (Leak.UNKNOWN, Leak.DYNAMIC)


def _check(subject: SchemaSubject) -> Iterable[Hit]:
    if not subject.surroundings.settings.tenancy.is_set:
        return
    for function in subject.catalog.functions.values():
        statement = statement_at(function.place, "create_function_stmt")
        if statement is None:
            continue
        for reason in analyse(statement, subject.facts).reasons:
            if reason.leak not in _SILENT:
                yield replace(hit(reason), subject=str(function.signature), statement=statement.text)


RULE = SchemaRule(
    name="tenant_function",
    group=Group.TENANCY,
    severity="error",
    summary="A function mixes tenants",
    effect="Each call can bring rows of one tenant to another.",
    hint="compare and write the tenant column in each statement of the body",
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
