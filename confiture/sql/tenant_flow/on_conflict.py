"""ON CONFLICT: the keys by which rows conflict, and the effect on existing rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import flatten_and, pb, strings
from confiture.sql.tenant_flow.context import AnalysisContext, find_location
from confiture.sql.tenant_flow.from_analyzer import FromAnalyzer
from confiture.sql.tenant_flow.row_sets import FromSource
from confiture.sql.tenant_flow.scopes import NameScope, OuterContext, ScopeItem
from confiture.sql.tenant_flow.tenant_joins import TenantState
from confiture.sql.tenant_flow.write_target import WriteTarget


def check_conflict(
    context: AnalysisContext,
    node: Any,
    target: WriteTarget,
    written_columns: Sequence[str],
    source: FromSource,
    outer: OuterContext,
) -> None:
    """Report an ON CONFLICT that lets one tenant's rows conflict with, or get values from, another tenant's rows.

    `source` is the target as a relation; `written_columns` are the target columns that the INSERT writes.
    """
    if not node.HasField("on_conflict_clause"):
        return
    clause = node.on_conflict_clause
    if target.tenant is not None:
        _check_conflict_keys(context, clause, target, written_columns)
    if clause.action == pb.ONCONFLICT_UPDATE:
        _check_do_update(context, clause, target, source, outer)


def _check_conflict_keys(
    context: AnalysisContext, clause: Any, target: WriteTarget, written_columns: Sequence[str]
) -> None:
    """Report conflict keys that do not include the tenant, because the existing row can belong to another tenant."""
    wrong = [key for key in _conflict_keys(context, clause, target, written_columns) if target.tenant not in key]
    if not wrong:
        return
    changes = clause.action == pb.ONCONFLICT_UPDATE and not _is_tied_to_tenant(clause.where_clause, target.tenant)
    does = "updates the row with the same key even if it belongs to another tenant"
    if not changes:
        does = "discards the new row if another tenant has the same key"
    message = f"ON CONFLICT ({', '.join(sorted(wrong[0]))}) does not contain {target.tenant}: it {does}"
    context.report_issue(
        TenancyIssueKind.CROSS_WRITE, TenancyGrade.WARNING, message, clause.location, relation=str(target.name)
    )


def _check_do_update(
    context: AnalysisContext, clause: Any, target: WriteTarget, source: FromSource, outer: OuterContext
) -> None:
    """Check the assignments and subqueries in DO UPDATE.

    `excluded` is the new row, which belongs to the same tenant.
    """
    excluded = context.add_source("excluded", source.relation, clause)
    scope = NameScope((ScopeItem.from_source(source), ScopeItem.from_source(excluded)), outer.scope)
    flow = FromAnalyzer(context, scope, outer, pb.SelectStmt())
    flow.own = scope.sources()
    state = TenantState(source.relation.has_tenant_rows, source.tenant_columns() | excluded.tenant_columns())
    for item in clause.target_list:
        state = flow.apply_subqueries(item, state)
        value = item.res_target.val
        if target.tenant and item.res_target.name == target.tenant and flow.node(value) not in state.tenant_columns:
            message = f"ON CONFLICT does not set {target.name}.{target.tenant} to the tenant of the row"
            context.report_issue(
                TenancyIssueKind.WRONG_SOURCE,
                TenancyGrade.ERROR,
                message,
                find_location(value),
                relation=str(target.name),
            )
    flow.apply_subqueries(clause.where_clause, state)


def _conflict_keys(
    context: AnalysisContext, clause: Any, target: WriteTarget, written_columns: Sequence[str]
) -> list[frozenset[str]]:
    """Return the keys by which rows can conflict.

    If the clause names no key, these are the keys whose columns the statement writes.
    """
    if clause.HasField("infer"):
        if clause.infer.conname and target.table:
            constraint = target.table.constraint(clause.infer.conname)
            return [frozenset(constraint.columns)] if constraint else []
        if clause.infer.index_elems:
            return [frozenset(item.index_elem.name for item in clause.infer.index_elems)]
    if target.table is None:
        return []
    return [key for key in context.facts.unique_keys(target.table) if key <= set(written_columns)]


def _is_tied_to_tenant(condition: Any, column: str | None) -> bool:
    """Whether a WHERE requires the existing row to belong to the new row's tenant."""
    for part in flatten_and(condition):
        if part.WhichOneof("node") != "a_expr" or strings(part.a_expr.name)[-1] != "=":
            continue
        sides = [part.a_expr.lexpr, part.a_expr.rexpr]
        if all(side.WhichOneof("node") == "column_ref" for side in sides):
            names = [strings(side.column_ref.fields) for side in sides]
            if all(name[-1] == column for name in names) and any(name[0] == "excluded" for name in names):
                return True
    return False
