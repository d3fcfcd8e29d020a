"""Finds out how a table and its defining query can be compared: the columns, their types, what must be left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from confiture.core.database import Connection
from confiture.core.names import quoted
from confiture.core.operators import read_operators
from confiture.core.queries import query
from confiture.core.reconcile.columns import Column, Shape
from confiture.core.reconcile.refusing import CANNOT_COERCE, UNDEFINED_COLUMN, UNDEFINED_TABLE, refused, translated
from confiture.models.plan import PlannedReconcile, PlannedStep
from confiture.models.reconciling import Omitted
from confiture.sql.defining import Called, functions_called, unsteady_columns, unsteady_rows
from confiture.sql.tree import ParsedStatement, parsed
from confiture.text import nearest

_NO_FORM = (psycopg.errors.UndefinedFunction, psycopg.errors.FeatureNotSupported)
_SEQUENCES = frozenset({"nextval", "setval"})


def shaped(connection: Connection, step: PlannedStep, reconcile: PlannedReconcile) -> Shape:
    """How the two are compared. Raises ReconcileRefused where they cannot be. Must be called inside a transaction."""
    return _Shaping(connection, step, reconcile).shape()


@dataclass(frozen=True, slots=True)
class _Table:
    """What the catalog says of the table. `keys` are what tells its rows apart, the best first."""

    schema: str
    name: str
    columns: Mapping[str, Mapping[str, Any]]
    keys: Sequence[Sequence[str]]


class _Shaping:
    """Works on one step."""

    def __init__(self, connection: Connection, step: PlannedStep, reconcile: PlannedReconcile) -> None:
        self._connection = connection
        self._step = step
        self._reconcile = reconcile
        self._query = step.statements[0].text

    def shape(self) -> Shape:
        table = self._table()
        returned = self._returned()
        self._require_columns(table, returned)
        statement = parsed(self._step.rendered)[0]
        unsteady = self._unsteady(statement)
        operators = read_operators(self._connection)
        columns = tuple(
            Column(
                name=name,
                type=table.columns[name]["type"],
                number=number,
                is_collatable=table.columns[name]["is_collatable"],
                operators=operators.schema(table.columns[name]["type"]),
            )
            for number, name in enumerate(name for name in returned if name not in unsteady)
        )
        if not columns:
            raise self._refused("reconcile-columns", "the query returns no column that can be compared", _RETURN)
        columns = self._comparable(columns)
        self._require_casts(columns)
        compared = {column.name: column for column in columns}
        return Shape(
            table=sql.Identifier(table.schema, table.name),
            name=str(self._reconcile.table),
            columns=columns,
            omitted=tuple(
                Omitted(column=name, reason=_why(name, unsteady)) for name in table.columns if name not in compared
            ),
            key=self._key(table, compared),
            by=self._by(compared, unsteady),
        )

    def _table(self) -> _Table:
        asked = self._reconcile.table
        row = self._connection.execute(query("reconciled_table"), {"table": quoted(asked)}).fetchone()
        if row is None:
            hint = "is the name right, and the table's schema on the search_path?"
            raise self._refused("undefined-table", f"there is no table {asked}", hint, UNDEFINED_TABLE)
        if row["hides_rows"]:
            raise self._refused(
                "reconcile-row-security",
                f"row security hides rows of {asked} from this role: what it does not see cannot be proved",
                "run as the table's owner, or as a role with BYPASSRLS",
                "42501",
            )
        columns = {column["name"]: column for column in row["columns"]}
        return _Table(row["schema"], row["name"], columns, row["keys"])

    def _returned(self) -> list[str]:
        """The names of the query's columns."""
        text = sql.SQL("SELECT * FROM (\n{}\n) AS q LIMIT 0").format(sql.SQL(self._query)).as_string(self._connection)
        with translated(self._step, text):
            cursor = self._connection.execute(text.encode())
        return [column.name for column in cursor.description or ()]

    def _require_columns(self, table: _Table, returned: Sequence[str]) -> None:
        twice = sorted({name for name in returned if returned.count(name) > 1})
        if twice:
            raise self._refused(
                "reconcile-columns", f"the query returns {', '.join(twice)} more than once", "give them other names"
            )
        unknown = [name for name in returned if name not in table.columns]
        if unknown:
            near = nearest(unknown[0], table.columns)
            hint = f"did you mean {unknown[0]} AS {near}?" if near else "columns are compared by name: rename it"
            message = f"the query returns {', '.join(unknown)}, which {self._reconcile.table} does not have"
            raise self._refused("reconcile-columns", message, hint, UNDEFINED_COLUMN)

    def _unsteady(self, statement: ParsedStatement) -> dict[str, str]:
        """The query's columns that come out anew each time. Refuses a query whose rows do, or that uses up numbers."""
        volatile = self._volatile(sorted(functions_called(statement), key=str))
        rows = unsteady_rows(statement, volatile.__contains__)
        if rows:
            reason, byte = rows
            raise self._refused(
                "reconcile-volatile",
                f"the query chooses its rows by {reason}: it gives others each time",
                "a defining query gives the same rows each time; declare your function STABLE or IMMUTABLE if it is",
                offset=statement.at(byte).offset,
            )
        numbers = sorted(called.name for called in volatile if called.name in _SEQUENCES)
        if numbers:
            message = f"the query calls {numbers[0]}(): to compare would use up numbers of the sequence"
            raise self._refused("reconcile-volatile", message, "leave the column out of the query")
        return unsteady_columns(statement, volatile.__contains__)

    def _volatile(self, called: Sequence[Called]) -> frozenset[Called]:
        parameters = {
            "schemas": [one.schema for one in called],
            "names": [one.name for one in called],
            "arguments": [one.arguments for one in called],
        }
        rows = self._connection.execute(query("volatile_functions"), parameters)
        return frozenset(called[row["position"] - 1] for row in rows)

    def _comparable(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """The same columns, those as text whose types PostgreSQL cannot hash or sort."""
        if self._can_hash(columns):
            return columns
        verdicts = {column.type: self._can_hash((column,)) for column in columns}
        return tuple(column if verdicts[column.type] else column.in_text() for column in columns)

    def _can_hash(self, columns: tuple[Column, ...]) -> bool:
        values = sql.SQL(", ").join(column.value(None) for column in columns)
        probe = sql.SQL("SELECT pg_catalog.hash_record_extended(ROW({}), 0) ORDER BY {}").format(values, values)
        try:
            with self._connection.transaction():
                self._connection.execute(probe)
        except _NO_FORM:
            return False
        return True

    def _require_casts(self, columns: tuple[Column, ...]) -> None:
        """Refuses columns whose types have nothing to do with each other."""
        if self._tried(columns) is None:
            return
        for column in columns:
            error = self._tried((column,))
            if error is not None:
                message = f"{column.name} of the query does not fit the table's: {error.diag.message_primary}"
                raise self._refused("reconcile-types", message, "cast it in the query", CANNOT_COERCE)

    def _tried(self, columns: tuple[Column, ...]) -> psycopg.Error | None:
        values = sql.SQL(", ").join(column.of("q") for column in columns)
        text = sql.SQL("SELECT {} FROM (\n{}\n) AS q LIMIT 0").format(values, sql.SQL(self._query))
        try:
            with self._connection.transaction():
                self._connection.execute(text)
        except psycopg.errors.CannotCoerce as error:
            return error
        return None

    def _key(self, table: _Table, compared: Mapping[str, Column]) -> tuple[Column, ...]:
        asked = self._reconcile.key
        missing = [name for name in asked if name not in compared]
        if missing:
            message = f"the key's {', '.join(missing)} is not among the columns that are compared"
            hint = f"they are {', '.join(compared)}"
            raise self._refused("reconcile-key", message, hint, UNDEFINED_COLUMN)
        known = [key for key in table.keys if all(name in compared for name in key)]
        return tuple(compared[name] for name in asked or (known[0] if known else ()))

    def _by(self, compared: Mapping[str, Column], unsteady: Mapping[str, str]) -> Column | None:
        asked = self._reconcile.by
        if asked is None or (self._reconcile.by_default and asked not in compared):
            return None
        if asked in unsteady:
            message = f"{asked} comes out anew each time: the query calls {unsteady[asked]}"
            raise self._refused("reconcile-key", message, "choose another `by`")
        if asked not in compared:
            hint = f"it returns {', '.join(compared)}"
            message = f"`by` names {asked}, which the query does not return"
            raise self._refused("reconcile-key", message, hint, UNDEFINED_COLUMN)
        return compared[asked]

    def _refused(
        self, code: str, message: str, hint: str, sqlstate: str | None = None, offset: int | None = None
    ) -> Exception:
        return refused(self._step, code, message, hint, sqlstate=sqlstate, offset=offset)


_RETURN = "return the columns that the table gets from its sources"


def _why(name: str, unsteady: Mapping[str, str]) -> str:
    reason = unsteady.get(name)
    return f"the query calls {reason} for it" if reason else "the query does not return it"
