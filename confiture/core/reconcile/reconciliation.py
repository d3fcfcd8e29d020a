"""Compare both sides: first group hashes, then bucket hashes in the groups that differ, then rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from psycopg import sql

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.operators import qualified_operator
from confiture.core.db.queries import query
from confiture.core.reconcile.comparison_builder import build_comparison
from confiture.core.reconcile.errors import translate_errors
from confiture.core.reconcile.table_comparison import TableComparison, comma_separated
from confiture.models.plan import PlannedReconcile, PlannedStep
from confiture.models.reconcile_results import Difference, DifferenceKind, Differences, ReconcileResult, Values

_MOST_GROUPS = 100
_MOST_ROWS = 200_000
"""Up to this many rows from both sides are compared directly, without comparing buckets first."""
_SHOWN = 10
_ROW_HASH = sql.SQL(
    "pg_catalog.hash_record_extended(ROW(pg_catalog.int8send(pg_catalog.hash_record_extended(ROW({}), 1))), 1)"
)
"""See reconcile.sql for the double hash. The seed is not 0, because NULL and 0.0 would then have the same hash."""


_BUCKET_IN = (
    "(pg_catalog.hash_record_extended(ROW({}), 0) OPERATOR(pg_catalog.&) 255) OPERATOR(pg_catalog.=) ANY (ARRAY[{}])"
)


def reconcile(connection: Connection, step: PlannedStep, planned: PlannedReconcile) -> ReconcileResult:
    """Compare a table with the step's query. Must be called inside a transaction.

    Each comparison is one statement. In a READ COMMITTED transaction, such as a migration, later comparisons see what
    other sessions commit after the first comparison. Raise NotComparable if the table and the query cannot be compared
    or the query fails; otherwise raise psycopg.Error.
    """
    former = fetch_named_row(connection, "row_security")["setting"]
    # With row_security off, a policy that hides rows raises an error, because hidden rows cannot be compared.
    connection.execute("SET LOCAL row_security = off")
    result = _Reconciler(connection, step, build_comparison(connection, step, planned)).run()
    connection.execute(f"SET LOCAL row_security = {former}".encode())
    return result


class _Reconciler:
    """Runs one comparison."""

    def __init__(self, connection: Connection, step: PlannedStep, comparison: TableComparison) -> None:
        self._connection = connection
        self._step = step
        self._comparison = comparison
        self._parts = {
            "expected": comparison.expected_query(step.statements[0].text),
            "actual": comparison.actual_query(),
            "columns": comma_separated(comparison.columns),
            "key": comma_separated(comparison.identifying_columns),
            "hash": _ROW_HASH.format(comma_separated(comparison.columns)),
        }

    def run(self) -> ReconcileResult:
        started = time.perf_counter()
        comparison, part = self._comparison, sql.Identifier("d", "part")
        part_text = comparison.by.text(part) if comparison.by else part
        (totals,) = self._fetch("hash_groups", most=sql.Literal(_MOST_GROUPS), part_text=part_text)
        differences = self._find_differences(totals) if totals["differing"] else None
        return ReconcileResult(
            table=comparison.name,
            by=comparison.by.name if comparison.by else None,
            key=tuple(column.name for column in comparison.key),
            compared_columns=tuple(column.name for column in comparison.columns),
            columns_compared_as_text=tuple(column.name for column in comparison.columns if column.is_compared_as_text),
            skipped_columns=comparison.omitted,
            rows=totals["rows"],
            expected_rows=totals["expected_rows"],
            groups=totals["groups"],
            hash=totals["hash"],
            expected_hash=totals["expected_hash"],
            differing_group_count=totals["differing"],
            differing_groups=tuple(totals["differing_groups"][:_SHOWN]),
            differences=differences,
            duration_ms=(time.perf_counter() - started) * 1000,
        )

    def _find_differences(self, totals: dict[str, Any]) -> Differences:
        chosen, rows = self._select_groups(totals)
        is_exact = True
        if rows > _MOST_ROWS:
            buckets, is_exact = self._select_buckets(chosen)
            chosen = sql.SQL("{} AND {}").format(chosen, buckets)
        (result,) = self._fetch("differing_rows", chosen=chosen, texts=self._texts(), most=sql.Literal(_SHOWN))
        shown = [difference for totals in result["shown"] for difference in self._pair_differences(totals)]
        return Differences(
            missing=result["missing"],
            extra=result["extra"],
            changed=result["changed"],
            is_exact=is_exact,
            rows=tuple(shown[:_SHOWN]),
        )

    def _select_groups(self, totals: dict[str, Any]) -> tuple[sql.Composed, int]:
        """Return the condition for rows in the groups that differ, and the number of those rows on both sides."""
        by, values = self._comparison.by, totals["differing_groups"]
        if by is None or totals["differing"] > len(values):
            return sql.SQL("{}").format(sql.SQL("true")), totals["rows"] + totals["expected_rows"]
        part = sql.SQL(f"e.part {qualified_operator('=', by.operator_schema)} {{}}")
        conditions = [
            sql.SQL("e.part IS NULL") if value is None else part.format(by.literal(value)) for value in values
        ]
        return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions)), totals["differing_rows"]

    def _select_buckets(self, chosen: sql.Composed) -> tuple[sql.Composed, bool]:
        """Return the condition for rows in differing buckets, up to the limit, and whether it covers all such rows."""
        buckets = self._fetch("hash_buckets", chosen=chosen)
        numbers: list[int] = []
        rows = 0
        for bucket in buckets:
            rows += bucket["rows"]
            if numbers and rows > _MOST_ROWS:
                break
            numbers.append(bucket["bucket"])
        literals = sql.SQL(", ").join(sql.Literal(number) for number in numbers or [-1])
        condition = sql.SQL(_BUCKET_IN).format(self._parts["key"], literals)
        return condition, len(numbers) == len(buckets)

    def _texts(self) -> sql.Composed:
        return sql.SQL(", ").join(column.text(column.alias) for column in self._comparison.columns)

    def _pair_differences(self, rows: Sequence[dict[str, Any]]) -> list[Difference]:
        """Return the differences for one key, pairing missing rows with extra rows."""
        missing = [
            self._row_values(row) for row in rows if row["surplus"] > 0 for _ in range(min(row["surplus"], _SHOWN))
        ]
        extra = [
            self._row_values(row) for row in rows if row["surplus"] < 0 for _ in range(min(-row["surplus"], _SHOWN))
        ]
        return [self._build_difference(expected, actual) for expected, actual in zip_longest(missing, extra)]

    def _row_values(self, row: dict[str, Any]) -> Values:
        return {column.name: value for column, value in zip(self._comparison.columns, row["values"], strict=True)}

    def _build_difference(self, expected: Values | None, actual: Values | None) -> Difference:
        kind = DifferenceKind.CHANGED
        if expected is None or actual is None:
            kind = DifferenceKind.EXTRA if expected is None else DifferenceKind.MISSING
        values = expected or actual or {}
        key = {column.name: values[column.name] for column in self._comparison.identifying_columns}
        return Difference(kind=kind, key=key, expected=expected, actual=actual)

    def _fetch(self, name: str, **parts: sql.Composable) -> list[dict[str, Any]]:
        text = sql.SQL(query(name).decode()).format(**self._parts, **parts).as_string(self._connection)
        with translate_errors(self._step, text):
            return self._connection.execute(text.encode()).fetchall()
