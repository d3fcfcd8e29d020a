"""The columns that a SELECT returns, and which of these columns contain the tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from confiture.sql.parse_tree import column_result_name, pb
from confiture.sql.tenant_flow.context import AnalysisContext
from confiture.sql.tenant_flow.expressions import find_aggregates
from confiture.sql.tenant_flow.item_references import ItemReferences, is_star, star_columns
from confiture.sql.tenant_flow.row_sets import ColumnOrigin, ColumnRef, Node, RowColumn, RowSet
from confiture.sql.tenant_flow.scopes import NameScope, OuterContext
from confiture.sql.tenant_flow.tenant_joins import TenantState, is_never_null
from confiture.sql.tenant_flow.tenant_proof import TenantProof
from confiture.sql.traversal import inner_nodes

_OVER_WINDOWS = frozenset({pb.FuncCall, pb.JsonAggConstructor})


class SelectList:
    """The output list of a SELECT.

    `proof` reads the expressions; `references` resolves items that can refer to output columns.
    """

    def __init__(self, work: AnalysisContext, select: Any, scope: NameScope, around: OuterContext) -> None:
        self.work, self.select, self.scope = work, select, scope
        self.proof = TenantProof(work, scope, around)
        self.references = ItemReferences(select, scope, self.proof)

    def has_aggregates(self) -> bool:
        """Whether the output list or ORDER BY contains aggregates."""
        return any(True for one in (*self.select.target_list, *self.select.sort_clause) for _ in find_aggregates(one))

    @cached_property
    def windows(self) -> Sequence[tuple[Any, Any]]:
        """The window function calls, each with its window definition."""
        return tuple(self._iter_windows()) if self.work.has_windows else ()

    def _iter_windows(self) -> Iterator[tuple[Any, Any]]:
        named = {one.window_def.name: one.window_def for one in self.select.window_clause}
        for item in (*self.select.target_list, *self.select.sort_clause, *self.select.distinct_clause):
            for call in inner_nodes(item, without="SelectStmt"):
                if type(call) in _OVER_WINDOWS and call.HasField("over"):
                    over = named.get(call.over.name, call.over)
                    while not over.partition_clause and over.refname in named:
                        over = named[over.refname]
                    yield call, over

    def row_set(
        self,
        state: TenantState,
        before: frozenset[Node],
        own: frozenset[int],
        kept: frozenset[Node],
        *,
        is_grouped: bool,
    ) -> RowSet:
        """Return the rows of the SELECT.

        `before` are the members before grouping; `kept` are the members that each row still has even if the SELECT does
        not return them.
        """
        outputs: list[RowColumn] = []
        tenants: set[int] = set()
        returned_nodes: set[Node] = set()
        is_complete = True
        for target in self.select.target_list:
            value = target.res_target.val
            named_nodes: list[tuple[str, Node | None]]
            if is_star(value):
                columns, complete = star_columns(value, self.scope)
                named_nodes = list(columns)
                is_complete = is_complete and complete
            else:
                name = target.res_target.name or column_result_name(value) or "?column?"
                named_nodes = [(name, self.proof.node(value))]
            for name, one in named_nodes:
                output = self._build_column(name, one)
                if one in state.tenant_columns:
                    tenants.add(len(outputs))
                    returned_nodes.add(one)
                    output = output._replace(can_lack_tenant=not self.proof.null_means_no_tenant(one))
                elif one is None and self.proof.is_made_of_tenants(value, state, before, is_grouped=is_grouped):
                    tenants.add(len(outputs))
                    output = output._replace(
                        can_lack_tenant=not self.proof.null_of_value_means_no_tenant(value, before)
                    )
                outputs.append(output)
        if state.has_tenant_rows:
            for one in sorted((state.tenant_columns & kept) - returned_nodes, key=str):
                if isinstance(one, ColumnRef) and one.source in own:
                    tenants.add(len(outputs))
                    outputs.append(
                        self._build_column("", one)._replace(
                            is_hidden=True, can_lack_tenant=not self.proof.null_means_no_tenant(one)
                        )
                    )
        if not state.has_tenant_rows:
            return RowSet(outputs=tuple(outputs), is_complete=is_complete)
        return RowSet(
            outputs=tuple(outputs),
            is_complete=is_complete,
            has_tenant_rows=True,
            tenants=frozenset(tenants),
            tenant_constants=state.tenant_constants(own),
            expose_tenant=self._exposing_fix(state, own),
            use_as_tenant=self._retargeting_fix(state, own),
        )

    def _build_column(self, name: str, node: Node | None) -> RowColumn:
        if not isinstance(node, ColumnRef) or node.source not in self.work.sources:
            return RowColumn(name=name)
        output = self.work.sources[node.source].find_output(node.key)
        if output is None:
            return RowColumn(name=name)
        origin = None
        if output.origin:
            origin = ColumnOrigin((node.source, *output.origin.row), output.origin.table, output.origin.column)
        has_sets = any(one.WhichOneof("node") == "grouping_set" for one in self.select.group_clause)
        return RowColumn(
            name=name, type=output.type, origin=origin, is_nullable=has_sets or not is_never_null(self.work, node)
        )

    def _exposing_fix(self, state: TenantState, own: frozenset[int]) -> Callable[[], None] | None:
        node = self.work.find_reachable(state.tenant_columns, own)
        if node is None:
            return next(
                (
                    source.relation.expose_tenant
                    for one in sorted(state.tenant_columns, key=str)
                    if isinstance(one, ColumnRef)
                    and (source := self.work.sources.get(one.source))
                    and source.relation.expose_tenant
                ),
                None,
            )

        def write() -> None:
            name = (
                "" if isinstance(node, ColumnRef) and node.key == self.work.tenant_column else self.work.tenant_column
            )
            value = self.work.make_reference(node)
            self.select.target_list.append(pb.Node(res_target=pb.ResTarget(name=name, val=value)))

        return write

    def _retargeting_fix(self, state: TenantState, own: frozenset[int]) -> Callable[[int], None] | None:
        node = self.work.find_reachable(state.tenant_columns, own)
        if node is None or any(is_star(one.res_target.val) for one in self.select.target_list):
            return None

        def write(number: int) -> None:
            if number < len(self.select.target_list):
                self.select.target_list[number].res_target.val.CopyFrom(self.work.make_reference(node))

        return write
