"""Translate a statement into the queries that a tenancy proof runs.

- For a query, INSERT ... SELECT, CREATE TABLE AS or a view: the query it contains.
- For INSERT ... ON CONFLICT: also the target rows that conflict with the new rows.
- For UPDATE and DELETE: the changed rows, with their new values.
- For MERGE: one query for each action.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confiture.core.tenancy.errors import NotProvable
from confiture.core.tenancy.insert_queries import insert_queries
from confiture.core.tenancy.merge_queries import merge_queries
from confiture.core.tenancy.update_queries import delete_queries, update_queries
from confiture.core.tenancy.write_query import WriteQuery
from confiture.models.catalog import Catalog
from confiture.sql.parse_tree import pb, strings


def build_write_queries(kind: str, node: Any, catalog: Catalog, column: str) -> tuple[WriteQuery, ...]:
    """Build the queries for a statement; none if the statement neither reads nor writes rows.

    `column` is the name of the tenant column. Raise NotProvable.
    """
    reader = _READERS.get(kind)
    return tuple(reader(node, catalog, column)) if reader else ()


def _select(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    if node.HasField("into_clause"):
        query = pb.SelectStmt()
        query.CopyFrom(node)
        query.ClearField("into_clause")
        yield WriteQuery(label="SELECT INTO", query=query, target=node.into_clause.rel, is_definition=True)
    else:
        yield WriteQuery(label="SELECT", query=node)


def _table_as(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    label = "CREATE MATERIALIZED VIEW" if node.objtype == pb.OBJECT_MATVIEW else "CREATE TABLE AS"
    names = strings(node.into.col_names)
    if node.query.WhichOneof("node") != "select_stmt":
        raise NotProvable(f"{label} does not contain its query")
    yield WriteQuery(label=label, query=node.query.select_stmt, target=node.into.rel, names=names, is_definition=True)


def _view(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    names = strings(node.aliases)
    yield WriteQuery(
        label="CREATE VIEW", query=node.query.select_stmt, target=node.view, names=names, is_definition=True
    )


_READERS = {
    "select_stmt": _select,
    "insert_stmt": insert_queries,
    "update_stmt": update_queries,
    "delete_stmt": delete_queries,
    "merge_stmt": merge_queries,
    "create_table_as_stmt": _table_as,
    "view_stmt": _view,
}
