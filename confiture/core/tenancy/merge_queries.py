"""MERGE as queries: one for each action, without the rows that earlier actions handle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confiture.core.tenancy.update_queries import delete_query, update_query
from confiture.core.tenancy.write_query import NULL, DmlTarget, WriteQuery, parse_select
from confiture.models.catalog import Catalog
from confiture.sql.parse_tree import pb


def merge_queries(node: Any, catalog: Catalog, column: str) -> Iterator[WriteQuery]:
    target = DmlTarget(node.relation, catalog, column)
    before: dict[int, list[Any]] = {}
    for item in node.merge_when_clauses:
        action = item.merge_when_clause
        earlier = before.setdefault(action.match_kind, [])
        query = _merge_query(node, target, action.match_kind)
        conditions = [*earlier, *([action.condition] if action.HasField("condition") else ())]
        for place, condition in enumerate(conditions):
            _add_condition(query, condition if place >= len(earlier) else _not_true(condition))
        found = _merge_action_query(action, target, query, catalog)
        if found:
            yield found
        if action.HasField("condition"):
            earlier.append(action.condition)
        else:
            earlier.append(parse_select("SELECT true").target_list[0].res_target.val)


def _merge_action_query(action: Any, target: DmlTarget, query: Any, catalog: Catalog) -> WriteQuery | None:
    label = "MERGE: " + {
        pb.MERGE_WHEN_MATCHED: "WHEN MATCHED",
        pb.MERGE_WHEN_NOT_MATCHED_BY_SOURCE: "WHEN NOT MATCHED BY SOURCE",
        pb.MERGE_WHEN_NOT_MATCHED_BY_TARGET: "WHEN NOT MATCHED",
    }.get(action.match_kind, "")
    if action.command_type == pb.CMD_UPDATE:
        return update_query(f"{label} THEN UPDATE", target, query, action.target_list)
    if action.command_type == pb.CMD_DELETE:
        return delete_query(f"{label} THEN DELETE", target, query)
    if action.command_type != pb.CMD_INSERT or not action.values:
        return None
    names = tuple(item.res_target.name for item in action.target_list)
    table = target.table
    if not names and table:
        names = tuple(one.name for one in table.columns if not one.generated)[: len(action.values)]
    for value in action.values:
        chosen = NULL if value.WhichOneof("node") == "set_to_default" else value
        query.target_list.append(pb.Node(res_target=pb.ResTarget(val=chosen)))
    return WriteQuery(label=f"{label} THEN INSERT", query=query, target=target.range_var, names=names)


def _merge_query(node: Any, target: DmlTarget, match: int) -> Any:
    """Build the query for the rows that a MERGE action can apply to, ignoring the action's own condition."""
    query = pb.SelectStmt()
    if match == pb.MERGE_WHEN_MATCHED:
        query.from_clause.extend([pb.Node(range_var=target.range_var), node.source_relation])
        query.where_clause.CopyFrom(node.join_condition)
    else:
        kept, other = pb.Node(range_var=target.range_var), node.source_relation
        if match == pb.MERGE_WHEN_NOT_MATCHED_BY_TARGET:
            kept, other = other, kept
        absent = parse_select("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM t WHERE true)")
        inner = absent.where_clause.bool_expr.args[0].sub_link.subselect.select_stmt
        inner.from_clause[0].CopyFrom(other)
        inner.where_clause.CopyFrom(node.join_condition)
        query.from_clause.append(kept)
        query.where_clause.CopyFrom(absent.where_clause)
    if node.HasField("with_clause"):
        query.with_clause.CopyFrom(node.with_clause)
    return query


def _add_condition(query: Any, condition: Any) -> None:
    both = pb.BoolExpr(boolop=pb.AND_EXPR, args=[query.where_clause, condition])
    query.where_clause.CopyFrom(pb.Node(bool_expr=both))


def _not_true(condition: Any) -> Any:
    return pb.Node(boolean_test=pb.BooleanTest(arg=condition, booltesttype=pb.IS_NOT_TRUE))
