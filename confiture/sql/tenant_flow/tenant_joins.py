"""Joins between two sides that both contain tenant rows: whether the tenants are equal, and the issue if not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.expressions import format_expression
from confiture.sql.parse_tree import pb
from confiture.sql.tenant_flow.context import AnalysisContext, add_condition, find_location, make_equality
from confiture.sql.tenant_flow.from_tree import FromJoin, Tree
from confiture.sql.tenant_flow.keys import TableRow, find_table_rows, prove_equal_tenants, row_pinned_by_key
from confiture.sql.tenant_flow.row_sets import ColumnRef, EquivalenceClasses, FromSource, Node, TenantConstant

AddCondition = Callable[[Any], None]
"""Add a condition to the clause of the statement that filters the FROM rows."""


@dataclass(frozen=True, slots=True)
class TenantState:
    """Whether tenant rows were read, and which nodes contain the tenant of each row."""

    has_tenant_rows: bool = False
    tenant_columns: frozenset[Node] = frozenset()

    def is_fixed(self, own_sources: frozenset[int]) -> bool:
        """Whether all rows belong to one tenant, given by a constant or an outer query."""
        return any(isinstance(one, TenantConstant) or one.source not in own_sources for one in self.tenant_columns)

    def tenant_constants(self, own_sources: frozenset[int]) -> frozenset[Node]:
        """Return the members that determine that tenant."""
        return frozenset(
            one for one in self.tenant_columns if isinstance(one, TenantConstant) or one.source not in own_sources
        )


def is_same_tenant(
    context: AnalysisContext, left: TenantState, right: TenantState, equalities: EquivalenceClasses
) -> bool:
    """Return whether the equalities, possibly combined with keys, imply that the tenants on both sides are equal.

    Equalities that keys prove are added to `equalities`.
    """
    if equalities.closure(left.tenant_columns) & equalities.closure(right.tenant_columns):
        return True
    for one, other, why in prove_equal_tenants(_rows_in_equalities(context, equalities), equalities, context.facts):
        equalities.add_equality(one, other)
        if why and equalities.closure(left.tenant_columns) & equalities.closure(right.tenant_columns):
            context.proofs[why] = None
    return bool(equalities.closure(left.tenant_columns) & equalities.closure(right.tenant_columns))


def mismatch_grade(
    context: AnalysisContext,
    equalities: EquivalenceClasses,
    left_sources: frozenset[int],
    right_sources: frozenset[int],
) -> tuple[TenancyGrade, str]:
    """Return the grade, and the reason, for combining two sides (given by their sources) without equal tenants.

    Without any equality between the sides, no key can relate their rows, no matter what is unknown about the tables.
    """
    if right_sources and not _are_related(equalities, left_sources, right_sources):
        return TenancyGrade.ERROR, "rows of different tenants are combined"
    rows = _rows_in_equalities(context, equalities)
    for side in (left_sources, right_sources):
        row = row_pinned_by_key(rows, equalities, side, context.facts)
        if row:
            why = f"the key identifies one row of {row.table.name}, but the other side can belong to another tenant"
            return TenancyGrade.WARNING, why
    sources = [context.sources[number] for number in left_sources | right_sources if number in context.sources]
    if any(source.table is None and not source.relation.is_complete for source in sources):
        return TenancyGrade.WARNING, "its keys are unknown"
    return TenancyGrade.ERROR, "rows of different tenants are combined"


def _are_related(equalities: EquivalenceClasses, left_sources: frozenset[int], right_sources: frozenset[int]) -> bool:
    """Whether some column on one side equals a column on the other side."""
    left = [one for one in equalities.nodes() if isinstance(one, ColumnRef) and one.source in left_sources]
    equal = equalities.closure(left)
    return any(isinstance(one, ColumnRef) and one.source in right_sources for one in equal)


def missing_equality_text(context: AnalysisContext, one: Node | None, other: Node | None) -> str:
    """Return text that names the columns that would have to be equal; empty if no names refer to them."""
    sides = [context.make_reference(node) if node is not None else None for node in (one, other)]
    if None in sides:
        return ""
    return f"; {format_expression(make_equality(*sides))} is missing"


def _rows_in_equalities(context: AnalysisContext, equalities: EquivalenceClasses) -> list[TableRow]:
    numbers = {node.source for node in equalities.nodes() if isinstance(node, ColumnRef)}
    return list(
        find_table_rows([context.sources[one] for one in sorted(numbers) if one in context.sources], context.facts)
    )


def representative_source(context: AnalysisContext, tree: Tree, state: TenantState) -> FromSource:
    """Return the source that represents a tree in messages, preferably one with tenants."""
    members = {one.source for one in state.tenant_columns if isinstance(one, ColumnRef)}
    sources = [context.sources[one] for one in sorted(tree.sources) if one in members]
    return sources[0] if sources else context.sources[min(tree.sources)]


def report_join(
    context: AnalysisContext,
    tree: FromJoin,
    left: TenantState,
    right: TenantState,
    equalities: EquivalenceClasses,
    add_condition_to: AddCondition,
) -> None:
    """Report a join of tenant rows that nothing isolates."""
    here, there = representative_source(context, tree.left, left), representative_source(context, tree.right, right)
    grade, how = mismatch_grade(context, equalities, tree.left.sources, tree.right.sources)
    quals = tree.node.quals if tree.node is not None and tree.node.HasField("quals") else None
    location = find_location(quals) if quals is not None else getattr(there.node, "location", -1)
    if tree.issue_kind is TenancyIssueKind.CROSS_WRITE:
        message = f"rows of {here.label} are matched with {there.label} without {context.tenant_column}: {how}"
    else:
        message = f"{there.label} is joined to {here.label} without {context.tenant_column}: {how}"
    sides = [
        context.find_reachable(_own_tenant_columns(state, side), side.sources)
        for state, side in ((right, tree.right), (left, tree.left))
    ]
    message += missing_equality_text(context, *sides)
    fix = _make_join_fix(context, tree, left, right, add_condition_to)
    context.report_issue(tree.issue_kind, grade, message, location, relation=here.table_or_alias, fix=fix)


def _own_tenant_columns(state: TenantState, side: Tree) -> frozenset[ColumnRef]:
    """Return the tenant columns in a state that belong to one side's sources."""
    return frozenset(one for one in state.tenant_columns if isinstance(one, ColumnRef) and one.source in side.sources)


def _make_join_fix(
    context: AnalysisContext, tree: FromJoin, left: TenantState, right: TenantState, add_condition_to: AddCondition
) -> Callable[[], None] | None:
    sides = []
    for state, side in ((left, tree.left), (right, tree.right)):
        own = _own_tenant_columns(state, side)
        node = context.find_reachable(own, side.sources)
        if node is None:
            hidden = next((context.sources[one.source] for one in sorted(own)), None)
            return hidden.relation.expose_tenant if hidden else None
        sides.append(node)
    one, other = (context.make_reference(node) for node in sides)
    if tree.node is None:
        return lambda: add_condition_to(make_equality(other, one))
    if tree.node.using_clause:
        if isinstance(sides[0], ColumnRef) and isinstance(sides[1], ColumnRef) and sides[0].key == sides[1].key:
            name = pb.Node(string=pb.String(sval=sides[0].key))
            return lambda: tree.node.using_clause.append(name)
        return None
    return lambda: add_condition(tree.node, "quals", make_equality(other, one))


def null_means_no_tenant(context: AnalysisContext, node: Node) -> bool:
    """Whether a row for which this tenant node is NULL belongs to no tenant."""
    if not isinstance(node, ColumnRef):
        return True
    output = context.sources[node.source].find_output(node.key) if node.source in context.sources else None
    return node.source not in context.nullable and not (output is not None and output.can_lack_tenant)


def is_never_null(context: AnalysisContext, node: Node | None) -> bool:
    """Whether a column is never NULL."""
    if not isinstance(node, ColumnRef) or node.source not in context.sources or node.source in context.nullable:
        return False
    output = context.sources[node.source].find_output(node.key)
    return output is not None and not output.is_nullable
