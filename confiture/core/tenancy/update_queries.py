"""UPDATE and DELETE as queries.

An UPDATE becomes `SELECT key, values FROM target, sources WHERE ...`; a DELETE becomes a query for the rows that it
removes. If several source rows match, PostgreSQL uses one of them. These queries return all matching rows, so the proof
does not depend on PostgreSQL's choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from confiture.core.tenancy.errors import NotProvable
from confiture.core.tenancy.write_query import NULL, DmlTarget, WriteQuery
from confiture.models.catalog import Catalog
from confiture.sql.parse_tree import pb


def update_queries(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    target = DmlTarget(node.relation, catalog, column)
    query = _target_query(target, [*node.from_clause], node)
    yield update_query("UPDATE", target, query, node.target_list)


def delete_queries(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    target = DmlTarget(node.relation, catalog, column)
    query = _target_query(target, [*node.using_clause], node)
    yield delete_query("DELETE", target, query)


def _target_query(target: DmlTarget, sources: Sequence[Any], node: Any) -> Any:
    query = pb.SelectStmt(from_clause=[pb.Node(range_var=target.range_var), *sources])
    if node.HasField("where_clause"):
        if node.where_clause.WhichOneof("node") == "current_of_expr":
            raise NotProvable("WHERE CURRENT OF depends on a cursor")
        query.where_clause.CopyFrom(node.where_clause)
    if node.HasField("with_clause"):
        query.with_clause.CopyFrom(node.with_clause)
    return query


def update_query(label: str, target: DmlTarget, query: Any, assignments: Any) -> WriteQuery:
    """Build the query for the changed rows: keys, new values, and tenants after the update."""
    key, assigns = target.key, False
    values = dict(_iterate_assignments(assignments))
    columns: list[tuple[str, Any]] = []
    if target.column in values:
        assigns = True
        columns.append((target.column, values.pop(target.column)))
        columns.append((f"{target.column} before", target.column_expression(target.column)))
    elif target.has_tenant_column():
        columns.append((target.column, target.column_expression(target.column)))
    taken = {name for name, _ in columns}
    columns += [
        (f"key {name}" if name in values else name, target.column_expression(name)) for name in key if name not in taken
    ]
    columns += [*values.items()]
    for name, value in columns:
        query.target_list.append(pb.Node(res_target=pb.ResTarget(name=name, val=value)))
    names = tuple(name for name, _ in columns)
    by = tuple(f"{target.column} before" if one == target.column and one not in key else one for one in key)
    known = tuple(f"key {name}" if f"key {name}" in names else name for name in by)
    if not assigns:
        return WriteQuery(label=label, query=query, target=target.range_var, names=names)
    return WriteQuery(
        label=label, query=query, target=target.range_var, names=names, key=known, unowned_alias=target.alias
    )


def delete_query(label: str, target: DmlTarget, query: Any) -> WriteQuery:
    columns = [target.column] if target.has_tenant_column() else []
    columns += [name for name in target.key if name not in columns]
    for name in columns:
        query.target_list.append(pb.Node(res_target=pb.ResTarget(name=name, val=target.column_expression(name))))
    query.distinct_clause.append(pb.Node())
    return WriteQuery(label=label, query=query, target=target.range_var, names=tuple(columns))


def _iterate_assignments(assignments: Any) -> Iterator[tuple[str, Any]]:
    """Yield each column that SET assigns, with its expression."""
    for item in assignments:
        target = item.res_target
        value = target.val
        if value.WhichOneof("node") == "multi_assign_ref":
            value = _multi_assign_value(value.multi_assign_ref)
        if value.WhichOneof("node") == "set_to_default":
            value = NULL
        yield target.name, value


def _multi_assign_value(reference: Any) -> Any:
    """Return the expression for one column in SET (a, b) = (...)."""
    source = reference.source
    if source.WhichOneof("node") == "row_expr":
        return source.row_expr.args[reference.colno - 1]
    if source.WhichOneof("node") == "sub_link" and len(source.sub_link.subselect.select_stmt.target_list):
        copied = pb.Node()
        copied.CopyFrom(source)
        copied.sub_link.sub_link_type = pb.EXPR_SUBLINK
        query = copied.sub_link.subselect.select_stmt
        if len(query.target_list) == reference.ncolumns:
            chosen = pb.Node()
            chosen.CopyFrom(query.target_list[reference.colno - 1])
            del query.target_list[:]
            query.target_list.append(chosen)
            return copied
    raise NotProvable("SET (...) = ... assigns several columns from an expression that cannot be split")
