"""Find the differences between a query's result over all data and its results over each tenant's data alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.errors import QUERY_CANCELED
from confiture.core.db.operators import FIRST_USER_OID, to_text
from confiture.core.db.queries import query
from confiture.core.tenancy.errors import NotProvable
from confiture.core.tenancy.tenant_scope import PROBED, TenantScope
from confiture.models.tenancy_proofs import TenantLeak, TenantLeakKind
from confiture.sql.parse_tree import format_statement

_AT_ONCE = 10
"""The number of tenants compared in one statement."""
_SHOWN = 3
_INEXACT = {"real": "9.99EEEE", "double precision": "9.99999EEEE"}
"""The compared digits of inexact numbers. They are fewer than the full 6 and 15, because sums depend on the order of
addition."""
_HINT = "allow more time, or sample fewer tenants"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultColumn:
    """A query column. The type has no length and is not a domain."""

    name: str
    type: str
    is_builtin: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonQuery:
    """A query rewritten for each scope, and the query's columns.

    The columns have names and types. Position fields say which types are built in, which column is the tenant, which
    columns are compared, and which columns form the key that only one tenant may claim. `operator_schema` is the schema
    that contains the comparison operators for the tenant column's type.
    """

    queries: Mapping[TenantScope, Any]
    names: Sequence[str]
    types: Sequence[str]
    builtin_positions: frozenset[int]
    tenant_position: int
    compared_positions: Sequence[int]
    operator_schema: str
    key_positions: Sequence[int] = ()
    nulls_distinct: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonResult:
    """The differences, and the number of tenant rows compared."""

    leaks: tuple[TenantLeak, ...]
    rows: int


def read_result_columns(connection: Connection, tree: Any) -> list[ResultColumn]:
    """Return the columns of a query. The result description contains the base types of domains."""
    statement = sql.SQL("SELECT * FROM ({}) AS q LIMIT 0").format(_query_sql(tree))
    columns = connection.execute(statement).description or ()
    names = fetch_named_row(connection, "type_names", oids=[column.type_code for column in columns])["names"] or ()
    return [
        ResultColumn(name=column.name, type=name, is_builtin=column.type_code < FIRST_USER_OID)
        for column, name in zip(columns, names, strict=True)
    ]


def compare_tenants(
    connection: Connection, comparison: ComparisonQuery, tenants: Sequence[str], deadline: Deadline
) -> ComparisonResult:
    """Return the differences for these tenants. Raise NotProvable if the comparison takes too long."""
    leaks: list[TenantLeak] = []
    rows = 0
    for start in range(0, len(tenants), _AT_ONCE):
        parts = _sql_parts(comparison, tenants[start : start + _AT_ONCE])
        parts["alone"] = _per_tenant_query(connection, comparison, tenants[start : start + _AT_ONCE], parts)
        deadline.apply_statement_timeout(connection)
        differences = _fetch(connection, "isolation_differences", parts)
        rows += differences[0]["compared"]
        leaks += _build_leaks(comparison, [row for row in differences if row["tenant"] is not None])
        if comparison.key_positions and comparison.tenant_position not in comparison.key_positions:
            deadline.apply_statement_timeout(connection)
            leaks += _build_shared_leaks(
                comparison, _fetch(connection, "isolation_shared", parts | _key_sql_parts(comparison))
            )
    return ComparisonResult(leaks=tuple(leaks), rows=rows)


def _fetch(connection: Connection, name: str, parts: Mapping[str, sql.Composable]) -> list[dict[str, Any]]:
    return connection.execute(sql.SQL(query(name).decode()).format(**parts)).fetchall()


def _sql_parts(comparison: ComparisonQuery, tenants: Sequence[str]) -> dict[str, sql.Composable]:
    columns = [_column_name(place) for place in range(len(comparison.names))]
    values = [_as_text(comparison, place) for place in comparison.compared_positions]
    type_name = sql.SQL(comparison.types[comparison.tenant_position])
    tenant = sql.SQL("q.{}::{}").format(_column_name(comparison.tenant_position), type_name)
    # Casting a text value may call a function that belongs to the type's owner. A constant uses the type's input
    # function instead.
    pairs = [sql.SQL("({0}, {0}::{1})").format(sql.Literal(one), type_name) for one in tenants]
    return {
        "tenants": sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(map(sql.Literal, tenants))),
        "tenant_pairs": sql.SQL("VALUES {}").format(sql.SQL(", ").join(pairs)),
        "columns": sql.SQL(", ").join(columns),
        "tenant": sql.SQL("({})").format(tenant),
        "tenant_text": to_text(
            sql.SQL("({})").format(tenant), is_builtin=comparison.tenant_position in comparison.builtin_positions
        ),
        "type": type_name,
        "operators": sql.Identifier(comparison.operator_schema),
        "row": sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(values)),
        "all": _query_sql(comparison.queries[TenantScope.ALL]),
        "none": _query_sql(comparison.queries[TenantScope.NONE]),
        "shown": sql.Literal(_SHOWN),
    }


def _per_tenant_query(
    connection: Connection, comparison: ComparisonQuery, tenants: Sequence[str], parts: Mapping[str, sql.Composable]
) -> sql.Composable:
    """Return a separate query for each tenant, combined by UNION ALL.

    A single LATERAL query is not safe, because PostgreSQL 18.6 evaluated an EXISTS in such a query with the previous
    tenant's rows.
    """
    text = format_statement("select_stmt", comparison.queries[TenantScope.ONE])
    template = sql.SQL(query("isolation_alone").decode())
    queries = []
    for tenant in tenants:
        literal = sql.Literal(tenant)
        one = sql.SQL(text.replace(PROBED, literal.as_string(connection)))
        queries.append(template.format(literal=literal, one=one, **parts))
    return sql.SQL(" UNION ALL ").join(queries)


def _key_sql_parts(comparison: ComparisonQuery) -> dict[str, sql.Composable]:
    columns = [sql.SQL("q.{}").format(_column_name(place)) for place in comparison.key_positions]
    conditions = [sql.SQL("{} IS NOT NULL").format(column) for column in columns] if comparison.nulls_distinct else []
    return {
        "key": sql.SQL(", ").join(_as_text(comparison, place) for place in comparison.key_positions),
        "group": sql.SQL(", ").join(columns),
        "known": sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"),
    }


def _column_name(position: int) -> sql.Identifier:
    return sql.Identifier(f"c{position + 1}")


def _as_text(comparison: ComparisonQuery, position: int) -> sql.Composable:
    """Return a column as text. Inexact numbers are shortened to their first digits, and -0 becomes 0."""
    column = _column_name(position)
    digits = _INEXACT.get(comparison.types[position])
    if digits is None:
        return to_text(sql.SQL("q.{}").format(column), is_builtin=position in comparison.builtin_positions)
    number = sql.SQL("q.{}::double precision").format(column)
    finite = sql.SQL("pg_catalog.to_char({} OPERATOR(pg_catalog.+) 0, {})").format(number, sql.Literal(digits))
    special = sql.SQL("{} OPERATOR(pg_catalog.=) ANY ('{{NaN, Infinity, -Infinity}}')").format(number)
    return sql.SQL("CASE WHEN {} THEN q.{}::pg_catalog.text ELSE {} END").format(special, column, finite)


def _query_sql(tree: Any) -> sql.SQL:
    return sql.SQL(format_statement("select_stmt", tree))


def _build_leaks(comparison: ComparisonQuery, rows: Sequence[Mapping[str, Any]]) -> Iterator[TenantLeak]:
    names = [comparison.names[place] for place in comparison.compared_positions]
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault((row["tenant"], row["kind"]), []).append(row)
    for (tenant, kind), group in grouped.items():
        shown = tuple(_row_values(names, row["row"]) for row in group)
        yield TenantLeak(tenant=tenant, kind=TenantLeakKind(kind), rows=group[0]["found"], first_rows=shown)


def _build_shared_leaks(comparison: ComparisonQuery, rows: Sequence[Mapping[str, Any]]) -> Iterator[TenantLeak]:
    if not rows:
        return
    names = [comparison.names[place] for place in comparison.key_positions]
    tenant = comparison.names[comparison.tenant_position]
    shown = tuple(_row_values(names, row["row"]) | {tenant: ", ".join(row["claiming"])} for row in rows)
    yield TenantLeak(tenant=rows[0]["tenant"], kind=TenantLeakKind.SHARED, rows=rows[0]["found"], first_rows=shown)


def _row_values(names: Sequence[str], row: Sequence[str | None]) -> dict[str, str | None]:
    return dict(zip(names, row, strict=True))


class Deadline:
    """A time limit in milliseconds that starts when the object is created; None means no limit."""

    def __init__(self, limit_ms: int | None) -> None:
        self._limit_ms = limit_ms
        self._started_at = time.perf_counter()

    @property
    def elapsed_ms(self) -> float:
        """The milliseconds since the object was created."""
        return (time.perf_counter() - self._started_at) * 1000

    def apply_statement_timeout(self, connection: Connection) -> None:
        """Limit the transaction's next query to the remaining time. Raise NotProvable if no time is left."""
        if self._limit_ms is None:
            return
        remaining_ms = int(self._limit_ms - self.elapsed_ms)
        if remaining_ms < 1:
            raise self._exceeded_error()
        connection.execute(f"SET LOCAL statement_timeout = {remaining_ms}".encode())

    def timeout_error(self, error: psycopg.Error) -> NotProvable | None:
        """Return the error for a query that the server cancelled at the limit; None for any other error."""
        return self._exceeded_error() if error.sqlstate == QUERY_CANCELED and self._limit_ms is not None else None

    def _exceeded_error(self) -> NotProvable:
        return NotProvable(f"the proof takes longer than {self._limit_ms:,} ms", _HINT)
