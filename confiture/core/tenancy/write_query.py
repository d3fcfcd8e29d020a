"""A query that stands for what a statement writes, and the target of UPDATE, DELETE and MERGE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confiture.core.tenancy.errors import NotProvable
from confiture.models.catalog import Catalog, View
from confiture.sql.parse_tree import quote_identifier
from confiture.sql.parser import parse_sql


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteQuery:
    """A query that stands for the effect of a statement.

    `names` are the names of its columns, if they differ from those of the query. `key` are the columns that identify a
    written row: two tenants must not write the same key. `target` is the written table, None for a plain query.
    """

    label: str
    query: Any
    target: Any = None
    """A RangeVar."""
    names: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    is_unique: bool = False
    """Whether NULLs in the key are distinct, as in a unique key."""
    unowned_alias: str = ""
    """The alias in FROM of the table whose rows without a tenant are assigned to one."""
    is_definition: bool = False
    """Whether the statement creates or replaces its target."""


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
                f"it changes rows through the view {range_var.relname}", "name the table that they are in"
            )
        if self.table is None:
            raise NotProvable(
                f"{range_var.relname} is not there, so none of its rows would be changed",
                "prove it in a dry run, which makes the tables first, or after the migration ran",
            )

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row: the primary key, or all columns without one."""
        if self.table is None:
            return ()
        # the rows of tables that inherit from it are not held to its key
        key = None if self._catalog.has_inheritance_children(self.table) else self.table.primary_key
        return key.columns if key else tuple(one.name for one in self.table.columns)

    def column_expression(self, column: str) -> Any:
        """A reference to one of its columns, as an expression."""
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
