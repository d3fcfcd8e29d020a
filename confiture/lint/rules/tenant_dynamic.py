"""Functions that put SQL together when they run: whose rows it reads cannot be told before."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaSubject
from confiture.lint.engine.rule import Example, Group, Hit, SchemaRule
from confiture.lint.facts.tenancy import hit, statement_at
from confiture.models.tenancy import Leak
from confiture.models.values import replace
from confiture.sql.flow import analyse


def _check(subject: SchemaSubject) -> Iterable[Hit]:
    if not subject.surroundings.settings.tenancy.is_set:
        return
    for function in subject.catalog.functions.values():
        if function.language != "plpgsql" or "execute" not in (function.body or "").lower():
            continue
        statement = statement_at(function.place, "create_function_stmt")
        if statement is None:
            continue
        for reason in analyse(statement, subject.facts).reasons:
            if reason.leak is Leak.DYNAMIC:
                yield replace(hit(reason, "info"), subject=str(function.signature), statement=statement.text)


RULE = SchemaRule(
    name="tenant_dynamic",
    group=Group.TENANCY,
    severity="info",
    summary="SQL that is put together when it runs",
    effect="Nobody knows before whether the statement keeps tenants apart.",
    hint="write plain statements, or prove them with `confiture tenancy prove`",
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
