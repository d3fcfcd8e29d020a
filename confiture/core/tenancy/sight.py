"""What a query sees of each table: all rows, those of the tenant that is looked at, or those of none."""

from __future__ import annotations

import re
from enum import Enum

from confiture.core.names import quoted
from confiture.core.operators import CATALOG, Operators, operator
from confiture.models.catalog import Catalog, Name, Table, View
from confiture.models.settings import TenancySettings
from confiture.sql.belonging import Step, is_always_set, matching, referred, tenant_column, way_to_tenant
from confiture.sql.tree import identifier

PROBED = '"confiture probe".tenant'
"""Stands for the tenant that is looked at: to the parser it is a column."""
_WITH_LENGTH = re.compile(r"(character varying|character|bit varying|bit)\(\d+\)")
_OF_ANY_LENGTH = {"character": "bpchar", "bit": '"bit"'}
"""Without its length, the name of these types means a length of 1."""


class Sight(Enum):
    """Whose rows a query sees of tenants' tables."""

    ALL = "all"
    ONE = "one"
    """Those of the tenant that `PROBED` stands for."""
    NONE = "none"


class Visibility:
    """Which rows of the relations of a catalog belong to a tenant."""

    def __init__(self, catalog: Catalog, tenancy: TenancySettings, operators: Operators) -> None:
        self.catalog = catalog
        self._tenancy = tenancy
        self._operators = operators
        self._known: dict[Name, str | None] = {}

    def is_tenants(self, relation: Table | View) -> bool:
        """Whether rows of it belong to tenants, one by one, by what they or those that they refer to hold."""
        return self.condition(relation) is not None

    def tenant_column(self, relation: Table | View) -> tuple[str, str] | None:
        """The column of a table, or materialized view, that names the tenant, and its type; None where there is none.

        The type is empty where it is not known.
        """
        if isinstance(relation, View):
            name = self._tenancy.column
            is_shown = name in relation.columns and not matching(relation.name, self._tenancy.exempt)
            return (name, "") if is_shown else None
        column = relation.column(tenant_column(relation, self.catalog, self._tenancy) or "")
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
        way = self._way(relation)
        column, _ = self._end(way)
        return way[-1].target, column

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
            return self._equal(*column)
        if isinstance(relation, View):
            return None
        way = self._way(relation)
        return self._by_way(way, self._equal(*self._end(way))) if way else None

    def _way(self, table: Table) -> tuple[Step, ...]:
        """The way to the tenant of a table that the settings call a tenants', though its rows do not name theirs.

        Where the settings name no tables, one without the column is taken as everybody's.
        """
        if not matching(table.name, self._tenancy.tables) or matching(table.name, self._tenancy.exempt):
            return ()
        way = way_to_tenant(table, self.catalog, self._tenancy)
        return way if all(is_always_set(step.key, step.table) for step in way) else ()

    def _end(self, way: tuple[Step, ...]) -> tuple[str, str]:
        found = self.tenant_column(way[-1].target) if way else None
        if found is None:
            raise LookupError(way)
        return found

    def _equal(self, column: str, type_name: str) -> str:
        if not type_name:
            return f"CAST({identifier(column)} AS pg_catalog.text) {operator('=')} {PROBED}"
        wanted = _of_any_length(type_name)
        return f"{identifier(column)} {operator('=', self._operators.schema(wanted))} CAST({PROBED} AS {wanted})"

    def _by_way(self, way: tuple[Step, ...], condition: str) -> str:
        step, *rest = way
        inner = self._by_way(tuple(rest), condition) if rest else condition
        columns = (step.key.columns, referred(step.key, step.target))
        own, theirs = ([identifier(name) for name in names] for names in columns)
        schemas = {self._schema(step.table, name) for name in step.key.columns}
        if len(schemas) > 1:
            # one operator stands for all columns: that of arrays takes the one of each type
            own, theirs = ([f"ARRAY[{name}]" for name in names] for names in (own, theirs))
            schemas = {CATALOG}
        is_one = f"({', '.join(own)}) {operator('=', *schemas)} ANY"
        return f"{is_one} (SELECT {', '.join(theirs)} FROM {quoted(step.target.name)} WHERE {inner})"  # noqa: S608 - quoted

    def _schema(self, table: Table, column: str) -> str:
        found = table.column(column)
        return self._operators.schema(_of_any_length(found.type)) if found else CATALOG


def _of_any_length(type_name: str) -> str:
    """A type without its length: a cast to that would cut off what is longer, and so name another tenant."""
    match = _WITH_LENGTH.fullmatch(type_name)
    return _OF_ANY_LENGTH.get(match[1], match[1]) if match else type_name
