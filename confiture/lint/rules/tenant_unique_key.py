"""Unique keys of tenant tables that omit the tenant."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.tenancy import tenant_tables
from confiture.models.catalog import Constraint, ConstraintKind, Table


def _check(context: SchemaContext) -> Iterable[Violation]:
    for table, column in tenant_tables(context):
        for key in table.constraints:
            if key.kind is ConstraintKind.UNIQUE and column not in key.columns and not _is_generated(table, key):
                yield Violation(
                    location=key.location or table.location,
                    relation=str(table.name),
                    subject=", ".join(key.columns),
                    message=f"{key.name} of {table.name} is unique across all tenants",
                )


def _is_generated(table: Table, key: Constraint) -> bool:
    """Whether the database generates the key values, so that tenants cannot choose them."""
    columns = [table.column(name) for name in key.columns]
    return all(column is not None and bool(column.identity or column.default) for column in columns)


RULE = SchemaRule(
    name="tenant_unique_key",
    group=Group.TENANCY,
    severity="info",
    summary="A unique key of a tenant table omits the tenant",
    impact="A value in use by one tenant is rejected for all others, which reveals that the value exists.",
    fix_hint="put the tenant first in the key; keys whose values the database generates need no change",
    off_by_default=True,
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_customers (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, email text NOT NULL UNIQUE)",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_customers (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, email text NOT NULL,\n"
            "    UNIQUE (tenant_id, email))",
        ),
    ),
)
