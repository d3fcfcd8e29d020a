"""Determine how to compare a table with its defining query: the columns, their types, and the omitted columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from confiture.core.db.connection import Connection
from confiture.core.db.operators import read_operators
from confiture.core.db.queries import query, quote_table
from confiture.core.reconcile.errors import (
    CANNOT_COERCE,
    UNDEFINED_COLUMN,
    UNDEFINED_TABLE,
    not_comparable,
    translate_errors,
)
from confiture.core.reconcile.table_comparison import ComparedColumn, TableComparison
from confiture.models.plan import PlannedReconcile, PlannedStep
from confiture.models.reconcile_results import SkippedColumn
from confiture.sql.nondeterminism import (
    FunctionCall,
    find_function_calls,
    nondeterministic_columns,
    nondeterministic_filter,
)
from confiture.sql.parse_tree import ParsedStatement, parse_rendered
from confiture.text import closest_match

_NO_FORM = (psycopg.errors.UndefinedFunction, psycopg.errors.FeatureNotSupported)
_SEQUENCES = frozenset({"nextval", "setval"})


def build_comparison(connection: Connection, step: PlannedStep, reconcile: PlannedReconcile) -> TableComparison:
    """Return how to compare the table with the query. Raise NotComparable. Must be called inside a transaction."""
    return _ComparisonBuilder(connection, step, reconcile).build()


@dataclass(frozen=True, slots=True)
class _TableInfo:
    """The table's description in the catalog. `keys` are the table's keys, best first."""

    schema: str
    name: str
    columns: Mapping[str, Mapping[str, Any]]
    keys: Sequence[Sequence[str]]


class _ComparisonBuilder:
    """Builds the comparison for one step."""

    def __init__(self, connection: Connection, step: PlannedStep, reconcile: PlannedReconcile) -> None:
        self._connection = connection
        self._step = step
        self._reconcile = reconcile
        self._query = step.statements[0].text

    def build(self) -> TableComparison:
        table = self._read_table()
        returned, types = self._read_query_columns()
        self._check_columns(table, returned)
        statement = parse_rendered(self._step.rendered)[0]
        nondeterministic = self._nondeterministic_columns(statement)
        operators = read_operators(self._connection)
        columns = tuple(
            ComparedColumn(
                name=name,
                type=table.columns[name]["type"],
                number=number,
                is_collatable=table.columns[name]["is_collatable"],
                is_builtin=table.columns[name]["is_builtin"],
                operator_schema=operators.schema_for(table.columns[name]["type"]),
            )
            for number, name in enumerate(name for name in returned if name not in nondeterministic)
        )
        if not columns:
            raise self._not_comparable("reconcile-columns", "the query returns no column that can be compared", _RETURN)
        columns = self._make_comparable(columns)
        self._check_cast_owners(columns, types)
        self._check_casts(columns)
        compared = {column.name: column for column in columns}
        return TableComparison(
            table=sql.Identifier(table.schema, table.name),
            name=str(self._reconcile.table),
            columns=columns,
            omitted=tuple(
                SkippedColumn(column=name, reason=_skip_reason(name, nondeterministic))
                for name in table.columns
                if name not in compared
            ),
            key=self._choose_key(table, compared),
            by=self._choose_group_column(compared, nondeterministic),
        )

    def _read_table(self) -> _TableInfo:
        target = self._reconcile.table
        row = self._connection.execute(query("reconciled_table"), {"table": quote_table(target)}).fetchone()
        if row is None:
            hint = "check the name, and check that the table's schema is on the search_path"
            raise self._not_comparable("undefined-table", f"there is no table {target}", hint, UNDEFINED_TABLE)
        if row["hides_rows"]:
            raise self._not_comparable(
                "reconcile-row-security",
                f"row security hides rows in {target} from this role, so they cannot be compared",
                "run as the table's owner, or as a role with BYPASSRLS",
                "42501",
            )
        columns = {column["name"]: column for column in row["columns"]}
        return _TableInfo(row["schema"], row["name"], columns, row["keys"])

    def _read_query_columns(self) -> tuple[list[str], Mapping[str, int]]:
        """Return the names of the query's columns and the OIDs of the column types."""
        text = sql.SQL("SELECT * FROM (\n{}\n) AS q LIMIT 0").format(sql.SQL(self._query)).as_string(self._connection)
        with translate_errors(self._step, text):
            cursor = self._connection.execute(text.encode())
        columns = cursor.description or ()
        return [column.name for column in columns], {column.name: column.type_code for column in columns}

    def _check_columns(self, table: _TableInfo, query_columns: Sequence[str]) -> None:
        twice = sorted({name for name in query_columns if query_columns.count(name) > 1})
        if twice:
            raise self._not_comparable(
                "reconcile-columns", f"the query returns {', '.join(twice)} more than once", "give them distinct names"
            )
        unknown = [name for name in query_columns if name not in table.columns]
        if unknown:
            near = closest_match(unknown[0], table.columns)
            hint = f"did you mean {unknown[0]} AS {near}?" if near else "columns are compared by name: rename it"
            message = f"the query returns {', '.join(unknown)}, but {self._reconcile.table} has no such column"
            raise self._not_comparable("reconcile-columns", message, hint, UNDEFINED_COLUMN)

    def _nondeterministic_columns(self, statement: ParsedStatement) -> dict[str, str]:
        """Return the query's nondeterministic columns. Reject queries with nondeterministic rows or sequence calls."""
        volatile = self._find_volatile(sorted(find_function_calls(statement), key=str))
        rows = nondeterministic_filter(statement, volatile.__contains__)
        if rows:
            reason, byte = rows
            raise self._not_comparable(
                "reconcile-volatile",
                f"the query selects its rows using {reason}: it returns different rows each time",
                "a defining query must be deterministic; declare your function STABLE or IMMUTABLE if it is",
                offset=statement.location_at(byte).offset,
            )
        numbers = sorted(called.name for called in volatile if called.name in _SEQUENCES)
        if numbers:
            message = f"the query calls {numbers[0]}(): a comparison would consume sequence values"
            raise self._not_comparable("reconcile-volatile", message, "omit the column from the query")
        return nondeterministic_columns(statement, volatile.__contains__)

    def _find_volatile(self, calls: Sequence[FunctionCall]) -> frozenset[FunctionCall]:
        parameters = {
            "schemas": [one.schema for one in calls],
            "names": [one.name for one in calls],
            "arguments": [one.argument_count for one in calls],
        }
        rows = self._connection.execute(query("volatile_functions"), parameters)
        return frozenset(calls[row["position"] - 1] for row in rows)

    def _make_comparable(self, columns: tuple[ComparedColumn, ...]) -> tuple[ComparedColumn, ...]:
        """Return the columns, converting those that PostgreSQL cannot hash or sort to text."""
        if self._can_hash(columns):
            return columns
        verdicts = {column.type: self._can_hash((column,)) for column in columns}
        return tuple(column if verdicts[column.type] else column.as_text_comparison() for column in columns)

    def _can_hash(self, columns: tuple[ComparedColumn, ...]) -> bool:
        values = sql.SQL(", ").join(column.literal(None) for column in columns)
        probe = sql.SQL("SELECT pg_catalog.hash_record_extended(ROW({}), 0) ORDER BY {}").format(values, values)
        try:
            with self._connection.transaction():
                self._connection.execute(probe)
        except _NO_FORM:
            return False
        return True

    def _check_cast_owners(self, columns: Sequence[ComparedColumn], types: Mapping[str, int]) -> None:
        """Reject implicit casts that call another role's function."""
        parameters = {
            "sources": [types[column.name] for column in columns],
            "targets": [column.type for column in columns],
        }
        row = self._connection.execute(query("foreign_casts"), parameters).fetchone()
        if row:
            name = columns[row["position"] - 1].name
            message = f"{name} needs a cast by the function {row['function']}, which belongs to the role {row['owner']}"
            hint = "if that is intended, cast it in the query"
            raise self._not_comparable("reconcile-types", message, hint, CANNOT_COERCE)

    def _check_casts(self, columns: tuple[ComparedColumn, ...]) -> None:
        """Reject columns whose types cannot be cast."""
        if self._try_casts(columns) is None:
            return
        for column in columns:
            error = self._try_casts((column,))
            if error is not None:
                message = f"the query's {column.name} does not match the table's type: {error.diag.message_primary}"
                raise self._not_comparable("reconcile-types", message, "cast it in the query", CANNOT_COERCE)

    def _try_casts(self, columns: tuple[ComparedColumn, ...]) -> psycopg.Error | None:
        values = sql.SQL(", ").join(column.expression("q") for column in columns)
        text = sql.SQL("SELECT {} FROM (\n{}\n) AS q LIMIT 0").format(values, sql.SQL(self._query))
        try:
            with self._connection.transaction():
                self._connection.execute(text)
        except psycopg.errors.CannotCoerce as error:
            return error
        return None

    def _choose_key(self, table: _TableInfo, compared: Mapping[str, ComparedColumn]) -> tuple[ComparedColumn, ...]:
        names = self._reconcile.key
        missing = [name for name in names if name not in compared]
        if missing:
            message = f"the key column {', '.join(missing)} is not compared"
            hint = f"compared columns: {', '.join(compared)}"
            raise self._not_comparable("reconcile-key", message, hint, UNDEFINED_COLUMN)
        candidates = [key for key in table.keys if all(name in compared for name in key)]
        return tuple(compared[name] for name in names or (candidates[0] if candidates else ()))

    def _choose_group_column(
        self, compared: Mapping[str, ComparedColumn], nondeterministic: Mapping[str, str]
    ) -> ComparedColumn | None:
        name = self._reconcile.by
        if name is None or (self._reconcile.by_is_inferred and name not in compared):
            return None
        if name in nondeterministic:
            message = f"{name} differs each time: the query calls {nondeterministic[name]}"
            raise self._not_comparable("reconcile-key", message, "choose another `by`")
        if name not in compared:
            hint = f"the query returns {', '.join(compared)}"
            message = f"`by` names {name}, which the query does not return"
            raise self._not_comparable("reconcile-key", message, hint, UNDEFINED_COLUMN)
        return compared[name]

    def _not_comparable(
        self, code: str, message: str, hint: str, sqlstate: str | None = None, offset: int | None = None
    ) -> Exception:
        return not_comparable(self._step, code, message, hint, sqlstate=sqlstate, offset=offset)


_RETURN = "return the columns that are filled from the source tables"


def _skip_reason(name: str, nondeterministic: Mapping[str, str]) -> str:
    reason = nondeterministic.get(name)
    return f"the query calls {reason} for it" if reason else "the query does not return it"
