"""Which tables belong to tenants: by a column of their own, as what others refer to, or by foreign keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from confiture.models.catalog import Catalog, Constraint, Persistence, QualifiedName, Table
from confiture.models.settings import TenancySettings


class ForeignKeyStep(NamedTuple):
    """A foreign key of a table on the way to the tenant of its rows, and the table that it refers to."""

    table: Table
    key: Constraint
    target: Table


def is_tenant_table_name(name: QualifiedName, tenancy: TenancySettings) -> bool:
    """Whether the settings take a name for that of a tenants' table, if it has the column."""
    return not find_matching_pattern(name, tenancy.exempt) and bool(
        not tenancy.tables or find_matching_pattern(name, tenancy.tables)
    )


def find_matching_pattern(name: QualifiedName, patterns: Iterable[str]) -> str | None:
    """The first pattern that fits a name, with its schema or without; None where none does."""
    both = (name.name, str(name))
    return next((pattern for pattern in patterns if any(fnmatchcase(one, pattern) for one in both)), None)


def tenant_column(table: Table, catalog: Catalog, tenancy: TenancySettings) -> str | None:
    """The column by which the rows of a table name their tenant; None where they do not.

    In a table that tenant columns refer to it is the column that they refer to: there each row is a tenant. A
    temporary table counts where it has the column: it holds what was read elsewhere.
    """
    if not table.column(tenancy.column):
        return tenant_registry_column(table, catalog, tenancy)
    is_temporary = table.persistence is Persistence.TEMPORARY and not find_matching_pattern(table.name, tenancy.exempt)
    is_counted = is_temporary or any(is_tenant_table_name(name, tenancy) for name in (table.name, *table.parents))
    return tenancy.column if is_counted else None


def tenant_registry_column(table: Table, catalog: Catalog, tenancy: TenancySettings) -> str | None:
    """The column that tenant columns of other tables refer to; None where none does."""
    if table.column(tenancy.column):
        return None
    for other in catalog.tables_referencing(table.name):
        for key in other.foreign_keys:
            if key.target == table.name and key.columns == (tenancy.column,):
                return next(iter(referenced_columns(key, table)), None)
    return None


def path_to_tenant(table: Table, catalog: Catalog, tenancy: TenancySettings) -> tuple[ForeignKeyStep, ...]:
    """The shortest way by foreign keys to a table whose rows name their tenant; none where there is none.

    Keys that may be NULL are followed last of all: a row with NULL there belongs to nobody.
    """
    waiting: deque[tuple[Table, tuple[ForeignKeyStep, ...]]] = deque([(table, ())])
    seen = {table.name}
    while waiting:
        current, way = waiting.popleft()
        for key in sorted(current.foreign_keys, key=lambda one: not is_never_null(one, current)):
            target = catalog.tables.get(key.target) if key.target else None
            if target is None or target.name in seen or not referenced_columns(key, target):
                continue
            seen.add(target.name)
            further = (*way, ForeignKeyStep(current, key, target))
            if target.column(tenancy.column) and is_tenant_table_name(target.name, tenancy):
                return further
            waiting.append((target, further))
    return ()


def tenant_foreign_key(table: Table, catalog: Catalog, tenancy: TenancySettings) -> Constraint | None:
    """The foreign key by which a table without a tenant column belongs to tenants; None where it belongs to none."""
    if find_matching_pattern(table.name, tenancy.exempt) or table.column(tenancy.column):
        return None
    way = path_to_tenant(table, catalog, tenancy)
    return way[0].key if way else None


def is_never_null(key: Constraint, table: Table) -> bool:
    """Whether none of the columns of a foreign key may be NULL."""
    found = [table.column(column) for column in key.columns]
    return all(column is not None and column.not_null for column in found)


def referenced_columns(key: Constraint, target: Table) -> tuple[str, ...]:
    """The columns that a foreign key refers to: those of the primary key where it names none."""
    return key.target_columns or (target.primary_key.columns if target.primary_key else ())
