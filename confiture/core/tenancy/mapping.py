"""Tells of each table how it belongs to tenants, and why."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.models.catalog import Catalog, Name, Persistence, Table
from confiture.models.isolation import Belonging, Hop, MappedTable, TenancyMap
from confiture.models.settings import TenancySettings
from confiture.sql.belonging import Step, is_meant, matching, referred, registry_column, way_to_tenant


def map_tables(catalog: Catalog, tenancy: TenancySettings, source: str) -> TenancyMap:
    """How each table belongs to tenants. Partitions belong as their table does, and are left out."""
    tables = [
        _mapped(table, catalog, tenancy)
        for _, table in sorted(catalog.tables.items())
        if not table.is_partition and table.persistence is not Persistence.TEMPORARY
    ]
    return TenancyMap(source=source, column=tenancy.column, tables=tuple(tables))


def hops(way: Iterable[Step]) -> tuple[Hop, ...]:
    """A way to the tenant, as it is told."""
    return tuple(
        Hop(
            table=step.table.name,
            columns=step.key.columns,
            target=step.target.name,
            target_columns=referred(step.key, step.target),
        )
        for step in way
    )


def _mapped(table: Table, catalog: Catalog, tenancy: TenancySettings) -> MappedTable:
    name, column = table.name, tenancy.column
    if table.column(column):
        if is_meant(name, tenancy):
            return MappedTable(name=name, belonging=Belonging.TENANT, why=f"has {column}", column=column)
        return MappedTable(name=name, belonging=Belonging.LEFT_OUT, why=f"has {column}, but {_why_not(name, tenancy)}")
    registered = registry_column(table, catalog, tenancy)
    if registered:
        why = f"{column} of other tables refers to its {registered}: each row is a tenant"
        return MappedTable(name=name, belonging=Belonging.REGISTRY, why=why, column=registered)
    if matching(name, tenancy.exempt):
        return MappedTable(name=name, belonging=Belonging.LEFT_OUT, why=_why_not(name, tenancy))
    path = hops(way_to_tenant(table, catalog, tenancy))
    if path:
        why = f"has no {column}; {_hops_text(path, column)}"
        return MappedTable(name=name, belonging=Belonging.BY_KEY, why=why, column=column, path=path)
    why = f"has no {column}, and no foreign key leads to a table that has it"
    return MappedTable(name=name, belonging=Belonging.SHARED, why=why)


def _hops_text(path: Iterable[Hop], column: str) -> str:
    """A way to the tenant in words: `order_id → w_orders(id), whose rows name it: w_orders.tenant_id`."""
    parts: list[str] = []
    end = ""
    for hop in path:
        parts.append(f"{', '.join(hop.columns)} → {hop.target}({', '.join(hop.target_columns)})")
        end = str(hop.target)
    return ", ".join(parts) + f", whose rows name it: {end}.{column}"


def _why_not(name: Name, tenancy: TenancySettings) -> str:
    pattern = matching(name, tenancy.exempt)
    if pattern:
        return f"`{pattern}` of tenancy.except leaves it out"
    return "no pattern of tenancy.tables names it"
