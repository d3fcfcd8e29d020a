"""Clauses that combine rows: GROUP BY and aggregates, DISTINCT, and windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import pb, strings
from confiture.sql.tenant_flow.context import AnalysisContext, find_location
from confiture.sql.tenant_flow.expressions import find_aggregates
from confiture.sql.tenant_flow.keys import find_table_rows, tenants_determined_by
from confiture.sql.tenant_flow.row_sets import Node, RowSet
from confiture.sql.tenant_flow.select_list import SelectList
from confiture.sql.tenant_flow.tenant_joins import TenantState


def apply_group_by(
    context: AnalysisContext, select: Any, targets: SelectList, state: TenantState, own_sources: frozenset[int]
) -> TenantState:
    """Return the state of the groups; report groups that can contain rows of several tenants."""
    if not state.has_tenant_rows or not state.tenant_columns:
        return state
    always, sets = _group_nodes(targets, select.group_clause)
    always |= _tenants_in_items(targets, select.group_clause, state)
    members = (
        state.tenant_constants(own_sources)
        | (always & state.tenant_columns)
        | _determined_tenants(context, always, state, own_sources)
    )
    if members:
        return TenantState(True, members)
    for alternatives in sets:
        if alternatives and all(one & state.tenant_columns for one in alternatives):
            return TenantState(True, frozenset().union(*alternatives) & state.tenant_columns)
    context.report_issue(
        TenancyIssueKind.GROUPING,
        TenancyGrade.ERROR,
        _grouping_message(context, select),
        _grouping_location(select),
        fix=_make_group_fix(context, select, state, own_sources),
    )
    return TenantState(True)


def _tenants_in_items(targets: SelectList, clause: Sequence[Any], state: TenantState) -> frozenset[Node]:
    """Return the members in items such as `coalesce(a.tenant_id, b.tenant_id)`.

    All rows in a group have the same value for these members.
    """
    members: set[Node] = set()
    for item in map(targets.references.expression, clause):
        kind = item.WhichOneof("node")
        is_coalesce = kind == "coalesce_expr" and targets.proof.holds_tenant(
            item, state, state.tenant_columns, is_grouped=False
        )
        if is_coalesce or (kind == "case_expr" and targets.proof.distinguishes_tenants(item, state)):
            members |= {
                node for one in _possible_results(item) if (node := targets.proof.node(one)) in state.tenant_columns
            }
    return frozenset(members)


def _possible_results(item: Any) -> Iterable[Any]:
    """Return the possible results of COALESCE or CASE."""
    if item.WhichOneof("node") == "coalesce_expr":
        return list(item.coalesce_expr.args)
    return [one.case_when.result for one in item.case_expr.args] + [item.case_expr.defresult]


def _grouping_message(context: AnalysisContext, select: Any) -> str:
    if any(one.WhichOneof("node") == "grouping_set" for one in select.group_clause):
        return f"a grouping set does not contain {context.tenant_column}: its groups combine rows across all tenants"
    if select.group_clause:
        return f"GROUP BY does not contain {context.tenant_column}: a group can combine rows of several tenants"
    return "the aggregate combines rows across all tenants"


def _grouping_location(select: Any) -> int:
    if select.group_clause:
        return find_location(select.group_clause[0])
    for item in select.target_list:
        for call in find_aggregates(item):
            return int(getattr(call, "location", -1))
    return find_location(select.having_clause) if select.HasField("having_clause") else -1


def _make_group_fix(
    context: AnalysisContext, select: Any, state: TenantState, own_sources: frozenset[int]
) -> Callable[[], None] | None:
    if any(one.WhichOneof("node") == "grouping_set" for one in select.group_clause):
        return None
    node = context.find_reachable(state.tenant_columns, own_sources)
    if node is None:
        return None
    column = context.make_reference(node)
    output_names = {
        one.res_target.name or one.res_target.val.column_ref.fields[-1].string.sval
        for one in select.target_list
        if one.res_target.name or one.res_target.val.WhichOneof("node") == "column_ref"
    }

    def write() -> None:
        select.group_clause.insert(0, column)
        if context.tenant_column not in output_names and not select.group_clause[1:]:
            select.target_list.append(pb.Node(res_target=pb.ResTarget(name=context.tenant_column, val=column)))

    return write


def _group_nodes(targets: SelectList, clause: Sequence[Any]) -> tuple[frozenset[Node], list[list[frozenset[Node]]]]:
    """Return the nodes in all groups and, for each list of grouping sets, the nodes in each set."""
    always: set[Node] = set()
    sets: list[list[frozenset[Node]]] = []
    for item in clause:
        if item.WhichOneof("node") == "grouping_set":
            sets.append(list(_grouping_sets(targets, item.grouping_set)))
        else:
            always.update(_item_nodes(targets, [item]))
    return frozenset(always), sets


def _grouping_sets(targets: SelectList, node: Any) -> Iterable[frozenset[Node]]:
    if node.kind != pb.GROUPING_SET_SETS:
        # ROLLUP and CUBE include the group of all rows
        yield frozenset()
        return
    for item in node.content:
        if item.WhichOneof("node") == "grouping_set":
            yield from _grouping_sets(targets, item.grouping_set)
        else:
            yield frozenset(_item_nodes(targets, [item]))


def _item_nodes(targets: SelectList, items: Iterable[Any]) -> Iterable[Node]:
    for item in items:
        if item.WhichOneof("node") == "row_expr":
            yield from _item_nodes(targets, item.row_expr.args)
        elif item.WhichOneof("node") == "list":
            yield from _item_nodes(targets, item.list.items)
        else:
            node = targets.references.node(item)
            if node is not None:
                yield node


def _determined_tenants(
    context: AnalysisContext, nodes: Iterable[Node], state: TenantState, own_sources: frozenset[int]
) -> frozenset[Node]:
    """Return the members that a key among `nodes` determines."""
    sources = [
        context.sources[number]
        for number in own_sources
        if number in context.sources and number not in context.nullable
    ]
    return (
        frozenset(tenants_determined_by(find_table_rows(sources, context.facts), frozenset(nodes), context.facts))
        & state.tenant_columns
    )


def _is_tenant_kept_apart(
    context: AnalysisContext, targets: SelectList, items: Sequence[Any], state: TenantState, own_sources: frozenset[int]
) -> bool:
    """Whether rows with equal values for these expressions belong to the same tenant."""
    nodes = frozenset(_item_nodes(targets, items))
    if any(targets.proof.distinguishes_tenants(item, state) for item in items):
        return True
    if any(targets.proof.null_means_no_tenant(one) for one in nodes & state.tenant_columns):
        return True
    return bool(_determined_tenants(context, nodes, state, own_sources))


def constant_within_distinct(
    context: AnalysisContext, select: Any, targets: SelectList, state: TenantState, own_sources: frozenset[int]
) -> frozenset[Node]:
    """Return the members that are equal in all rows that DISTINCT merges; all members if DISTINCT merges no rows."""
    if not select.distinct_clause or any(item.WhichOneof("node") for item in select.distinct_clause):
        return state.tenant_columns
    nodes = (targets.proof.node(item.res_target.val) for item in select.target_list)
    return _determined_tenants(context, [node for node in nodes if node is not None], state, own_sources)


def apply_distinct(
    context: AnalysisContext,
    select: Any,
    targets: SelectList,
    relation: RowSet,
    state: TenantState,
    own_sources: frozenset[int],
) -> RowSet:
    """Return the rows after DISTINCT; report a DISTINCT that can merge rows of several tenants."""
    if relation.tenant_constants or (relation.has_unknown_tenant and not state.tenant_columns):
        return relation
    on = [item for item in select.distinct_clause if item.WhichOneof("node")]
    if on:
        if _is_tenant_kept_apart(context, targets, on, state, own_sources):
            return relation
    elif relation.tenants:
        return relation
    message = f"DISTINCT does not contain {context.tenant_column}: it can merge rows of several tenants"
    context.report_issue(
        TenancyIssueKind.GROUPING,
        TenancyGrade.ERROR,
        message,
        _distinct_location(select, on),
        fix=_make_distinct_fix(context, select, on, state, own_sources, relation),
    )
    return replace(relation, tenants=frozenset())


def _distinct_location(select: Any, on: Sequence[Any]) -> int:
    return find_location(on[0] if on else select.target_list[0])


def _make_distinct_fix(
    context: AnalysisContext,
    select: Any,
    on: Sequence[Any],
    state: TenantState,
    own_sources: frozenset[int],
    relation: RowSet,
) -> Callable[[], None] | None:
    if not on:
        return relation.expose_tenant
    node = context.find_reachable(state.tenant_columns, own_sources)
    if node is None:
        return None
    column = context.make_reference(node)

    def write() -> None:
        select.distinct_clause.insert(0, column)
        if select.sort_clause:
            by = pb.SortBy(node=column, sortby_dir=pb.SORTBY_DEFAULT, sortby_nulls=pb.SORTBY_NULLS_DEFAULT)
            select.sort_clause.insert(0, pb.Node(sort_by=by))

    return write


_NUMBERING_FUNCTIONS = frozenset({"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile"})
"""The functions that number rows. The numbers depend on other tenants' rows but contain none of their data."""


def check_windows(
    context: AnalysisContext, targets: SelectList, state: TenantState, own_sources: frozenset[int]
) -> None:
    """Report windows over rows of several tenants."""
    if not state.has_tenant_rows or not state.tenant_columns or state.tenant_constants(own_sources):
        return
    for call, window in targets.windows:
        if _is_tenant_kept_apart(context, targets, window.partition_clause, state, own_sources):
            continue
        name = strings(call.funcname)[-1] if hasattr(call, "funcname") else "the aggregate"
        message = (
            f"the window of {name} is not partitioned by {context.tenant_column}: it contains rows from all tenants"
        )
        location = int(getattr(call, "location", -1))
        grade = TenancyGrade.WARNING if name in _NUMBERING_FUNCTIONS else TenancyGrade.ERROR
        context.report_issue(
            TenancyIssueKind.GROUPING,
            grade,
            message,
            location,
            fix=_make_window_fix(context, window, state, own_sources),
        )


def _make_window_fix(
    context: AnalysisContext, window: Any, state: TenantState, own_sources: frozenset[int]
) -> Callable[[], None] | None:
    node = context.find_reachable(state.tenant_columns, own_sources)
    if node is None:
        return None
    column = context.make_reference(node)
    return lambda: window.partition_clause.insert(0, column)
