"""Which tables belong to tenants, and by what."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fnmatch import fnmatchcase

from confiture.models.catalog import Catalog, Constraint, Name, Persistence, Table
from confiture.models.isolation import Belonging, Hop, MappedTable, TenancyMap
from confiture.models.settings import TenancySettings


def map_tables(catalog: Catalog, tenancy: TenancySettings, source: str) -> TenancyMap:
    """How each table belongs to tenants. Partitions belong as their table does, and are left out."""
    registries = registries_of(catalog, tenancy)
    tables = [
        _mapped(table, catalog, tenancy, registries)
        for _, table in sorted(catalog.tables.items())
        if not table.is_partition and table.persistence is not Persistence.TEMPORARY
    ]
    return TenancyMap(source=source, column=tenancy.column, tables=tuple(tables))


def is_tenant_table(table: Table, tenancy: TenancySettings) -> bool:
    """Whether each of its rows names its tenant, by a column that the settings do not leave out."""
    return table.column(tenancy.column) is not None and _is_meant(table.name, tenancy)


def registries_of(catalog: Catalog, tenancy: TenancySettings) -> dict[Name, str]:
    """The tables whose rows are tenants, each with the column that tenant columns refer to."""
    found: dict[Name, str] = {}
    for table in catalog.tables.values():
        for key in table.foreign_keys:
            target = catalog.tables.get(key.target) if key.target else None
            if target is None or key.columns != (tenancy.column,) or target.column(tenancy.column):
                continue
            column = _referred(key, target)
            if column:
                found[target.name] = column[0]
    return found


def path_to_tenant(table: Table, catalog: Catalog, tenancy: TenancySettings) -> tuple[Hop, ...]:
    """The shortest way by foreign keys to a table whose rows name their tenant; none where there is none.

    Keys that may be NULL are followed last of all: a row with NULL there belongs to nobody.
    """
    waiting: deque[tuple[Table, tuple[Hop, ...]]] = deque([(table, ())])
    seen = {table.name}
    while waiting:
        current, path = waiting.popleft()
        for key in sorted(current.foreign_keys, key=lambda one: not is_always_set(one, current)):
            target = catalog.tables.get(key.target) if key.target else None
            if target is None or target.name in seen:
                continue
            seen.add(target.name)
            columns = _referred(key, target)
            if not columns:
                continue
            hop = Hop(table=current.name, columns=key.columns, target=target.name, target_columns=columns)
            if is_tenant_table(target, tenancy):
                return (*path, hop)
            waiting.append((target, (*path, hop)))
    return ()


def is_always_set(key: Constraint, table: Table) -> bool:
    """Whether none of the columns of a foreign key may be NULL."""
    found = [table.column(column) for column in key.columns]
    return all(column is not None and column.not_null for column in found)


def is_exempt(name: Name, tenancy: TenancySettings) -> bool:
    """Whether the settings say that the table is no tenant's."""
    return _matching(name, tenancy.exempt) is not None


def is_named(name: Name, tenancy: TenancySettings) -> bool:
    """Whether the settings say that the table is tenants'."""
    return _matching(name, tenancy.tables) is not None


def _mapped(table: Table, catalog: Catalog, tenancy: TenancySettings, registries: dict[Name, str]) -> MappedTable:
    name, column = table.name, tenancy.column
    if table.column(column):
        if is_tenant_table(table, tenancy):
            return MappedTable(name=name, belonging=Belonging.TENANT, why=f"has {column}", column=column)
        return MappedTable(name=name, belonging=Belonging.LEFT_OUT, why=f"has {column}, but {_why_not(name, tenancy)}")
    if name in registries:
        why = f"{column} of other tables refers to its {registries[name]}: each row is a tenant"
        return MappedTable(name=name, belonging=Belonging.REGISTRY, why=why, column=registries[name])
    if is_exempt(name, tenancy):
        return MappedTable(name=name, belonging=Belonging.LEFT_OUT, why=_why_not(name, tenancy))
    path = path_to_tenant(table, catalog, tenancy)
    if path:
        why = f"has no {column}; {hops_text(path, column)}"
        return MappedTable(name=name, belonging=Belonging.BY_KEY, why=why, column=column, path=path)
    why = f"has no {column}, and no foreign key leads to a table that has it"
    return MappedTable(name=name, belonging=Belonging.SHARED, why=why)


def hops_text(path: Iterable[Hop], column: str) -> str:
    """A way to the tenant in words: `order_id → w_orders.id → w_orders.tenant_id`."""
    parts: list[str] = []
    end = ""
    for hop in path:
        parts.append(f"{', '.join(hop.columns)} → {hop.target}({', '.join(hop.target_columns)})")
        end = str(hop.target)
    return ", ".join(parts) + f", whose rows name it: {end}.{column}"


def _why_not(name: Name, tenancy: TenancySettings) -> str:
    pattern = _matching(name, tenancy.exempt)
    if pattern:
        return f"`{pattern}` of tenancy.except leaves it out"
    return "no pattern of tenancy.tables names it"


def _is_meant(name: Name, tenancy: TenancySettings) -> bool:
    return not is_exempt(name, tenancy) and (not tenancy.tables or is_named(name, tenancy))


def _matching(name: Name, patterns: Iterable[str]) -> str | None:
    both = (name.name, str(name))
    return next((pattern for pattern in patterns if any(fnmatchcase(one, pattern) for one in both)), None)


def _referred(key: Constraint, target: Table) -> tuple[str, ...]:
    """The columns that a foreign key refers to: those of the primary key where it names none."""
    return key.target_columns or (target.primary_key.columns if target.primary_key else ())
