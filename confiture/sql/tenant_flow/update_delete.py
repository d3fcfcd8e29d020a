"""UPDATE and DELETE: the rows that they change, the rows that these depend on, and the tenants of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import flatten_and, pb, strings
from confiture.sql.tenant_flow.context import AnalysisContext, add_condition, find_location
from confiture.sql.tenant_flow.from_analyzer import FromAnalyzer
from confiture.sql.tenant_flow.from_tree import FromLeaf, Tree, build_from_tree, resolve_range_var
from confiture.sql.tenant_flow.keys import find_table_rows, row_pinned_by_key
from confiture.sql.tenant_flow.returning_clause import analyze_returning, returning_items
from confiture.sql.tenant_flow.row_sets import ColumnRef, EquivalenceClasses, FromSource, RowSet
from confiture.sql.tenant_flow.scopes import NameScope, OuterContext, ScopeItem
from confiture.sql.tenant_flow.tenant_joins import TenantState
from confiture.sql.tenant_flow.write_target import WriteTarget


def analyze_delete(context: AnalysisContext, node: Any, outer: OuterContext) -> RowSet:
    """Analyze a DELETE, and return its RETURNING rows."""
    changed = _ChangedTable.from_statement(context, node, node.using_clause, outer)
    state = changed.flow.run(changed.trees, TenancyIssueKind.CROSS_WRITE)
    return analyze_returning(context, node, changed.flow, state)


def analyze_update(context: AnalysisContext, node: Any, outer: OuterContext) -> RowSet:
    """Analyze an UPDATE, and return its RETURNING rows."""
    changed = _ChangedTable.from_statement(context, node, node.from_clause, outer)
    target, source, flow = changed.target, changed.source, changed.flow
    assigned = _assigned_tenant(node, target.tenant)
    settles = assigned is not None and not changed.is_tied_to_tenant()
    if settles:
        # rows that get a tenant only in this statement belong to no tenant yet
        source.relation = replace(source.relation, has_tenant_rows=False, tenants=frozenset())
    state = flow.run(changed.trees, TenancyIssueKind.CROSS_WRITE)
    for item in node.target_list:
        state = flow.apply_subqueries(item, state)
    if assigned is None:
        if (
            state.has_tenant_rows
            and not source.relation.has_tenant_rows
            and state.tenant_columns
            and not state.tenant_constants(flow.own)
        ):
            report_shared_target(context, target, node)
    elif settles:
        changed.check_tenant_assignment(state, assigned)
    elif state.has_tenant_rows and state.tenant_columns and flow.node(assigned) not in state.tenant_columns:
        message = f"{target.name}.{target.tenant} is not set to the tenant of the row"
        context.report_issue(
            TenancyIssueKind.WRONG_SOURCE,
            TenancyGrade.ERROR,
            message,
            find_location(assigned),
            relation=str(target.name),
        )
    if assigned is not None and returning_items(node):
        context.report_unknown(f"RETURNING of an UPDATE that sets {target.tenant} is not analyzed")
    return analyze_returning(context, node, flow, state)


def report_shared_target(context: AnalysisContext, target: WriteTarget, node: Any) -> None:
    """Report a table that belongs to no tenant and is changed depending on tenant rows."""
    message = f"{target.name} belongs to no tenant but gets values from tenant rows"
    context.report_issue(
        TenancyIssueKind.CROSS_WRITE, TenancyGrade.WARNING, message, node.relation.location, relation=str(target.name)
    )


def _assigned_tenant(node: Any, column: str | None) -> Any | None:
    """Return the value that an UPDATE assigns to the tenant column; None if the UPDATE does not set it."""
    for item in node.target_list:
        if column is not None and item.res_target.name == column:
            value = item.res_target.val
            if value.WhichOneof("node") != "multi_assign_ref":
                return value
            several = value.multi_assign_ref
            if several.source.WhichOneof("node") == "row_expr":
                return several.source.row_expr.args[several.colno - 1]
            return value
    return None


@dataclass(frozen=True, slots=True)
class _ChangedTable:
    """A table with rows that a statement changes, the table as a relation (`source`), and the other relations that the
    statement reads.
    """

    context: AnalysisContext
    node: Any
    target: WriteTarget
    source: FromSource
    trees: Sequence[Tree]
    flow: FromAnalyzer

    @classmethod
    def from_statement(
        cls, context: AnalysisContext, node: Any, others: Sequence[Any], outer: OuterContext
    ) -> _ChangedTable:
        """Return the table that a statement changes. `others` is FROM or USING."""
        source = resolve_range_var(context, node.relation, OuterContext())
        trees: list[Tree] = [FromLeaf(source)]
        items = [ScopeItem.from_source(source)]
        for clause in others:
            tree, new_items = build_from_tree(context, clause, items, outer)
            trees.append(tree)
            items += new_items
        flow = FromAnalyzer(context, NameScope(tuple(items), outer.scope), outer, node)
        return cls(context, node, WriteTarget.from_range_var(context, node.relation), source, trees, flow)

    @property
    def tenant(self) -> ColumnRef:
        """The tenant of the rows before the change."""
        return ColumnRef(self.source.number, self.target.tenant or "")

    def is_tied_to_tenant(self) -> bool:
        """Whether WHERE compares the tenant of the rows with something, which implies that they already have one."""
        return any(
            self.tenant in pair
            for condition in flatten_and(self.node.where_clause)
            for with_nulls in (False, True)
            for pair in self.context.expressions.equal_pairs(condition, self.flow.scope, with_nulls=with_nulls)
        )

    def check_tenant_assignment(self, state: TenantState, assigned: Any) -> None:
        """Check an UPDATE that assigns tenants.

        The tenant must come from a single row, and the updated rows must not have one yet.
        """
        value, name = self.flow.node(assigned), str(self.target.name)
        if state.has_tenant_rows and not state.tenant_columns:
            return
        if state.has_tenant_rows and value not in state.tenant_columns:
            message = f"{name}.{self.target.tenant} is not set to the tenant of the source rows"
            self.context.report_issue(
                TenancyIssueKind.WRONG_SOURCE, TenancyGrade.ERROR, message, find_location(assigned), relation=name
            )
            return
        is_single = value in self.context.expressions.scalars.values() or bool(state.tenant_constants(self.flow.own))
        if state.has_tenant_rows and not is_single and not self._is_single_row():
            message = f"several rows can set {self.target.tenant} of {name}; which one wins is undefined"
            self.context.report_issue(
                TenancyIssueKind.WRONG_SOURCE, TenancyGrade.ERROR, message, find_location(assigned), relation=name
            )
            return
        if not (self._is_without_tenant_before() or self._is_tenant_kept(assigned)):
            self._report_moved_rows(find_location(assigned))

    def _is_single_row(self) -> bool:
        """Whether a key identifies the single row that determines the tenant of a row."""
        work, flow = self.context, self.flow
        pairs = [
            pair
            for condition in flatten_and(self.node.where_clause)
            for pair in work.expressions.equal_pairs(condition, flow.scope, has_variables=flow.outer.has_variables)
        ]
        others = frozenset(flow.own - {self.source.number})
        rows = list(find_table_rows([work.sources[one] for one in sorted(others) if one in work.sources], work.facts))
        row = row_pinned_by_key(rows, EquivalenceClasses(pairs), others, work.facts)
        if row is None or len(others) > 1:
            return False
        name = self.target.name
        work.proofs[f"a unique key identifies the row of {row.table.name} that sets {self.target.tenant} of {name}"] = (
            None
        )
        return True

    def _is_without_tenant_before(self) -> bool:
        """Whether WHERE selects only rows without a tenant."""
        for part in flatten_and(self.node.where_clause):
            if part.WhichOneof("node") == "null_test" and part.null_test.nulltesttype == pb.IS_NULL:
                arg = part.null_test.arg
                if arg.WhichOneof("node") == "column_ref" and strings(arg.column_ref.fields)[-1] == self.target.tenant:
                    return True
        return False

    def _is_tenant_kept(self, assigned: Any) -> bool:
        """Whether a row that has a tenant keeps it, because the value is the column itself, or COALESCE of the column
        and another expression.
        """
        if assigned.WhichOneof("node") == "coalesce_expr":
            assigned = assigned.coalesce_expr.args[0]
        return self.flow.node(assigned) == self.tenant

    def _report_moved_rows(self, location: int) -> None:
        name, tenant = self.target.name, self.target.tenant
        column = self.target.find_column(tenant or "")
        if column is not None and column.not_null:
            message = f"rows of {name} already have a {tenant}, and are moved to another tenant"
            self.context.report_issue(
                TenancyIssueKind.CROSS_WRITE, TenancyGrade.ERROR, message, location, relation=str(name)
            )
            return
        message = f"rows of {name} that already have a {tenant} can be moved to another tenant"
        test = pb.NullTest(arg=self.context.make_reference(self.tenant), nulltesttype=pb.IS_NULL)
        condition = pb.Node(null_test=test)
        fix = lambda: add_condition(self.node, "where_clause", condition)  # noqa: E731 - bound to this statement
        self.context.report_issue(
            TenancyIssueKind.CROSS_WRITE, TenancyGrade.WARNING, message, location, relation=str(name), fix=fix
        )
