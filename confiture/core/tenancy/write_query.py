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
    """A query that stands for what a statement does.

    `names` are those of its columns where they are not the query's own. `key` are the columns by which a written row
    is known: no two tenants may lay claim to the same. `target` is what is written, None for a plain query.
    """

    label: str
    query: Any
    target: Any = None
    """A RangeVar."""
    names: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    is_unique: bool = False
    """Whether NULLs in the key tell rows apart, as in a unique key."""
    unowned_alias: str = ""
    """What FROM calls the table whose rows of no tenant are given to one."""
    is_definition: bool = False
    """Whether the statement makes its target, so that this is not there yet, or is to be replaced."""


class DmlTarget:
    """The table that a statement changes rows of."""

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
        """The columns that tell its rows apart: all of them where no key does."""
        if self.table is None:
            return ()
        # the rows of tables that inherit from it are not held to its key
        key = None if self._catalog.has_inheritance_children(self.table) else self.table.primary_key
        return key.columns if key else tuple(one.name for one in self.table.columns)

    def column_expression(self, column: str) -> Any:
        """A column of it, as an expression."""
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
