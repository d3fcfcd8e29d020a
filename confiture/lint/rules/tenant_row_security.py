"""Tenant tables without row security."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, Option, SchemaRule, Violation
from confiture.lint.facts.tenancy import tenant_tables
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Persistence, Table


def _check(context: SchemaContext) -> Iterable[Violation]:
    for table, _ in tenant_tables(context):
        if table.persistence is Persistence.TEMPORARY:
            continue
        if not table.row_security:
            yield _violation(table, "has no row security", "ENABLE")
        elif context.options["forced"] and not table.force_row_security:
            yield _violation(table, "does not apply its row security to its owner", "FORCE")


def _violation(table: Table, problem: str, verb: str) -> Violation:
    return Violation(
        location=table.location,
        relation=str(table.name),
        subject=verb,
        message=f"{table.name} {problem}",
        remedy=f"ALTER TABLE {qualified_name(table.name)} {verb} ROW LEVEL SECURITY;",
    )


RULE = SchemaRule(
    name="tenant_row_security",
    group=Group.TENANCY,
    severity="warning",
    summary="A tenant table has no row security, or its owner bypasses it",
    impact="One missing condition in a query exposes all tenants' rows, because nothing else separates the tenants.",
    fix_hint="enable row security, with a policy that compares the tenant column; FORCE it if the application owns"
    " the table",
    options={"forced": Option(description="Whether row security must also apply to owners.", kind=bool, default=False)},
    off_by_default=True,
    check=_check,
    bad=Example(
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL)",),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL);\n"
            "ALTER TABLE w_orders ENABLE ROW LEVEL SECURITY;\n"
            "CREATE POLICY tenant_isolation ON w_orders\n"
            "    USING (tenant_id = (SELECT current_setting('app.tenant_id', true)::bigint))",
        ),
    ),
)
