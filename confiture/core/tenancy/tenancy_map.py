"""Classify each table by tenant ownership, with a reason."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.models.catalog import Catalog, Persistence, QualifiedName, Table
from confiture.models.settings import TenancySettings
from confiture.models.tenancy_proofs import ForeignKeyHop, TableOwnership, TenancyMap, TenantOwnership
from confiture.sql.tenant_tables import (
    ForeignKeyStep,
    find_matching_pattern,
    is_tenant_table_name,
    path_to_tenant,
    referenced_columns,
    tenant_registry_column,
)


def classify_tables(catalog: Catalog, tenancy: TenancySettings, source: str) -> TenancyMap:
    """Return each table's ownership. Partitions have the same ownership as their parent and are omitted."""
    tables = [
        _classify_table(table, catalog, tenancy)
        for _, table in sorted(catalog.tables.items())
        if not table.is_partition and table.persistence is not Persistence.TEMPORARY
    ]
    return TenancyMap(source=source, column=tenancy.column, tables=tuple(tables))


def foreign_key_path(steps: Iterable[ForeignKeyStep]) -> tuple[ForeignKeyHop, ...]:
    """Return the path to the tenant, for reports."""
    return tuple(
        ForeignKeyHop(
            table=step.table.name,
            columns=step.key.columns,
            target=step.target.name,
            target_columns=referenced_columns(step.key, step.target),
        )
        for step in steps
    )


def _classify_table(table: Table, catalog: Catalog, tenancy: TenancySettings) -> TableOwnership:
    name, column = table.name, tenancy.column
    if table.column(column):
        if is_tenant_table_name(name, tenancy):
            return TableOwnership(name=name, ownership=TenantOwnership.TENANT, reason=f"has {column}", column=column)
        return TableOwnership(
            name=name, ownership=TenantOwnership.EXEMPT, reason=f"has {column}, but {_exclusion_reason(name, tenancy)}"
        )
    registered = tenant_registry_column(table, catalog, tenancy)
    if registered:
        why = f"{column} in other tables refers to its {registered}, so each row is a tenant"
        return TableOwnership(name=name, ownership=TenantOwnership.REGISTRY, reason=why, column=registered)
    if find_matching_pattern(name, tenancy.exempt):
        return TableOwnership(name=name, ownership=TenantOwnership.EXEMPT, reason=_exclusion_reason(name, tenancy))
    path = foreign_key_path(path_to_tenant(table, catalog, tenancy))
    if path:
        why = f"has no {column}; {_format_path(path, column)}"
        return TableOwnership(name=name, ownership=TenantOwnership.FOREIGN_KEY, reason=why, column=column, path=path)
    why = f"has no {column}, and no foreign key leads to a table with that column"
    return TableOwnership(name=name, ownership=TenantOwnership.SHARED, reason=why)


def _format_path(path: Iterable[ForeignKeyHop], column: str) -> str:
    """Return the path to the tenant as text: `order_id → w_orders(id), whose rows name it: w_orders.tenant_id`."""
    parts: list[str] = []
    end = ""
    for hop in path:
        parts.append(f"{', '.join(hop.columns)} → {hop.target}({', '.join(hop.target_columns)})")
        end = str(hop.target)
    return ", ".join(parts) + f", whose rows name it: {end}.{column}"


def _exclusion_reason(name: QualifiedName, tenancy: TenancySettings) -> str:
    pattern = find_matching_pattern(name, tenancy.exempt)
    if pattern:
        return f"`{pattern}` in tenancy.except excludes it"
    return "no pattern in tenancy.tables matches it"
