"""Foreign keys between tenants' tables that leave the tenant out."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaSubject
from confiture.lint.engine.rule import Example, Group, Hit, SchemaRule
from confiture.lint.facts.tenancy import names_tenant, tenant_tables


def _check(subject: SchemaSubject) -> Iterable[Hit]:
    for table, column in tenant_tables(subject):
        for key in table.foreign_keys:
            theirs = names_tenant(subject, key.target) if key.target else None
            if theirs is not None and column not in key.columns:
                yield Hit(
                    place=key.place or table.place,
                    relation=str(table.name),
                    subject=f"{', '.join(key.columns)} {key.target}",
                    message=f"{key.name} of {table.name} refers to {key.target} without {column}",
                )


RULE = SchemaRule(
    name="tenant_foreign_key",
    group=Group.TENANCY,
    severity="warning",
    summary="A foreign key leaves the tenant out",
    effect="A row can refer to one of another tenant, and whoever follows the key then reads it.",
    hint="add the tenant to the key: UNIQUE (tenant, id) there, FOREIGN KEY (tenant, ...) here",
    optional=True,
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
