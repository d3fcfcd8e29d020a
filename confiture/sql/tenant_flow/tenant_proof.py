"""Whether a query expression contains the tenant of the row, and whether NULL means that the row has no tenant."""

from __future__ import annotations

from typing import Any

from confiture.sql.parse_tree import strings
from confiture.sql.tenant_flow.context import AnalysisContext
from confiture.sql.tenant_flow.row_sets import ColumnRef, Node, TenantConstant
from confiture.sql.tenant_flow.scopes import NameScope, OuterContext
from confiture.sql.tenant_flow.tenant_joins import TenantState, is_never_null, null_means_no_tenant


class TenantProof:
    """Reads the expressions in one query, given the members of its rows."""

    def __init__(self, work: AnalysisContext, scope: NameScope, around: OuterContext) -> None:
        self._work, self._scope, self._around = work, scope, around

    def node(self, expression: Any) -> Node | None:
        """Return the column or constant that an expression consists of."""
        return self._work.expressions.find_node(expression, self._scope, has_variables=self._around.has_variables)

    def holds_tenant(self, value: Any, state: TenantState, before: frozenset[Node], *, is_grouped: bool) -> bool:
        """Whether an expression is the tenant of the row, or NULL. All members of a row are equal.

        All members of a group's rows are also equal if the group has a member.
        """
        node = self.node(value)
        if node is not None:
            return node in state.tenant_columns
        return self.is_made_of_tenants(value, state, before, is_grouped=is_grouped)

    def is_made_of_tenants(self, value: Any, state: TenantState, before: frozenset[Node], *, is_grouped: bool) -> bool:
        """Whether an expression that is neither a column nor a constant is the tenant of the row, or NULL."""
        kind = value.WhichOneof("node")
        parts: list[Any] = []
        if kind == "coalesce_expr":
            parts = list(value.coalesce_expr.args)
            first = self.node(parts[0])
            if first in state.tenant_columns and is_never_null(self._work, first):
                return True
        elif kind == "case_expr":
            parts = [one.case_when.result for one in value.case_expr.args]
            parts += [value.case_expr.defresult] if value.case_expr.HasField("defresult") else []
        elif kind == "min_max_expr":
            parts = list(value.min_max_expr.args)
        elif kind == "func_call" and strings(value.func_call.funcname)[-1] in ("min", "max", "any_value"):
            is_aggregate = is_grouped and not value.func_call.HasField("over")
            is_one = any(
                isinstance(one, TenantConstant) or is_never_null(self._work, one) for one in state.tenant_columns
            )
            return is_aggregate and is_one and self.node(value.func_call.args[0]) in before
        return bool(parts) and all(self.holds_tenant(one, state, before, is_grouped=is_grouped) for one in parts)

    def null_means_no_tenant(self, node: Node | None) -> bool:
        """Whether a row belongs to no tenant if this member is NULL."""
        if not isinstance(node, ColumnRef) or node.source not in self._scope.sources():
            return True
        return null_means_no_tenant(self._work, node)

    def distinguishes_tenants(self, value: Any, state: TenantState) -> bool:
        """Whether rows with equal values for an expression belong to one tenant or to none."""
        holds = self.holds_tenant(value, state, state.tenant_columns, is_grouped=False)
        return holds and self.null_of_value_means_no_tenant(value, state.tenant_columns)

    def null_of_value_means_no_tenant(self, value: Any, members: frozenset[Node]) -> bool:
        """Whether a row belongs to no tenant if an expression that contains the tenant is NULL."""
        node = self.node(value)
        kind = value.WhichOneof("node")
        if node is not None:
            return self.null_means_no_tenant(node)
        if kind == "func_call":
            return self.null_means_no_tenant(self.node(value.func_call.args[0]))
        if kind == "case_expr":
            first = value.case_expr.args[0].case_when
            if first.expr.a_const.boolval.boolval and not value.case_expr.HasField("arg"):
                return self.null_of_value_means_no_tenant(first.result, members)
            parts = [one.case_when.result for one in value.case_expr.args]
            return value.case_expr.HasField("defresult") and all(
                self.null_of_value_means_no_tenant(one, members) for one in (*parts, value.case_expr.defresult)
            )
        args = value.coalesce_expr.args if kind == "coalesce_expr" else value.min_max_expr.args
        nodes = [self.node(one) for one in args]
        covered = {one.source for one in nodes if isinstance(one, ColumnRef) and not self._can_lack_tenant(one)}
        # a column merged by USING is NULL only if both sides are NULL
        sources = {one.source for one in members if isinstance(one, ColumnRef) and self._work.sources[one.source].alias}
        return sources <= covered or any(self.null_of_value_means_no_tenant(one, members) for one in args)

    def _can_lack_tenant(self, node: ColumnRef) -> bool:
        output = self._work.sources[node.source].find_output(node.key)
        return output is not None and output.can_lack_tenant
