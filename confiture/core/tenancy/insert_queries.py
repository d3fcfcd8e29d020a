"""INSERT as queries: the new rows, and the target rows that conflict with them under ON CONFLICT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from confiture.core.db.operators import qualified_operator
from confiture.core.db.queries import quote_table
from confiture.core.tenancy.write_query import NULL, WriteQuery, parse_select
from confiture.models.catalog import Catalog, Table, TableColumn
from confiture.models.plan import TableRef
from confiture.sql.parse_tree import pb, quote_identifier


def insert_queries(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    if not node.HasField("select_stmt"):
        return
    query = pb.SelectStmt()
    query.CopyFrom(node.select_stmt.select_stmt)
    if node.HasField("with_clause"):
        add_with_clause(query, node.with_clause)
    for values in query.values_lists:
        for value in values.list.items:
            if value.WhichOneof("node") == "set_to_default":
                value.CopyFrom(NULL)
    table = catalog.table(node.relation.schemaname or None, node.relation.relname)
    names = tuple(item.res_target.name for item in node.cols)
    if not names and table:
        names = tuple(one.name for one in table.columns if not one.generated)
    key = _conflict_key(node, table)
    shown = "INSERT ... ON CONFLICT" if key else "INSERT"
    yield WriteQuery(label=shown, query=query, target=node.relation, names=names, key=key, is_unique=True)
    if key and table and table.column(column) and column in names:
        yield _conflict_query(node, query, names, key, column, table)


def _conflict_key(node: Any, table: Table | None) -> tuple[str, ...]:
    """Return the columns that ON CONFLICT uses to find existing rows; empty if the statement does not name them."""
    if not node.HasField("on_conflict_clause"):
        return ()
    infer = node.on_conflict_clause.infer
    if infer.conname and table:
        constraint = table.constraint(infer.conname)
        return constraint.columns if constraint else ()
    return tuple(item.index_elem.name for item in infer.index_elems if item.index_elem.name)


def _conflict_query(
    node: Any, query: Any, names: Sequence[str], key: Sequence[str], column: str, table: Table
) -> WriteQuery:
    """Build the query for conflicts. It returns each new row with the existing row, and the tenants of both."""
    here, there = quote_identifier("confiture new"), quote_identifier("confiture old")
    met = " AND ".join(
        _equality_condition(f"{here}.{quote_identifier(one)}", f"{there}.{quote_identifier(one)}", table.column(one))
        for one in key
    )
    tenants = (
        f"{here}.{quote_identifier(column)}",
        f"{there}.{quote_identifier(column)} AS {quote_identifier(f'{column} there')}",
    )
    listed = ", ".join((*tenants, *(f"{here}.{quote_identifier(one)}" for one in key if one != column)))
    target = quote_table(TableRef(node.relation.schemaname, node.relation.relname))
    text = f"SELECT {listed} FROM (SELECT 1) AS {here} JOIN {target} AS {there} ON {met}"  # noqa: S608 - quoted
    found = parse_select(text)
    source = found.from_clause[0].join_expr.larg.range_subselect
    source.subquery.select_stmt.CopyFrom(query)
    source.alias.colnames.extend(pb.Node(string=pb.String(sval=name)) for name in names)
    return WriteQuery(label="rows that ON CONFLICT meets", query=found)


def _equality_condition(new: str, old: str, column: TableColumn | None) -> str:
    """Return a condition that a new value equals an existing row's value.

    Arrays are compared because the array operator finds the element type's operator in any schema. Both values are
    cast, because the row value's type may be a domain over the column type.
    """
    value, held = (f"CAST({one} AS {column.type})" if column else one for one in (new, old))
    return f"{old} IS NOT NULL AND ARRAY[{value}] {qualified_operator('=')} ARRAY[{held}]"


def add_with_clause(query: Any, clause: Any) -> None:
    """Add the enclosing statement's WITH queries to a query."""
    if query.HasField("with_clause"):
        inner = pb.SelectStmt()
        inner.CopyFrom(query)
        query.Clear()
        query.CopyFrom(parse_select("SELECT * FROM (SELECT 1) AS inserted"))
        query.from_clause[0].range_subselect.subquery.select_stmt.CopyFrom(inner)
    query.with_clause.CopyFrom(clause)
