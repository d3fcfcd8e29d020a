"""Batch keys, and the key ranges that divide a table.

All predicates are prefix-factored: equality on the leading columns, and a range on the next one. A row comparison such
as `(a, b) > (x, y)` would be shorter, but PostgreSQL misestimates it and scans the joined tables for every batch.

Values are stored as text in PostgreSQL's output format, and sent back with a cast to the column type.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from confiture.core.db.operators import CATALOG, qualified_operator, to_text
from confiture.models.catalog import QualifiedName

KeyValues = tuple[str, ...]
_DATED = ("date", "timestamp")
_DATED_TEXT = sql.SQL("pg_catalog.to_json({}) OPERATOR(pg_catalog.#>>) '{{}}'")
_WIDER = {"smallint": "bigint", "integer": "bigint", "character varying": "pg_catalog.text"}


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyColumn:
    """A key column with its type as PostgreSQL prints it; `base_type` omits the domain and the length.

    `operator_schema` is the schema of the type's comparison operators. `is_builtin` is true if the base type is built
    in. Values are compared and cast as the base type, because a domain's checks and operators belong to the domain's
    owner.
    """

    name: str
    type: str
    base_type: str = ""
    operator_schema: str = CATALOG
    is_builtin: bool = True

    def literal(self, value: str) -> sql.Composed:
        """Return a column value as an SQL literal."""
        return self._to_base(sql.Literal(value))

    def compare(self, left: sql.Composable, sign: str, right: sql.Composable) -> sql.Composed:
        """Return an SQL comparison of two column values."""
        if self.operator_schema != CATALOG:
            # Another role may have created an operator in that schema that accepts the role's own domain.
            left, right = self._to_base(left), self._to_base(right)
        return sql.SQL("{} {} {}").format(left, sql.SQL(qualified_operator(sign, self.operator_schema)), right)

    def text(self, value: sql.Composable) -> sql.Composed:
        """Return SQL that converts a value to text independently of the session's DateStyle."""
        return self._text(self._to_base(value))

    def log_text(self, value: sql.Composable) -> sql.Composed:
        """Return SQL that converts a value of the type `log_type` to text."""
        return self._text(value)

    @property
    def log_type(self) -> str:
        """A type that can hold every value equal to a column value. Columns of other tables are often wider."""
        return _WIDER.get(self._base, self._base)

    @property
    def _base(self) -> str:
        return self.base_type or self.type

    def _to_base(self, value: sql.Composable) -> sql.Composed:
        return sql.SQL("{}::").format(value) + sql.SQL(self._base)

    def _text(self, value: sql.Composable) -> sql.Composed:
        if self._base.startswith(_DATED):
            return _DATED_TEXT.format(value)
        return to_text(value, is_builtin=self.is_builtin)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRange:
    """The rows whose leading columns equal `prefix` and whose next column is in a range.

    The range begins after `after` and ends at `up_to` (inclusive) or before `before`; None means unbounded. A range
    without bounds contains all rows with the prefix.
    """

    prefix: KeyValues = ()
    after: str | None = None
    up_to: str | None = None
    before: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchKey:
    """The key for reading a table in batches: its columns in order, all NOT NULL and covered by a btree index.

    `alias` is the table's alias in the user's query.
    """

    table: QualifiedName
    alias: str
    columns: tuple[KeyColumn, ...]

    def __len__(self) -> int:
        return len(self.columns)

    def column(self, position: int) -> sql.Identifier:
        """Return the qualified name of a column (counted from 0)."""
        return sql.Identifier(self.alias, self.columns[position].name)

    def text(self, position: int) -> sql.Composed:
        """Return SQL that converts the column at this position to text."""
        return self.columns[position].text(self.column(position))

    @property
    def from_clause(self) -> sql.Composed:
        """The table with its alias, for use in FROM."""
        return sql.SQL("{} AS {}").format(sql.Identifier(*self.table), sql.Identifier(self.alias))

    def order_by(self, start: int = 0) -> sql.Composed:
        """Return the columns from `start` on, for use in ORDER BY."""
        return sql.SQL(", ").join(self.column(position) for position in range(start, len(self.columns)))

    def predicate(self, key_range: KeyRange) -> sql.Composable:
        """Return the condition that selects the rows in a range."""
        conditions = [self._comparison(position, "=", value) for position, value in enumerate(key_range.prefix)]
        depth = len(key_range.prefix)
        for sign, value in ((">", key_range.after), ("<=", key_range.up_to), ("<", key_range.before)):
            if value is not None:
                conditions.append(self._comparison(depth, sign, value))
        return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true")

    def precedes(self, end: KeyValues) -> sql.Composed:
        """Return the condition that selects the rows before a key."""
        key_ranges = (KeyRange(prefix=end[:depth], before=value) for depth, value in enumerate(end))
        return sql.SQL(" OR ").join(sql.SQL("({})").format(self.predicate(key_range)) for key_range in key_ranges)

    def _comparison(self, position: int, sign: str, value: str) -> sql.Composed:
        column = self.columns[position]
        return column.compare(self.column(position), sign, column.literal(value))
