"""Foreign keys between tenant tables that omit the tenant."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.tenancy import find_tenant_column, tenant_tables


def _check(context: SchemaContext) -> Iterable[Violation]:
    for table, column in tenant_tables(context):
        for key in table.foreign_keys:
            theirs = find_tenant_column(context, key.target) if key.target else None
            if theirs is not None and column not in key.columns:
                yield Violation(
                    location=key.location or table.location,
                    relation=str(table.name),
                    subject=f"{', '.join(key.columns)} {key.target}",
                    message=f"{key.name} of {table.name} references {key.target} without {column}",
                )


RULE = SchemaRule(
    name="tenant_foreign_key",
    group=Group.TENANCY,
    severity="warning",
    summary="A foreign key between tenant tables omits the tenant",
    impact="A row can reference another tenant's row, and queries that follow the key read that row.",
    fix_hint="add the tenant to both keys: UNIQUE (tenant, id) on the referenced table, FOREIGN KEY (tenant, ...) on"
    " this table",
    off_by_default=True,
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, amount numeric NOT NULL);\n"
            "CREATE TABLE w_payments (id bigint PRIMARY KEY, tenant_id bigint NOT NULL,\n"
            "    order_id bigint REFERENCES w_orders (id));\n"
            "CREATE INDEX ON w_payments (order_id)",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, UNIQUE (tenant_id, id));\n"
            "CREATE TABLE w_payments (id bigint PRIMARY KEY, tenant_id bigint NOT NULL,\n"
            "    order_id bigint,\n"
            "    FOREIGN KEY (tenant_id, order_id) REFERENCES w_orders (tenant_id, id));\n"
            "CREATE INDEX ON w_payments (tenant_id, order_id)",
        ),
    ),
)
