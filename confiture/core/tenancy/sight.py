"""What a query sees of each table: all rows, those of the tenant that is looked at, or those of none."""

from __future__ import annotations

from enum import Enum

from confiture.core.tenancy.belonging import (
    is_always_set,
    is_exempt,
    is_named,
    is_tenant_table,
    path_to_tenant,
    registries_of,
)
from confiture.models.catalog import Catalog, Name, Table, View
from confiture.models.isolation import Hop
from confiture.models.settings import TenancySettings
from confiture.sql.tree import identifier

PROBED = '"confiture probe".tenant'
"""Stands for the tenant that is looked at: to the parser it is a column."""


class Sight(Enum):
    """Whose rows a query sees of tenants' tables."""

    ALL = "all"
    ONE = "one"
    """Those of the tenant that `PROBED` stands for."""
    NONE = "none"


class Visibility:
    """Which rows of the relations of a catalog belong to a tenant."""

    def __init__(self, catalog: Catalog, tenancy: TenancySettings) -> None:
        self.catalog = catalog
        self._tenancy = tenancy
        self._registries = registries_of(catalog, tenancy)
        self._known: dict[Name, str | None] = {}

    def is_tenants(self, relation: Table | View) -> bool:
        """Whether rows of it belong to tenants, one by one, by what they or those that they refer to hold."""
        return self.condition(relation) is not None

    def tenant_column(self, relation: Table | View) -> tuple[str, str] | None:
        """The column of a table, or materialized view, that names the tenant, and its type; None where there is none.

        The type is empty where it is not known.
        """
        name = self._registries.get(relation.name, self._tenancy.column)
        if isinstance(relation, View):
            return (name, "") if name in relation.columns and not is_exempt(relation.name, self._tenancy) else None
        if relation.name not in self._registries and not self._names_its_tenant(relation):
            return None
        column = relation.column(name)
        return (column.name, column.type) if column else None

    def condition(self, relation: Table | View) -> str | None:
        """The condition for rows of the tenant, as SQL on its plain columns; None where no row is any tenant's."""
        if relation.name not in self._known:
            self._known[relation.name] = self._condition(relation)
        return self._known[relation.name]

    def naming(self, relation: Table | View) -> tuple[Table | View, str]:
        """The relation that names the tenants of one's rows, itself or at the end of its foreign keys, and its column.

        Raises LookupError where its rows are no tenant's.
        """
        found = self.tenant_column(relation)
        if found:
            return relation, found[0]
        if not isinstance(relation, Table):
            raise LookupError(relation.name)
        path = self._path(relation)
        return self.catalog.tables[path[-1].target], self._end(path)[0]

    def reads_tenants(self, view: View) -> bool:
        """Whether a view reads tenants' rows, itself or through other views."""
        waiting, seen = [view], {view.name}
        while waiting:
            for name in waiting.pop().relations:
                table, inner = self.catalog.tables.get(name), self.catalog.views.get(name)
                if table and self.is_tenants(table):
                    return True
                if inner and inner.name not in seen:
                    seen.add(inner.name)
                    waiting.append(inner)
        return False

    def _condition(self, relation: Table | View) -> str | None:
        column = self.tenant_column(relation)
        if column:
            return _equal(*column)
        if isinstance(relation, View):
            return None
        path = self._path(relation)
        return _by_path(path, _equal(*self._end(path))) if path else None

    def _names_its_tenant(self, table: Table) -> bool:
        if is_tenant_table(table, self._tenancy):
            return True
        parents = [self.catalog.tables.get(name) for name in table.parents] if table.is_partition else []
        return any(parent is not None and self._names_its_tenant(parent) for parent in parents)

    def _path(self, table: Table) -> tuple[Hop, ...]:
        """The way to the tenant of a table that the settings call a tenants', though its rows do not name theirs.

        Where the settings name no tables, one without the column is taken as everybody's.
        """
        if not is_named(table.name, self._tenancy) or is_exempt(table.name, self._tenancy):
            return ()
        path = path_to_tenant(table, self.catalog, self._tenancy)
        return path if all(self._is_always_set(hop) for hop in path) else ()

    def _is_always_set(self, hop: Hop) -> bool:
        table = self.catalog.tables[hop.table]
        return any(key.columns == hop.columns and is_always_set(key, table) for key in table.foreign_keys)

    def _end(self, path: tuple[Hop, ...]) -> tuple[str, str]:
        found = self.tenant_column(self.catalog.tables[path[-1].target])
        if found is None:
            raise LookupError(path[-1].target)
        return found


def _equal(column: str, type_name: str) -> str:
    if not type_name:
        return f"CAST({identifier(column)} AS text) = {PROBED}"
    return f"{identifier(column)} = CAST({PROBED} AS {type_name})"


def _by_path(path: tuple[Hop, ...], condition: str) -> str:
    hop, *rest = path
    inner = _by_path(tuple(rest), condition) if rest else condition
    own, theirs = (", ".join(map(identifier, columns)) for columns in (hop.columns, hop.target_columns))
    return f"({own}) IN (SELECT {theirs} FROM {relation_text(hop.target)} WHERE {inner})"  # noqa: S608 - quoted


def relation_text(name: Name) -> str:
    """A relation's name with its schema, as SQL."""
    return f"{identifier(name.schema)}.{identifier(name.name)}"
