"""MERGE: the rows that each action writes, and the rows that these depend on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import flatten_and, pb
from confiture.sql.tenant_flow.context import AnalysisContext, find_location
from confiture.sql.tenant_flow.from_analyzer import FromAnalyzer
from confiture.sql.tenant_flow.from_tree import FromJoin, FromLeaf, build_from_tree, resolve_range_var
from confiture.sql.tenant_flow.returning_clause import check_nullable_tenant, returning_items
from confiture.sql.tenant_flow.row_sets import ColumnRef, RowSet
from confiture.sql.tenant_flow.scopes import NameScope, OuterContext, ScopeItem
from confiture.sql.tenant_flow.tenant_joins import TenantState
from confiture.sql.tenant_flow.update_delete import report_shared_target
from confiture.sql.tenant_flow.write_target import WriteTarget


def analyze_merge(context: AnalysisContext, node: Any, outer: OuterContext) -> RowSet:
    """Analyze a MERGE, and return its RETURNING rows."""
    target = WriteTarget.from_range_var(context, node.relation)
    into = resolve_range_var(context, node.relation, OuterContext())
    tree, items = build_from_tree(context, node.source_relation, [], outer)
    scope = NameScope((ScopeItem.from_source(into), *items), outer.scope)
    conditions = list(flatten_and(node.join_condition))
    pairs = [
        pair
        for condition in conditions
        for pair in context.expressions.equal_pairs(condition, scope, has_variables=outer.has_variables)
    ]
    join = FromJoin("full", FromLeaf(into), tree, pairs, frozenset(), None, scope, (), TenancyIssueKind.CROSS_WRITE)
    flow = FromAnalyzer(context, scope, outer, pb.SelectStmt(), correction=(node, "join_condition"))
    flow.null_safe_pairs = [
        pair for condition in conditions for pair in context.expressions.equal_pairs(condition, scope, with_nulls=True)
    ]
    state = flow.run([join], TenancyIssueKind.CROSS_WRITE)
    state = flow.apply_subqueries(node.join_condition, state)
    if not into.relation.has_tenant_rows and state.has_tenant_rows and state.tenant_columns:
        report_shared_target(context, target, node)
    for item in node.merge_when_clauses:
        _check_action(context, item.merge_when_clause, target, flow, state)
    if not returning_items(node):
        return RowSet()
    context.report_unknown("RETURNING of MERGE is not analyzed")
    return RowSet(is_complete=False)


def _check_action(
    context: AnalysisContext, action: Any, target: WriteTarget, flow: FromAnalyzer, state: TenantState
) -> None:
    for item in (action.condition, *action.target_list, *action.values):
        state = flow.apply_subqueries(item, state)
    if target.tenant is None or not state.tenant_columns:
        return
    values = list(action.values)
    names = [item.res_target.name for item in action.target_list] or list(target.columns)
    if action.command_type == pb.CMD_UPDATE:
        for item in action.target_list:
            if item.res_target.name == target.tenant:
                _check_written_tenant(context, target, item.res_target.val, flow, state)
    elif action.command_type == pb.CMD_INSERT and values:
        if target.tenant not in names:
            message = f"MERGE INTO {target.name} does not set {target.tenant}"
            fix = _make_action_fix(context, action, target, flow, state)
            context.report_issue(
                TenancyIssueKind.NOT_WRITTEN,
                TenancyGrade.ERROR,
                message,
                find_location(action),
                relation=str(target.name),
                fix=fix,
            )
        else:
            _check_written_tenant(context, target, values[names.index(target.tenant)], flow, state)


def _make_action_fix(
    context: AnalysisContext, action: Any, target: WriteTarget, flow: FromAnalyzer, state: TenantState
) -> Callable[[], None] | None:
    others = flow.scope.sources() - {min(flow.scope.sources())}
    node = context.find_reachable(state.tenant_columns, others)
    if node is None or not action.target_list:
        return None
    column = context.make_reference(node)

    def write() -> None:
        action.target_list.append(pb.Node(res_target=pb.ResTarget(name=target.tenant or "")))
        action.values.append(column)

    return write


def _check_written_tenant(
    context: AnalysisContext, target: WriteTarget, value: Any, flow: FromAnalyzer, state: TenantState
) -> None:
    node = flow.node(value)
    if isinstance(node, ColumnRef) and node in state.tenant_columns:
        output = context.sources[node.source].find_output(node.key)
        if output is not None:
            check_nullable_tenant(context, output, f"{target.name}.{target.tenant}", find_location(value))
    if node not in state.tenant_columns:
        message = f"{target.name}.{target.tenant} is not set to the tenant of the source rows"
        others = flow.scope.sources() - {min(flow.scope.sources())}
        right = context.find_reachable(state.tenant_columns, others)
        column = context.make_reference(right) if right is not None else None
        fix = (lambda: value.CopyFrom(column)) if column is not None else None
        context.report_issue(
            TenancyIssueKind.WRONG_SOURCE,
            TenancyGrade.ERROR,
            message,
            find_location(value),
            relation=str(target.name),
            fix=fix,
        )
