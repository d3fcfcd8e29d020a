"""Tables that belong to tenants through a tenant column, as the tenant registry, or through foreign keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from confiture.models.catalog import Catalog, Constraint, Persistence, QualifiedName, Table
from confiture.models.settings import TenancySettings


class ForeignKeyStep(NamedTuple):
    """A foreign key on the path from a table to the tenant of its rows, and the referenced table."""

    table: Table
    key: Constraint
    target: Table


def is_tenant_table_name(name: QualifiedName, tenancy: TenancySettings) -> bool:
    """Whether the settings make a table with this name a tenant table if it has the tenant column."""
    return not find_matching_pattern(name, tenancy.exempt) and bool(
        not tenancy.tables or find_matching_pattern(name, tenancy.tables)
    )


def find_matching_pattern(name: QualifiedName, patterns: Iterable[str]) -> str | None:
    """Return the first pattern that matches a name, with or without its schema; None if no pattern matches."""
    both = (name.name, str(name))
    return next((pattern for pattern in patterns if any(fnmatchcase(one, pattern) for one in both)), None)


def tenant_column(table: Table, catalog: Catalog, tenancy: TenancySettings) -> str | None:
    """Return the column that contains the tenant of a table's rows, or None.

    In a table that tenant columns reference, it is the referenced column, because each row in such a table is a tenant.
    A temporary table counts if it has the column, since it contains rows read from other tables.
    """
    if not table.column(tenancy.column):
        return tenant_registry_column(table, catalog, tenancy)
    is_temporary = table.persistence is Persistence.TEMPORARY and not find_matching_pattern(table.name, tenancy.exempt)
    is_counted = is_temporary or any(is_tenant_table_name(name, tenancy) for name in (table.name, *table.parents))
    return tenancy.column if is_counted else None


def tenant_registry_column(table: Table, catalog: Catalog, tenancy: TenancySettings) -> str | None:
    """Return the column that tenant columns in other tables reference, or None."""
    if table.column(tenancy.column):
        return None
    for other in catalog.tables_referencing(table.name):
        for key in other.foreign_keys:
            if key.target == table.name and key.columns == (tenancy.column,):
                return next(iter(referenced_columns(key, table)), None)
    return None


def path_to_tenant(table: Table, catalog: Catalog, tenancy: TenancySettings) -> tuple[ForeignKeyStep, ...]:
    """Return the shortest path by foreign keys to a table with a tenant column; empty if there is none.

    Nullable keys are followed last, because a row with NULL in such a key belongs to no tenant.
    """
    waiting: deque[tuple[Table, tuple[ForeignKeyStep, ...]]] = deque([(table, ())])
    visited = {table.name}
    while waiting:
        current, path = waiting.popleft()
        for key in sorted(current.foreign_keys, key=lambda one: not is_never_null(one, current)):
            target = catalog.tables.get(key.target) if key.target else None
            if target is None or target.name in visited or not referenced_columns(key, target):
                continue
            visited.add(target.name)
            longer_path = (*path, ForeignKeyStep(current, key, target))
            if target.column(tenancy.column) and is_tenant_table_name(target.name, tenancy):
                return longer_path
            waiting.append((target, longer_path))
    return ()


def tenant_foreign_key(table: Table, catalog: Catalog, tenancy: TenancySettings) -> Constraint | None:
    """Return the foreign key by which a table without a tenant column belongs to tenants, or None."""
    if find_matching_pattern(table.name, tenancy.exempt) or table.column(tenancy.column):
        return None
    path = path_to_tenant(table, catalog, tenancy)
    return path[0].key if path else None


def is_never_null(key: Constraint, table: Table) -> bool:
    """Whether all foreign key columns are NOT NULL."""
    columns = [table.column(column) for column in key.columns]
    return all(column is not None and column.not_null for column in columns)


def referenced_columns(key: Constraint, target: Table) -> tuple[str, ...]:
    """Return the columns that a foreign key references. If it names none, these are the primary key columns."""
    return key.target_columns or (target.primary_key.columns if target.primary_key else ())
