"""The table that a statement writes."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import PUBLIC, Column, Constraint, Name, Table, View
from confiture.models.values import value
from confiture.sql.belonging import is_meant
from confiture.sql.flow.work import Work


@value(frozen=True, kw_only=True, slots=True)
class Target:
    """A table that is written. `tenant` is its tenant column, `owning` the foreign key by which it belongs to one."""

    name: Name
    is_known: bool
    columns: tuple[str, ...] = ()
    tenant: str | None = None
    owning: Constraint | None = None
    table: Table | None = None

    @classmethod
    def of(cls, work: Work, node: Any) -> Target:
        """What a RangeVar names."""
        found = work.facts.catalog.relation(node.schemaname or None, node.relname)
        if isinstance(found, Table):
            return cls(
                name=found.name,
                is_known=True,
                columns=tuple(column.name for column in found.columns),
                tenant=work.facts.tenant_column(found),
                owning=work.facts.owning_key(found),
                table=found,
            )
        name = Name(node.schemaname or PUBLIC, node.relname)
        tenancy = work.facts.tenancy
        if isinstance(found, View):
            tenant = tenancy.column if tenancy.column in found.columns else None
            return cls(name=found.name, is_known=False, columns=found.columns, tenant=tenant)
        tenant = tenancy.column if tenancy.tables and is_meant(name, tenancy) else None
        return cls(name=name, is_known=False, tenant=tenant)

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return self.table.column(name) if self.table else None
