"""The columns compared on both sides, and their types."""

from __future__ import annotations

from dataclasses import dataclass, replace

from psycopg import sql

from confiture.core.db.operators import CATALOG, to_text
from confiture.models.reconcile_results import SkippedColumn


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedColumn:
    """A compared column. `type` is the type in the table, as PostgreSQL prints it. The query column is cast to it.

    The type is never a domain. If the type has no hash function or no sort order, the column is compared as text
    (`is_compared_as_text`). `operator_schema` is the schema of the type's comparison operators; `is_builtin` is true
    for PostgreSQL's own types.
    """

    name: str
    type: str
    number: int
    is_collatable: bool = False
    is_compared_as_text: bool = False
    operator_schema: str = CATALOG
    is_builtin: bool = True

    @property
    def alias(self) -> sql.Composable:
        """The name of the column in generated queries."""
        return sql.Identifier("e", f"c{self.number}")

    def expression(self, side: str) -> sql.Composed:
        """Return the value from one side, in the form used for the comparison."""
        return self._normalize(sql.Identifier(side, self.name))

    def literal(self, text: str | None) -> sql.Composed:
        """Return a value, given in PostgreSQL's output format, in the same form."""
        return self._normalize(sql.Literal(text))

    def text(self, value: sql.Composable) -> sql.Composed:
        """Return SQL that converts a value in that form to text."""
        return to_text(value, is_builtin=self.is_builtin or self.is_compared_as_text)

    def _normalize(self, value: sql.Composable) -> sql.Composed:
        cast = sql.SQL("{}::{}").format(value, sql.SQL(self.type))
        if self.is_compared_as_text:
            text = to_text(sql.SQL("({})").format(cast), is_builtin=self.is_builtin)
            return sql.SQL('({}) COLLATE pg_catalog."C"').format(text)
        # Compare bytes, because a collation may treat different strings as equal, and the two sides may use different
        # collations.
        return sql.SQL('({}) COLLATE pg_catalog."C"').format(cast) if self.is_collatable else cast

    def as_text_comparison(self) -> ComparedColumn:
        """Return the same column, compared as text."""
        return replace(self, is_compared_as_text=True, operator_schema=CATALOG)


@dataclass(frozen=True, kw_only=True, slots=True)
class TableComparison:
    """The definition of a comparison. `name` is the table name, and `columns` are in query order.

    If `key` is empty, all columns together identify a row.
    """

    table: sql.Identifier
    name: str
    columns: tuple[ComparedColumn, ...]
    omitted: tuple[SkippedColumn, ...]
    key: tuple[ComparedColumn, ...]
    by: ComparedColumn | None

    @property
    def identifying_columns(self) -> tuple[ComparedColumn, ...]:
        """The columns that identify a row on both sides."""
        return self.key or self.columns

    def expected_query(self, query: str) -> sql.Composed:
        """Return the query for the expected rows. It returns the columns c0, c1, ... and the group, as `part`."""
        return sql.SQL("SELECT {} FROM (\n{}\n) AS q").format(self._select_list("q"), sql.SQL(query))

    def actual_query(self) -> sql.Composed:
        """Return the query for the actual table rows, in the same form."""
        return sql.SQL("SELECT {} FROM {} AS t").format(self._select_list("t"), self.table)

    def _select_list(self, side: str) -> sql.Composed:
        outputs = [
            sql.SQL("{} AS {}").format(column.expression(side), sql.Identifier(f"c{column.number}"))
            for column in self.columns
        ]
        part = self.by.expression(side) if self.by else sql.SQL("NULL::pg_catalog.text")
        return sql.SQL(", ").join([*outputs, sql.SQL("{} AS part").format(part)])


def comma_separated(columns: tuple[ComparedColumn, ...]) -> sql.Composed:
    """Return the column names in generated queries, separated by commas."""
    return sql.SQL(", ").join(column.alias for column in columns)
