"""INSERT: whether the inserted rows get the correct tenant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import parse_expression, pb
from confiture.sql.tenant_flow.context import AnalysisContext, find_location
from confiture.sql.tenant_flow.from_analyzer import FromAnalyzer
from confiture.sql.tenant_flow.from_tree import resolve_range_var
from confiture.sql.tenant_flow.keys import find_table_rows
from confiture.sql.tenant_flow.on_conflict import check_conflict
from confiture.sql.tenant_flow.returning_clause import analyze_returning, check_nullable_tenant, returning_items
from confiture.sql.tenant_flow.row_sets import ColumnRef, RowSet
from confiture.sql.tenant_flow.scopes import NameScope, OuterContext, ScopeItem
from confiture.sql.tenant_flow.tenant_joins import TenantState
from confiture.sql.tenant_flow.write_target import WriteTarget
from confiture.sql.tenant_tables import is_tenant_table_name, referenced_columns


def analyze_insert(context: AnalysisContext, node: Any, outer: OuterContext) -> RowSet:
    """Analyze an INSERT, and return its RETURNING rows."""
    target = WriteTarget.from_range_var(context, node.relation)
    has_query = node.HasField("select_stmt")
    relation = context.query(node.select_stmt.select_stmt, outer) if has_query else RowSet()
    columns = [item.res_target.name for item in node.cols] or list(target.columns)
    _InsertedTenant(context, target, node, relation, columns).check()
    if not (node.HasField("on_conflict_clause") or returning_items(node)):
        return RowSet()
    source = resolve_range_var(context, node.relation, OuterContext())
    check_conflict(context, node, target, columns, source, outer)
    scope = NameScope((ScopeItem.from_source(source),), outer.scope)
    flow = FromAnalyzer(context, scope, outer, pb.SelectStmt(), own=scope.sources())
    return analyze_returning(context, node, flow, TenantState(source.relation.has_tenant_rows, source.tenant_columns()))


class _InsertedTenant:
    """The tenant column among the columns that an INSERT writes."""

    def __init__(
        self, context: AnalysisContext, target: WriteTarget, node: Any, relation: RowSet, columns: Sequence[str]
    ) -> None:
        self._work, self._target, self._node = context, target, node
        self._relation, self._columns = relation, columns

    def check(self) -> None:
        """Report an INSERT that does not give its rows the correct tenant."""
        work, target, relation = self._work, self._target, self._relation
        if relation.has_unknown_tenant:
            return
        name = target.tenant
        if name is None:
            if target.tenant_foreign_key is not None:
                self._check_owner()
            elif relation.has_tenant_rows and (target.is_known or target.columns):
                self._report_no_column()
            elif relation.has_tenant_rows and not relation.tenant_constants:
                work.report_unknown(f"{target.name} is not in the DDL: it may or may not have {work.tenant_column}")
            return
        if name not in self._columns:
            self._check_default(name)
            return
        position = list(self._columns).index(name)
        if not relation.has_tenant_rows:
            return
        if position in relation.tenants:
            check_nullable_tenant(
                work, relation.outputs[position], f"{target.name}.{name}", self._node.relation.location
            )
            return
        if not relation.is_complete and position >= len(relation.outputs):
            work.report_unknown(f"the columns of the query are unknown, and so is the value of {target.name}.{name}")
            return
        self._report_wrong_source(name, position)

    def _check_default(self, name: str) -> None:
        column = self._target.find_column(name)
        has_default = column is not None and bool(column.default or column.identity or column.generated)
        if not self._relation.has_tenant_rows:
            if has_default or not self._columns:
                return
        elif column is not None and column.default:
            default = self._work.expressions.find_node(parse_expression(column.default), NameScope(()))
            if default is not None and default in self._relation.tenant_constants:
                return
        if not self._columns and not self._relation.is_complete:
            self._work.report_unknown(f"the columns of {self._target.name} are unknown")
            return
        message = f"INSERT INTO {self._target.name} does not set {name}"
        location = self._node.relation.location
        self._work.report_issue(
            TenancyIssueKind.NOT_WRITTEN,
            TenancyGrade.ERROR,
            message,
            location,
            relation=str(self._target.name),
            fix=self._make_fix(name),
        )

    def _make_fix(self, name: str) -> Callable[[], None] | None:
        relation, node = self._relation, self._node
        visible = [one for one in relation.outputs if not one.is_hidden]
        column = pb.Node(res_target=pb.ResTarget(name=name))
        if len(visible) == len(self._columns) + 1 and len(self._columns) in relation.tenants:
            return lambda: node.cols.append(column)
        expose = relation.expose_tenant
        if expose is None or len(visible) > len(self._columns):
            return None
        names = self._columns[: len(visible)]

        def write() -> None:
            if not node.cols:
                node.cols.extend(pb.Node(res_target=pb.ResTarget(name=one)) for one in names)
            expose()
            node.cols.append(column)

        return write

    def _report_wrong_source(self, name: str, position: int) -> None:
        relation = self._relation
        values = self._node.select_stmt.select_stmt.target_list
        value = values[position].res_target.val if position < len(values) else None
        location = find_location(value) if value is not None else self._node.relation.location
        message = f"{self._target.name}.{name} is not set to the tenant of the source rows"
        retarget = relation.use_as_tenant
        self._work.report_issue(
            TenancyIssueKind.WRONG_SOURCE,
            TenancyGrade.ERROR,
            message,
            location,
            relation=str(self._target.name),
            fix=(lambda: retarget(position)) if retarget else None,
        )

    def _report_no_column(self) -> None:
        name, tenancy = self._target.name, self._work.facts.tenancy
        if tenancy.tables and is_tenant_table_name(name, tenancy):
            self._work.report_unknown(
                f"{name} has no {self._work.tenant_column} yet: the tenant of its rows is unknown"
            )
            return
        message = f"{name} has no {self._work.tenant_column}: the tenant of the inserted rows is lost"
        self._work.report_issue(
            TenancyIssueKind.NOT_WRITTEN,
            TenancyGrade.WARNING,
            message,
            self._node.relation.location,
            relation=str(self._target.name),
        )

    def _check_owner(self) -> None:
        """Check an INSERT into a table that belongs to tenants by a foreign key, which must reference a row of the same
        tenant.
        """
        key, relation = self._target.tenant_foreign_key, self._relation
        if not relation.has_tenant_rows or key is None or key.target is None:
            return
        target = self._work.facts.catalog.tables[key.target]
        source = self._work.add_source("", replace(relation, expose_tenant=None), self._node)
        members = source.tenant_columns()
        for row in find_table_rows([source], self._work.facts):
            tenant = self._work.facts.tenant_column(row.table) or ""
            if row.columns.get(tenant) not in members:
                continue
            if row.table.name == target.name:
                tenant_key = referenced_columns(key, target)
            elif (other := self._work.facts.tenant_foreign_key(row.table)) and other.target == target.name:
                tenant_key = other.columns
            else:
                continue
            nodes = {row.columns.get(one) for one in tenant_key}
            positions = [list(self._columns).index(one) for one in key.columns if one in self._columns]
            written_nodes = {
                ColumnRef(source.number, source.keys[place]) for place in positions if place < len(source.keys)
            }
            if written_nodes == nodes and len(written_nodes) == len(tenant_key):
                return
        message = (
            f"{self._target.name} belongs to the tenant of its row of {target.name}: "
            "there is no proof that this is the tenant of the source rows"
        )
        self._work.report_issue(
            TenancyIssueKind.WRONG_SOURCE,
            TenancyGrade.WARNING,
            message,
            self._node.relation.location,
            relation=str(self._target.name),
        )
