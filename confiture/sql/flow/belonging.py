"""Which tables belong to tenants: by a column of their own, or by foreign keys to a table that has it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fnmatch import fnmatchcase

from confiture.models.catalog import Catalog, Constraint, Name, Persistence, Table
from confiture.models.settings import TenancySettings


def is_meant(name: Name, tenancy: TenancySettings) -> bool:
    """Whether the patterns of the settings take a name for that of a tenants' table."""
    return not matches(name, tenancy.exempt) and (not tenancy.tables or matches(name, tenancy.tables))


def matches(name: Name, patterns: Iterable[str]) -> bool:
    """Whether a pattern fits the name, with its schema or without."""
    return any(fnmatchcase(one, pattern) for pattern in patterns for one in (name.name, str(name)))


def tenant_column(table: Table, catalog: Catalog, tenancy: TenancySettings) -> str | None:
    """The column by which the rows of a table name their tenant.

    In a table that tenant columns refer to, each row is a tenant: there it is the column that they refer to. A
    temporary table counts where it has the column: it holds what was read elsewhere.
    """
    if table.column(tenancy.column):
        is_counted = is_meant(table.name, tenancy) or (
            table.persistence is Persistence.TEMPORARY and not matches(table.name, tenancy.exempt)
        )
        is_part = any(is_meant(parent, tenancy) for parent in table.parents)
        return tenancy.column if is_counted or is_part else None
    for other in catalog.referring(table.name):
        for key in other.foreign_keys:
            if key.target == table.name and key.columns == (tenancy.column,):
                return referred(key, table)[0]
    return None


def owning_key(table: Table, catalog: Catalog, tenancy: TenancySettings) -> Constraint | None:
    """The foreign key by which a table without a tenant column belongs to tenants; None where it belongs to none.

    It is the first one of the shortest way to a table whose rows name their tenant. Keys that may be NULL are
    followed last of all.
    """
    if matches(table.name, tenancy.exempt) or table.column(tenancy.column):
        return None
    waiting: deque[tuple[Table, Constraint | None]] = deque([(table, None)])
    seen = {table.name}
    while waiting:
        current, first = waiting.popleft()
        for key in sorted(current.foreign_keys, key=lambda one: not is_always_set(one, current)):
            target = catalog.tables.get(key.target) if key.target else None
            if target is None or target.name in seen or not referred(key, target):
                continue
            seen.add(target.name)
            if target.column(tenancy.column) and is_meant(target.name, tenancy):
                return first or key
            waiting.append((target, first or key))
    return None


def is_always_set(key: Constraint, table: Table) -> bool:
    """Whether none of the columns of a key may be NULL."""
    found = [table.column(column) for column in key.columns]
    return all(column is not None and column.not_null for column in found)


def referred(key: Constraint, target: Table) -> tuple[str, ...]:
    """The columns that a foreign key refers to: those of the primary key where it names none."""
    return key.target_columns or (target.primary_key.columns if target.primary_key else ())


def unique_keys(table: Table) -> tuple[frozenset[str], ...]:
    """Sets of columns whose values no two rows of the table share, in all moments of a transaction."""
    deferrable = {one.name for one in table.constraints if one.deferrable}
    keys = [
        frozenset(str(column) for column in index.columns)
        for index in table.indexes
        if index.unique
        and index.valid
        and index.predicate is None
        and None not in index.columns
        and index.constraint not in deferrable
    ]
    return tuple(dict.fromkeys(keys))
