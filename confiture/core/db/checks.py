"""Run checks and compare the actual results with the expected ones."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from psycopg.pq.abc import PGresult

from confiture.core.db.connection import Connection
from confiture.models.migration import Expectation, ExpectedRows, ExpectedValue, Scalar
from confiture.text import pluralize

CURSOR_PREFIX = "DECLARE confiture_check NO SCROLL CURSOR FOR "
_SHOWN_ROWS = 5
_BOOLEAN_OID = 16
_NUMBER_OIDS = frozenset({20, 21, 23, 26, 700, 701, 1700})
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CellValue:
    """A value as printed by PostgreSQL (None for NULL), and the OID of the value's type."""

    text: str | None
    type_oid: int

    def __str__(self) -> str:
        return "NULL" if self.text is None else self.text


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """The result of a check; `expected` and `actual` are formatted for the user."""

    is_satisfied: bool
    expected: str
    actual: str


def run_check(connection: Connection, query: str, expect: Expectation) -> CheckResult:
    """Run a query and compare the result. Fetch only as many rows as the comparison and the report need.

    Must be called inside a transaction. Raise psycopg.Error if the query fails; the error position counts from the
    start of CURSOR_PREFIX.
    """
    wanted = len(expect.rows) if isinstance(expect, ExpectedRows) else 1
    limit = max(wanted, _SHOWN_ROWS) + 1
    connection.execute((CURSOR_PREFIX + query).encode())
    rows, columns = _fetch(connection, limit)
    connection.execute("CLOSE confiture_check")
    if isinstance(expect, ExpectedRows):
        return _compare_rows(rows, columns, expect, limit)
    return _compare_scalar(rows, columns, expect)


def _fetch(connection: Connection, limit: int) -> tuple[list[tuple[CellValue, ...]], list[str]]:
    # Use the values as PostgreSQL prints them, because authors of checks compare with that text.
    result = connection.execute(f"FETCH FORWARD {limit} FROM confiture_check".encode()).pgresult
    if result is None:
        raise LookupError("FETCH returned no result")
    columns = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
    rows = [tuple(_read_cell(result, row, column) for column in range(result.nfields)) for row in range(result.ntuples)]
    return rows, columns


def _read_cell(result: PGresult, row: int, column: int) -> CellValue:
    value = result.get_value(row, column)
    return CellValue(text=None if value is None else value.decode(errors="replace"), type_oid=result.ftype(column))


def _compare_scalar(rows: Sequence[Sequence[CellValue]], columns: Sequence[str], expect: ExpectedValue) -> CheckResult:
    expected = f"{'' if expect.operator == '=' else expect.operator + ' '}{_format_value(expect.value)}"
    if len(columns) != 1:
        return CheckResult(
            is_satisfied=False, expected=expected, actual=f"{pluralize(len(columns), 'column')}: {', '.join(columns)}"
        )
    if len(rows) != 1:
        got = "no row" if not rows else f"more than one row, first {rows[0][0]}"
        return CheckResult(is_satisfied=False, expected=expected, actual=got)
    cell = rows[0][0]
    return CheckResult(is_satisfied=compare(cell, expect.operator, expect.value), expected=expected, actual=str(cell))


def _compare_rows(
    rows: Sequence[Sequence[CellValue]], columns: Sequence[str], expect: ExpectedRows, limit: int
) -> CheckResult:
    same = len(rows) == len(expect.rows) and all(
        len(row) == len(wanted) and all(compare(cell, "=", value) for cell, value in zip(row, wanted, strict=True))
        for row, wanted in zip(rows, expect.rows, strict=True)
    )
    expected = "no rows" if not expect.rows else "; ".join(_format_row(map(_format_value, row)) for row in expect.rows)
    shown = [_format_row(map(str, row)) for row in rows[:_SHOWN_ROWS]]
    number = f"at least {limit} rows" if len(rows) == limit else pluralize(len(rows), "row")
    got = "no rows" if not rows else f"{number} ({', '.join(columns)}): {'; '.join(shown)}"
    return CheckResult(is_satisfied=same, expected=expected, actual=got + ("; ..." if len(rows) > _SHOWN_ROWS else ""))


def compare(cell: CellValue, sign: str, expected: Scalar) -> bool:
    """Whether the comparison `sign` is true for a value from the database and one from the file.

    Numbers are compared as numbers, booleans as booleans, and everything else as text in PostgreSQL's output format.
    NULL equals only null, and is neither less nor greater than any value.
    """
    if expected is None or cell.text is None:
        same = expected is None and cell.text is None
        return same if sign == "=" else (sign == "!=" and not same)
    actual = _convert_text(cell.text, cell.type_oid, expected)
    if actual is None:
        return sign == "!="
    wanted = expected if isinstance(expected, bool | str) else _parse_number(str(expected))
    return _OPERATORS[sign](_sort_key(actual), _sort_key(wanted))


def _convert_text(text: str, type_oid: int, expected: Scalar) -> object | None:
    """Convert a printed value to the type of the expected value; return None if the conversion is impossible."""
    if isinstance(expected, bool):
        return text == "t" if type_oid == _BOOLEAN_OID else None
    if isinstance(expected, str):
        return text
    return _parse_number(text) if type_oid in _NUMBER_OIDS else None


def _sort_key(value: object) -> object:
    """Return a key with PostgreSQL's sort order, in which NaN equals itself and is greater than all other numbers."""
    if not isinstance(value, Decimal):
        return value
    return (1, Decimal()) if value.is_nan() else (0, value)


def _parse_number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _format_value(value: Scalar) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _format_row(values: Iterable[str]) -> str:
    return f"({', '.join(values)})"
