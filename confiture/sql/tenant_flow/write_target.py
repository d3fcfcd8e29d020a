"""The table that a statement writes to."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import PUBLIC, Constraint, QualifiedName, Table, TableColumn, View
from confiture.models.records import record
from confiture.sql.tenant_flow.context import AnalysisContext
from confiture.sql.tenant_tables import is_tenant_table_name


@record(frozen=True, kw_only=True, slots=True)
class WriteTarget:
    """A table that is written to.

    `tenant` is its tenant column; `tenant_foreign_key` is the foreign key by which it belongs to a tenant.
    """

    name: QualifiedName
    is_known: bool
    columns: tuple[str, ...] = ()
    tenant: str | None = None
    tenant_foreign_key: Constraint | None = None
    table: Table | None = None

    @classmethod
    def from_range_var(cls, context: AnalysisContext, node: Any) -> WriteTarget:
        """Return the table that a RangeVar names."""
        relation = context.facts.catalog.relation(node.schemaname or None, node.relname)
        if isinstance(relation, Table):
            return cls(
                name=relation.name,
                is_known=True,
                columns=tuple(column.name for column in relation.columns),
                tenant=context.facts.tenant_column(relation),
                tenant_foreign_key=context.facts.tenant_foreign_key(relation),
                table=relation,
            )
        name = QualifiedName(node.schemaname or PUBLIC, node.relname)
        tenancy = context.facts.tenancy
        if isinstance(relation, View):
            tenant = tenancy.column if tenancy.column in relation.columns else None
            return cls(name=relation.name, is_known=False, columns=relation.columns, tenant=tenant)
        tenant = tenancy.column if tenancy.tables and is_tenant_table_name(name, tenancy) else None
        return cls(name=name, is_known=False, tenant=tenant)

    def find_column(self, name: str) -> TableColumn | None:
        """Return the column with that name."""
        return self.table.column(name) if self.table else None
