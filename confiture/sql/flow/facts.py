"""What the catalog and the settings say of tables and functions, looked up once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from confiture.models.catalog import Catalog, Constraint, Function, Name, Table
from confiture.models.settings import TenancySettings
from confiture.sql.belonging import owning_key, tenant_column
from confiture.sql.flow.relations import VIRTUAL, Origin, Output, Relation

_Found = TypeVar("_Found")


@dataclass(slots=True)
class Facts:
    """Which tables are tenants', which keys they have, which functions a name means. The catalog must stay as it is."""

    catalog: Catalog
    tenancy: TenancySettings
    _columns: dict[Name, str | None] = field(default_factory=dict)
    _owning: dict[Name, Constraint | None] = field(default_factory=dict)
    _keys: dict[Name, tuple[frozenset[str], ...]] = field(default_factory=dict)
    _rows: dict[Name, Relation] = field(default_factory=dict)
    _functions: dict[str, list[Function]] | None = None

    def tenant_column(self, table: Table) -> str | None:
        """The column by which its rows name their tenant."""
        return _once(self._columns, table, lambda: tenant_column(table, self.catalog, self.tenancy))

    def owning_key(self, table: Table) -> Constraint | None:
        """The foreign key by which it belongs to tenants where it has no such column."""
        return _once(self._owning, table, lambda: owning_key(table, self.catalog, self.tenancy))

    def unique_keys(self, table: Table) -> tuple[frozenset[str], ...]:
        """Its unique keys."""
        return _once(
            self._keys, table, lambda: () if self.catalog.has_inheritance_children(table) else table.unique_keys()
        )

    def foreign_keys(self, table: Table) -> tuple[Constraint, ...]:
        """The foreign keys that hold for all of its rows."""
        return () if self.catalog.has_inheritance_children(table) else table.foreign_keys

    def rows(self, table: Table) -> Relation:
        """Its rows, as queries read them."""
        return _once(self._rows, table, lambda: self._rows_of(table))

    def _rows_of(self, table: Table) -> Relation:
        outputs = [
            Output(
                name=column.name,
                type=column.type,
                origin=Origin((), table.name, column.name),
                may_be_null=not column.not_null,
            )
            for column in table.columns
        ]
        tenant = self.tenant_column(table)
        if tenant is not None:
            place = [column.name for column in table.columns].index(tenant)
            return Relation(outputs=tuple(outputs), reads=True, tenants=frozenset({place}))
        if self.owning_key(table):
            outputs.append(Output(name=VIRTUAL, origin=Origin((), table.name, VIRTUAL), is_hidden=True))
            return Relation(outputs=tuple(outputs), reads=True, tenants=frozenset({len(outputs) - 1}))
        return Relation(outputs=tuple(outputs))

    def functions(self, name: str) -> list[Function]:
        """The functions of that name, in whatever schema."""
        if self._functions is None:
            self._functions = {}
            for signature, function in self.catalog.functions.items():
                self._functions.setdefault(signature.name.name, []).append(function)
        return self._functions.get(name, [])


def _once(known: dict[Name, _Found], table: Table, look_up: Callable[[], _Found]) -> _Found:
    if table.name not in known:
        known[table.name] = look_up()
    return known[table.name]
