"""Tenant tables without the tenant column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.table_sizes import non_partition_tables
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Catalog, QualifiedName
from confiture.models.settings import Settings
from confiture.sql.parse_tree import quote_identifier


def _check(context: SchemaContext) -> Iterable[Violation]:
    settings, catalog = context.target.settings, context.catalog
    column = settings.tenancy.column
    registries = _find_tenant_registries(catalog, column)
    kind = _common_type(catalog, column)
    for table in non_partition_tables(catalog):
        if not table.columns or table.column(column) or table.name in registries or _is_exempt(settings, table.name):
            continue
        yield Violation(
            location=table.location,
            relation=str(table.name),
            message=f"{table.name} has no column {column}",
            remedy=f"ALTER TABLE {qualified_name(table.name)} ADD COLUMN {quote_identifier(column)} {kind};",
        )


def _is_exempt(settings: Settings, name: QualifiedName) -> bool:
    """Whether the settings exempt the table from tenancy. The rule's patterns take precedence over `tenancy`."""
    tenancy = settings.tenancy
    own = (entry for entry in settings.linting.rules if entry.type in (RULE.name, *RULE.aliases))
    has_patterns = any(entry.tables is not None for entry in own)
    if _is_match(name, tenancy.exempt):
        return True
    return bool(tenancy.tables) and not has_patterns and not _is_match(name, tenancy.tables)


def _is_match(name: QualifiedName, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(one, pattern) for pattern in patterns for one in (name.name, str(name)))


def _find_tenant_registries(catalog: Catalog, column: str) -> set[QualifiedName]:
    """Return the tables that tenant columns reference. Each row in these tables is a tenant."""
    return {
        key.target
        for table in catalog.tables.values()
        for key in table.foreign_keys
        if key.columns == (column,) and key.target
    }


def _common_type(catalog: Catalog, column: str) -> str:
    """Return the most common type of the tenant column."""
    columns = (table.column(column) for table in catalog.tables.values())
    types = Counter(one.type for one in columns if one)
    return types.most_common(1)[0][0] if types else "bigint"


RULE = SchemaRule(
    name="requires_tenant_id",
    group=Group.SCHEMA,
    severity="error",
    summary="A tenant table has no tenant column",
    impact="The rows do not record their tenant, so no query, policy, or check can separate the tenants.",
    fix_hint="add the tenant column, fill it, and make it NOT NULL; or exclude the table with `except`",
    off_by_default=True,
    check=_check,
    bad=Example(sql=("CREATE TABLE r_order_list (order_id bigint PRIMARY KEY, amount numeric NOT NULL)",)),
    good=Example(
        sql=(
            "CREATE TABLE r_order_list (tenant_id bigint NOT NULL, order_id bigint, amount numeric NOT NULL,\n"
            "    PRIMARY KEY (tenant_id, order_id))",
        ),
    ),
)
