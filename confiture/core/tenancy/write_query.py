"""A query that returns the rows written by a statement, and the target table of UPDATE, DELETE and MERGE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confiture.core.tenancy.errors import NotProvable
from confiture.models.catalog import Catalog, View
from confiture.sql.parse_tree import quote_identifier
from confiture.sql.parser import parse_sql


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteQuery:
    """A query that represents the effect of a statement.

    `names` contains the column names, if they differ from the query's own. `key` contains the columns that identify a
    written row; two tenants must not write the same key. `target` is the written table, or None for a plain query.
    """

    label: str
    query: Any
    target: Any = None
    """A RangeVar."""
    names: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    is_unique: bool = False
    """Whether NULLs in the key are distinct, as in a unique constraint."""
    unowned_alias: str = ""
    """The FROM alias of the table whose rows without a tenant are assigned to a tenant."""
    is_definition: bool = False
    """Whether the statement creates or replaces the target."""


class DmlTarget:
    """The table whose rows a statement changes."""

    def __init__(self, range_var: Any, catalog: Catalog, column: str) -> None:
        self.range_var = range_var
        self.column = column
        self._catalog = catalog
        self.table = catalog.table(range_var.schemaname or None, range_var.relname)
        self.alias = range_var.alias.aliasname or range_var.relname
        if isinstance(catalog.relation(range_var.schemaname or None, range_var.relname), View):
            raise NotProvable(
                f"the statement changes rows through the view {range_var.relname}",
                "name the table that contains the rows",
            )
        if self.table is None:
            raise NotProvable(
                f"{range_var.relname} does not exist, so no rows would be changed",
                "prove it in a dry run, which creates the tables first, or after the migration has run",
            )

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row: the primary key or, without one, all columns."""
        if self.table is None:
            return ()
        # The primary key does not apply to the rows of inheritance children.
        key = None if self._catalog.has_inheritance_children(self.table) else self.table.primary_key
        return key.columns if key else tuple(one.name for one in self.table.columns)

    def column_expression(self, column: str) -> Any:
        """Return an expression that refers to a column of the table."""
        return (
            parse_select(f"SELECT {quote_identifier(self.alias)}.{quote_identifier(column)}")
            .target_list[0]
            .res_target.val
        )

    def has_tenant_column(self) -> bool:
        return self.table is not None and self.table.column(self.column) is not None


def parse_select(text: str) -> Any:
    return parse_sql(text).stmts[0].stmt.select_stmt


NULL = parse_select("SELECT NULL").target_list[0].res_target.val
