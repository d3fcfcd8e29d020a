"""INSERT, UPDATE, DELETE, and MERGE: the rows that they write, and the rows that these depend on."""

from __future__ import annotations

from typing import Any

from confiture.sql.tenant_flow.context import AnalysisContext
from confiture.sql.tenant_flow.insert import analyze_insert
from confiture.sql.tenant_flow.merge import analyze_merge
from confiture.sql.tenant_flow.query import analyze_ctes
from confiture.sql.tenant_flow.row_sets import RowSet
from confiture.sql.tenant_flow.scopes import OuterContext
from confiture.sql.tenant_flow.update_delete import analyze_delete, analyze_update


def analyze_dml(context: AnalysisContext, kind: str, node: Any, outer: OuterContext) -> RowSet:
    """Analyze a statement that changes rows, and return its RETURNING rows."""
    outer = analyze_ctes(context, node, outer)
    if kind == "insert_stmt":
        return analyze_insert(context, node, outer)
    if kind == "update_stmt":
        return analyze_update(context, node, outer)
    if kind == "delete_stmt":
        return analyze_delete(context, node, outer)
    if kind == "merge_stmt":
        return analyze_merge(context, node, outer)
    context.report_unknown(f"{kind} is not analyzed")
    return RowSet(is_complete=False)
