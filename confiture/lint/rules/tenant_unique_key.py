"""Unique keys of tenants' tables that leave the tenant out."""

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
                    message=f"{key.name} of {table.name} is unique over all tenants",
                )


def _is_generated(table: Table, key: Constraint) -> bool:
    """Whether the database makes the key's values, by a default, so that no tenant chooses them."""
    columns = [table.column(name) for name in key.columns]
    return all(column is not None and bool(column.identity or column.default) for column in columns)


RULE = SchemaRule(
    name="tenant_unique_key",
    group=Group.TENANCY,
    severity="info",
    summary="A unique key leaves the tenant out",
    impact="A value that one tenant has is refused to all others, which also tells them that it exists.",
    fix_hint="put the tenant first in the key; keys whose values the database makes are fine as they are",
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
