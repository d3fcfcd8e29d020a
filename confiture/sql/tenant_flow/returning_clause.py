"""Results of statements that change rows: the RETURNING columns, and tenants that can be missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import pb
from confiture.sql.tenant_flow.context import AnalysisContext
from confiture.sql.tenant_flow.from_analyzer import FromAnalyzer
from confiture.sql.tenant_flow.row_sets import RowColumn, RowSet
from confiture.sql.tenant_flow.select_list import SelectList
from confiture.sql.tenant_flow.tenant_joins import TenantState


def analyze_returning(context: AnalysisContext, node: Any, flow: FromAnalyzer, state: TenantState) -> RowSet:
    """Return the RETURNING rows.

    `flow` contains the names that the clause can use; `state` contains the tenants of the rows.
    """
    items = returning_items(node)
    if not items:
        return RowSet()
    for item in items:
        state = flow.apply_subqueries(item, state)
    targets = SelectList(context, pb.SelectStmt(target_list=items), flow.scope, flow.outer)
    relation = targets.row_set(state, state.tenant_columns, flow.own, state.tenant_columns, is_grouped=False)
    return replace(relation, expose_tenant=None, use_as_tenant=None)


def returning_items(node: Any) -> list[Any]:
    """Return the RETURNING items."""
    # in PostgreSQL 18, this clause is more than a list
    is_clause = "returning_clause" in node.DESCRIPTOR.fields_by_name
    return list(node.returning_clause.exprs if is_clause else node.returning_list)


def check_nullable_tenant(context: AnalysisContext, output: RowColumn, alias: str, location: int) -> None:
    """Report a tenant column that an outer join can leave NULL in tenant rows."""
    if output.can_lack_tenant:
        message = f"{alias} can be NULL in tenant rows: it comes from the nullable side of an outer join"
        context.report_issue(TenancyIssueKind.WRONG_SOURCE, TenancyGrade.WARNING, message, location)
