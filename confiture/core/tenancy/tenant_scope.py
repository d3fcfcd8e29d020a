"""What a query sees of each table: all rows, those of the tenant that is looked at, or those of none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from confiture.core.db.operators import CATALOG, Operators, qualified_operator
from confiture.core.db.queries import quote_table
from confiture.models.catalog import Catalog, QualifiedName, Table, View
from confiture.models.settings import TenancySettings
from confiture.sql.parse_tree import quote_identifier
from confiture.sql.tenant_tables import (
    ForeignKeyStep,
    find_matching_pattern,
    is_never_null,
    path_to_tenant,
    referenced_columns,
    tenant_column,
)

PROBED = '"confiture probe".tenant'
"""Stands for the tenant that is looked at: to the parser it is a column."""
_WITH_LENGTH = re.compile(r"(character varying|character|bit varying|bit)\(\d+\)")
_OF_ANY_LENGTH = {"character": "bpchar", "bit": '"bit"'}
"""Without its length, the name of these types means a length of 1."""


class TenantScope(Enum):
    """Whose rows a query sees of tenants' tables."""

    ALL = "all"
    ONE = "one"
    """Those of the tenant that `PROBED` stands for."""
    NONE = "none"


class TenantRowFilter:
    """Which rows of the relations of a catalog belong to a tenant. The types of its columns are no domains, nor are
    `view_types`, those of the tenant's column in materialized views.
    """

    def __init__(
        self,
        catalog: Catalog,
        tenancy: TenancySettings,
        operators: Operators,
        view_types: Mapping[QualifiedName, str],
    ) -> None:
        self.catalog = catalog
        self._view_types = view_types
        self._tenancy = tenancy
        self._operators = operators
        self._conditions: dict[QualifiedName, str | None] = {}

    def has_tenant_rows(self, relation: Table | View) -> bool:
        """Whether rows of it belong to tenants, one by one, by what they or those that they refer to hold."""
        return self.condition(relation) is not None

    def tenant_column(self, relation: Table | View) -> tuple[str, str] | None:
        """The column of a table, or materialized view, that names the tenant, and its type; None where there is none.

        The type is empty where it is not known.
        """
        if isinstance(relation, View):
            name = self._tenancy.column
            is_shown = name in relation.columns and not find_matching_pattern(relation.name, self._tenancy.exempt)
            return (name, self._view_types.get(relation.name, "")) if is_shown else None
        column = relation.column(tenant_column(relation, self.catalog, self._tenancy) or "")
        return (column.name, column.type) if column else None

    def condition(self, relation: Table | View) -> str | None:
        """The condition for rows of the tenant, as SQL on its plain columns; None where no row is any tenant's."""
        if relation.name not in self._conditions:
            self._conditions[relation.name] = self._build_condition(relation)
        return self._conditions[relation.name]

    def find_tenant_source(self, relation: Table | View) -> tuple[Table | View, str]:
        """The relation that names the tenants of one's rows, itself or at the end of its foreign keys, and its column.

        Raises LookupError where its rows are no tenant's.
        """
        found = self.tenant_column(relation)
        if found:
            return relation, found[0]
        if not isinstance(relation, Table):
            raise LookupError(relation.name)
        way = self._path_to_tenant(relation)
        column, _ = self._path_end(way)
        return way[-1].target, column

    def reads_tenant_rows(self, view: View) -> bool:
        """Whether a view reads tenants' rows, itself or through other views."""
        waiting, seen = [view], {view.name}
        while waiting:
            for name in waiting.pop().relations:
                table, inner = self.catalog.tables.get(name), self.catalog.views.get(name)
                if table and self.has_tenant_rows(table):
                    return True
                if inner and inner.name not in seen:
                    seen.add(inner.name)
                    waiting.append(inner)
        return False

    def _build_condition(self, relation: Table | View) -> str | None:
        column = self.tenant_column(relation)
        if column:
            return self._equality_condition(*column)
        if isinstance(relation, View):
            return None
        way = self._path_to_tenant(relation)
        return self._path_condition(way, self._equality_condition(*self._path_end(way))) if way else None

    def _path_to_tenant(self, table: Table) -> tuple[ForeignKeyStep, ...]:
        """The way to the tenant of a table that the settings call a tenants', though its rows do not name theirs.

        Where the settings name no tables, one without the column is taken as everybody's.
        """
        if not find_matching_pattern(table.name, self._tenancy.tables) or find_matching_pattern(
            table.name, self._tenancy.exempt
        ):
            return ()
        way = path_to_tenant(table, self.catalog, self._tenancy)
        return way if all(is_never_null(step.key, step.table) for step in way) else ()

    def _path_end(self, path: tuple[ForeignKeyStep, ...]) -> tuple[str, str]:
        found = self.tenant_column(path[-1].target) if path else None
        if found is None:
            raise LookupError(path)
        return found

    def _equality_condition(self, column: str, type_name: str) -> str:
        if not type_name:
            return f"CAST({quote_identifier(column)} AS pg_catalog.text) {qualified_operator('=')} {PROBED}"
        wanted = without_length(type_name)
        # the column may be of a domain, for which others may have made an operator
        return (
            f"CAST({quote_identifier(column)} AS {wanted})"
            f" {qualified_operator('=', self._operators.schema_for(wanted))} CAST({PROBED} AS {wanted})"
        )

    def _path_condition(self, path: tuple[ForeignKeyStep, ...], condition: str) -> str:
        step, *rest = path
        inner = self._path_condition(tuple(rest), condition) if rest else condition
        columns = (step.key.columns, referenced_columns(step.key, step.target))
        own, theirs = (
            [_cast_column(table, name) for name in names]
            for table, names in zip((step.table, step.target), columns, strict=True)
        )
        schemas = {self._operator_schema(step.table, name) for name in step.key.columns}
        if len(schemas) > 1:
            # one operator stands for all columns: that of arrays takes the one of each type
            own, theirs = ([f"ARRAY[{name}]" for name in names] for names in (own, theirs))
            schemas = {CATALOG}
        is_one = f"({', '.join(own)}) {qualified_operator('=', *schemas)} ANY"
        return f"{is_one} (SELECT {', '.join(theirs)} FROM {quote_table(step.target.name)} WHERE {inner})"  # noqa: S608 - quoted

    def _operator_schema(self, table: Table, column: str) -> str:
        found = table.column(column)
        return self._operators.schema_for(without_length(found.type)) if found else CATALOG


def _cast_column(table: Table, name: str) -> str:
    """A column as the type below its domain."""
    column, quoted = table.column(name), quote_identifier(name)
    return f"CAST({quoted} AS {without_length(column.type)})" if column and column.type else quoted


def without_length(type_name: str) -> str:
    """A type without its length: a cast to that would cut off what is longer, and so name another tenant."""
    match = _WITH_LENGTH.fullmatch(type_name)
    return _OF_ANY_LENGTH.get(match[1], match[1]) if match else type_name
