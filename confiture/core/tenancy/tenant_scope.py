"""The rows that a query sees in each table: all, those of the current tenant, or none."""

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
"""The placeholder for the current tenant. For the parser, it is a column."""
_WITH_LENGTH = re.compile(r"(character varying|character|bit varying|bit)\(\d+\)")
_OF_ANY_LENGTH = {"character": "bpchar", "bit": '"bit"'}
"""Without a length, these type names imply a length of 1."""


class TenantScope(Enum):
    """The rows that a query sees in tenant tables."""

    ALL = "all"
    ONE = "one"
    """The rows of the tenant that replaces `PROBED`."""
    NONE = "none"


class TenantRowFilter:
    """Filters the rows that belong to a tenant in a catalog's relations.

    Neither the column types nor `view_types` are domains. `view_types` contains the tenant column types in materialized
    views.
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
        """Whether each row belongs to a tenant, according to its own columns or those of referenced rows."""
        return self.condition(relation) is not None

    def tenant_column(self, relation: Table | View) -> tuple[str, str] | None:
        """Return the tenant column of a table or materialized view, with its type; None if there is no tenant column.

        An unknown type is an empty string.
        """
        if isinstance(relation, View):
            name = self._tenancy.column
            is_shown = name in relation.columns and not find_matching_pattern(relation.name, self._tenancy.exempt)
            return (name, self._view_types.get(relation.name, "")) if is_shown else None
        column = relation.column(tenant_column(relation, self.catalog, self._tenancy) or "")
        return (column.name, column.type) if column else None

    def condition(self, relation: Table | View) -> str | None:
        """Return the condition for the tenant's rows as SQL with unqualified columns; None if rows have no tenant."""
        if relation.name not in self._conditions:
            self._conditions[relation.name] = self._build_condition(relation)
        return self._conditions[relation.name]

    def find_tenant_source(self, relation: Table | View) -> tuple[Table | View, str]:
        """Return the relation and the column that name a row's tenant, in the relation itself or behind foreign keys.

        Raise LookupError if the rows belong to no tenant.
        """
        column_and_type = self.tenant_column(relation)
        if column_and_type:
            return relation, column_and_type[0]
        if not isinstance(relation, Table):
            raise LookupError(relation.name)
        path = self._path_to_tenant(relation)
        column, _ = self._path_end(path)
        return path[-1].target, column

    def reads_tenant_rows(self, view: View) -> bool:
        """Whether a view reads tenant rows, directly or through other views."""
        pending, visited = [view], {view.name}
        while pending:
            for name in pending.pop().relations:
                table, inner = self.catalog.tables.get(name), self.catalog.views.get(name)
                if table and self.has_tenant_rows(table):
                    return True
                if inner and inner.name not in visited:
                    visited.add(inner.name)
                    pending.append(inner)
        return False

    def _build_condition(self, relation: Table | View) -> str | None:
        column = self.tenant_column(relation)
        if column:
            return self._equality_condition(*column)
        if isinstance(relation, View):
            return None
        path = self._path_to_tenant(relation)
        return self._path_condition(path, self._equality_condition(*self._path_end(path))) if path else None

    def _path_to_tenant(self, table: Table) -> tuple[ForeignKeyStep, ...]:
        """Return the path to the tenant for a table without a tenant column that the settings declare tenant-owned.

        If the settings name no tables, a table without the tenant column is shared.
        """
        if not find_matching_pattern(table.name, self._tenancy.tables) or find_matching_pattern(
            table.name, self._tenancy.exempt
        ):
            return ()
        path = path_to_tenant(table, self.catalog, self._tenancy)
        return path if all(is_never_null(step.key, step.table) for step in path) else ()

    def _path_end(self, path: tuple[ForeignKeyStep, ...]) -> tuple[str, str]:
        column_and_type = self.tenant_column(path[-1].target) if path else None
        if column_and_type is None:
            raise LookupError(path)
        return column_and_type

    def _equality_condition(self, column: str, type_name: str) -> str:
        if not type_name:
            return f"CAST({quote_identifier(column)} AS pg_catalog.text) {qualified_operator('=')} {PROBED}"
        base_type = without_length(type_name)
        # The column type may be a domain, and another role may have created an operator for it.
        return (
            f"CAST({quote_identifier(column)} AS {base_type})"
            f" {qualified_operator('=', self._operators.schema_for(base_type))} CAST({PROBED} AS {base_type})"
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
            # A single operator must compare all columns. The array operator uses the operator of each element type.
            own, theirs = ([f"ARRAY[{name}]" for name in names] for names in (own, theirs))
            schemas = {CATALOG}
        is_one = f"({', '.join(own)}) {qualified_operator('=', *schemas)} ANY"
        return f"{is_one} (SELECT {', '.join(theirs)} FROM {quote_table(step.target.name)} WHERE {inner})"  # noqa: S608 - quoted

    def _operator_schema(self, table: Table, column: str) -> str:
        table_column = table.column(column)
        return self._operators.schema_for(without_length(table_column.type)) if table_column else CATALOG


def _cast_column(table: Table, name: str) -> str:
    """Return a column, cast to the base type if its type is a domain."""
    column, quoted = table.column(name), quote_identifier(name)
    return f"CAST({quoted} AS {without_length(column.type)})" if column and column.type else quoted


def without_length(type_name: str) -> str:
    """Return a type without its length. A cast to a length truncates values, which may then match another tenant."""
    match = _WITH_LENGTH.fullmatch(type_name)
    return _OF_ANY_LENGTH.get(match[1], match[1]) if match else type_name
