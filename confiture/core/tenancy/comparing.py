"""Asks the database for the differences between a query over all data and over each tenant's alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from confiture.core.database import Connection, one_row
from confiture.core.queries import query
from confiture.core.tenancy.patience import Patience
from confiture.core.tenancy.sight import PROBED, Sight
from confiture.models.isolation import Leak, LeakKind
from confiture.sql.tree import statement_text

_AT_ONCE = 10
"""So many tenants are asked for in one statement."""
_SHOWN = 3
_INEXACT = {"real": "9.99EEEE", "double precision": "9.99999EEEE"}
"""The digits by which inexact numbers are compared, of 6 and 15 that they have: sums depend on the order of adding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A query as each sight has it, and its columns: their names, their types, and by place which is the tenant, which
    are compared, and which make up the key that only one tenant may lay claim to; `operators` is the schema of the
    comparison operators of the tenant's type.
    """

    queries: Mapping[Sight, Any]
    names: Sequence[str]
    types: Sequence[str]
    tenant: int
    compared: Sequence[int]
    operators: str
    key: Sequence[int] = ()
    nulls_differ: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """The differences, and how many rows of the tenants were compared."""

    leaks: tuple[Leak, ...]
    rows: int


def described(connection: Connection, tree: Any) -> list[tuple[str, str]]:
    """The names and types of a query's columns; the types are of any length."""
    asked = sql.SQL("SELECT * FROM ({}) AS q LIMIT 0").format(_text(tree))
    columns = connection.execute(asked).description or ()
    names = one_row(connection, "type_names", oids=[column.type_code for column in columns])["names"] or ()
    return [(column.name, name) for column, name in zip(columns, names, strict=True)]


def compare(connection: Connection, question: Question, tenants: Sequence[str], patience: Patience) -> Compared:
    """The differences for these tenants. Raises NotProvable where that takes too long."""
    leaks: list[Leak] = []
    rows = 0
    for start in range(0, len(tenants), _AT_ONCE):
        parts = _parts(question, tenants[start : start + _AT_ONCE])
        parts["alone"] = _alone(connection, question, tenants[start : start + _AT_ONCE], parts)
        patience.limit(connection)
        found = _ask(connection, "isolation_differences", parts)
        rows += found[0]["compared"]
        leaks += _leaks(question, [row for row in found if row["tenant"] is not None])
        if question.key and question.tenant not in question.key:
            patience.limit(connection)
            leaks += _shared(question, _ask(connection, "isolation_shared", parts | _key_parts(question)))
    return Compared(leaks=tuple(leaks), rows=rows)


def _ask(connection: Connection, name: str, parts: Mapping[str, sql.Composable]) -> list[dict[str, Any]]:
    return connection.execute(sql.SQL(query(name).decode()).format(**parts)).fetchall()


def _parts(question: Question, tenants: Sequence[str]) -> dict[str, sql.Composable]:
    columns = [_column(place) for place in range(len(question.names))]
    values = [_as_text(question, place) for place in question.compared]
    return {
        "tenants": sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(map(sql.Literal, tenants))),
        "columns": sql.SQL(", ").join(columns),
        "tenant": _column(question.tenant),
        "type": sql.SQL(question.types[question.tenant]),
        "operators": sql.Identifier(question.operators),
        "row": sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(values)),
        "all": _text(question.queries[Sight.ALL]),
        "none": _text(question.queries[Sight.NONE]),
        "shown": sql.Literal(_SHOWN),
    }


def _alone(
    connection: Connection, question: Question, tenants: Sequence[str], parts: Mapping[str, sql.Composable]
) -> sql.Composable:
    """The query of each tenant by itself.

    Not one for all in a LATERAL: there PostgreSQL 18.6 was seen to answer an EXISTS by the rows of the tenant before.
    """
    text = statement_text("select_stmt", question.queries[Sight.ONE])
    template = sql.SQL(query("isolation_alone").decode())
    found = []
    for tenant in tenants:
        literal = sql.Literal(tenant)
        one = sql.SQL(text.replace(PROBED, literal.as_string(connection)))
        found.append(template.format(literal=literal, one=one, **parts))
    return sql.SQL(" UNION ALL ").join(found)


def _key_parts(question: Question) -> dict[str, sql.Composable]:
    columns = [sql.SQL("q.{}").format(_column(place)) for place in question.key]
    known = [sql.SQL("{} IS NOT NULL").format(column) for column in columns] if question.nulls_differ else []
    return {
        "key": sql.SQL(", ").join(_as_text(question, place) for place in question.key),
        "group": sql.SQL(", ").join(columns),
        "known": sql.SQL(" AND ").join(known) if known else sql.SQL("true"),
    }


def _column(place: int) -> sql.Identifier:
    return sql.Identifier(f"c{place + 1}")


def _as_text(question: Question, place: int) -> sql.Composable:
    """A column as text; of inexact numbers the first digits, and 0 for -0."""
    column = _column(place)
    digits = _INEXACT.get(question.types[place])
    if digits is None:
        return sql.SQL("q.{}::pg_catalog.text").format(column)
    number = sql.SQL("q.{}::double precision").format(column)
    finite = sql.SQL("pg_catalog.to_char({} OPERATOR(pg_catalog.+) 0, {})").format(number, sql.Literal(digits))
    special = sql.SQL("{} OPERATOR(pg_catalog.=) ANY ('{{NaN, Infinity, -Infinity}}')").format(number)
    return sql.SQL("CASE WHEN {} THEN q.{}::pg_catalog.text ELSE {} END").format(special, column, finite)


def _text(tree: Any) -> sql.SQL:
    return sql.SQL(statement_text("select_stmt", tree))


def _leaks(question: Question, rows: Sequence[Mapping[str, Any]]) -> Iterator[Leak]:
    names = [question.names[place] for place in question.compared]
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault((row["tenant"], row["kind"]), []).append(row)
    for (tenant, kind), found in grouped.items():
        shown = tuple(_values(names, row["row"]) for row in found)
        yield Leak(tenant=tenant, kind=LeakKind(kind), rows=found[0]["found"], shown=shown)


def _shared(question: Question, rows: Sequence[Mapping[str, Any]]) -> Iterator[Leak]:
    if not rows:
        return
    names = [question.names[place] for place in question.key]
    tenant = question.names[question.tenant]
    shown = tuple(_values(names, row["row"]) | {tenant: ", ".join(row["claiming"])} for row in rows)
    yield Leak(tenant=rows[0]["tenant"], kind=LeakKind.SHARED, rows=rows[0]["found"], shown=shown)


def _values(names: Sequence[str], row: Sequence[str | None]) -> dict[str, str | None]:
    return dict(zip(names, row, strict=True))
