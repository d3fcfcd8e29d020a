"""Facts about tables and functions from the catalog and the settings, computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from confiture.models.catalog import Catalog, Constraint, Function, QualifiedName, Table
from confiture.models.settings import TenancySettings
from confiture.sql.tenant_flow.row_sets import VIRTUAL, ColumnOrigin, RowColumn, RowSet
from confiture.sql.tenant_tables import tenant_column, tenant_foreign_key

_Fact = TypeVar("_Fact")


@dataclass(slots=True)
class TenancyFacts:
    """Facts about tables and functions: tenant columns, keys and definitions. The catalog must not change."""

    catalog: Catalog
    tenancy: TenancySettings
    _columns: dict[QualifiedName, str | None] = field(default_factory=dict)
    _tenant_foreign_keys: dict[QualifiedName, Constraint | None] = field(default_factory=dict)
    _keys: dict[QualifiedName, tuple[frozenset[str], ...]] = field(default_factory=dict)
    _rows: dict[QualifiedName, RowSet] = field(default_factory=dict)
    _functions: dict[str, list[Function]] | None = None

    def tenant_column(self, table: Table) -> str | None:
        """Return a table's tenant column, or None."""
        return _compute_once(self._columns, table, lambda: tenant_column(table, self.catalog, self.tenancy))

    def tenant_foreign_key(self, table: Table) -> Constraint | None:
        """Return the foreign key by which a table without a tenant column belongs to tenants."""
        return _compute_once(
            self._tenant_foreign_keys, table, lambda: tenant_foreign_key(table, self.catalog, self.tenancy)
        )

    def unique_keys(self, table: Table) -> tuple[frozenset[str], ...]:
        """Return a table's unique keys."""
        return _compute_once(
            self._keys, table, lambda: () if self.catalog.has_inheritance_children(table) else table.unique_keys()
        )

    def foreign_keys(self, table: Table) -> tuple[Constraint, ...]:
        """Return the foreign keys that hold for all rows of a table."""
        return () if self.catalog.has_inheritance_children(table) else table.foreign_keys

    def rows(self, table: Table) -> RowSet:
        """Return a table's rows as queries read them."""
        return _compute_once(self._rows, table, lambda: self._make_rows(table))

    def _make_rows(self, table: Table) -> RowSet:
        outputs = [
            RowColumn(
                name=column.name,
                type=column.type,
                origin=ColumnOrigin((), table.name, column.name),
                is_nullable=not column.not_null,
            )
            for column in table.columns
        ]
        tenant = self.tenant_column(table)
        if tenant is not None:
            position = [column.name for column in table.columns].index(tenant)
            return RowSet(outputs=tuple(outputs), has_tenant_rows=True, tenants=frozenset({position}))
        if self.tenant_foreign_key(table):
            outputs.append(RowColumn(name=VIRTUAL, origin=ColumnOrigin((), table.name, VIRTUAL), is_hidden=True))
            return RowSet(outputs=tuple(outputs), has_tenant_rows=True, tenants=frozenset({len(outputs) - 1}))
        return RowSet(outputs=tuple(outputs))

    def functions(self, name: str) -> list[Function]:
        """Return the functions with that name in all schemas."""
        if self._functions is None:
            self._functions = {}
            for signature, function in self.catalog.functions.items():
                self._functions.setdefault(signature.name.name, []).append(function)
        return self._functions.get(name, [])


def _compute_once(cache: dict[QualifiedName, _Fact], table: Table, compute: Callable[[], _Fact]) -> _Fact:
    if table.name not in cache:
        cache[table.name] = compute()
    return cache[table.name]
