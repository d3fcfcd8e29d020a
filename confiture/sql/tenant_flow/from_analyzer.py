"""Tenant isolation in constructs that combine relations: joins, WHERE, and subqueries in expressions.

For the rows of a join, the analysis tracks the members, which are the nodes that contain either the tenant of the row
or NULL. All members that are not NULL in a row have the same value, and a tenant's rows do not depend on whether other
tenants have rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import flatten_and, pb, strings
from confiture.sql.tenant_flow.context import AnalysisContext, add_condition, make_equality
from confiture.sql.tenant_flow.expressions import Pair, find_subqueries
from confiture.sql.tenant_flow.from_tree import FromJoin, FromLeaf, Tree
from confiture.sql.tenant_flow.row_sets import ColumnRef, EquivalenceClasses, Node, RowSet, TenantConstant
from confiture.sql.tenant_flow.scopes import NameScope, OuterContext
from confiture.sql.tenant_flow.tenant_joins import (
    TenantState,
    is_never_null,
    is_same_tenant,
    mismatch_grade,
    missing_equality_text,
    null_means_no_tenant,
    report_join,
    representative_source,
)

_ROW = re.compile(r"variable (?:new|old)\.")


@dataclass(frozen=True, slots=True)
class _WhereClause:
    """The conditions in WHERE. `as_joins` are the locations of the subqueries that `memberships` join."""

    memberships: Sequence[FromLeaf]
    pairs: Sequence[Pair]
    null_rejecting: frozenset[int]
    """The sources that must have a row for the WHERE to be true."""
    as_joins: frozenset[int]


@dataclass(slots=True)
class FromAnalyzer:
    """Analyzes FROM and WHERE in a query, UPDATE, or DELETE.

    `holder` is the parse tree node that contains the WHERE.
    """

    context: AnalysisContext
    scope: NameScope
    outer: OuterContext
    holder: Any
    is_plain: bool = True
    """Whether each row is returned as a separate row, so that conditions in the outer query still apply to it."""
    own: frozenset[int] = frozenset()
    null_safe_pairs: list[Pair] = field(default_factory=list)
    correction: tuple[Any, str] | None = None
    """The node and the field to which a missing condition is added; None for the WHERE of `holder`."""

    def node(self, expression: Any) -> Node | None:
        """Return the column or constant that an expression consists of."""
        return self.context.expressions.find_node(expression, self.scope, has_variables=self.outer.has_variables)

    def run(self, trees: Sequence[Tree], leak: TenancyIssueKind = TenancyIssueKind.JOIN) -> TenantState:
        """Analyze FROM and WHERE, and return the state of their rows.

        `leak` is the issue kind for a missing equality with the first tree.
        """
        where = self._read_where()
        trees = [*trees, *where.memberships]
        if not trees:
            return self.apply_subqueries(self.holder.where_clause, TenantState(), where.as_joins)
        tree = _join_from_items(trees, leak)
        self.own = tree.sources | self.scope.sources()
        equal = EquivalenceClasses(where.pairs)
        state = self._combine(tree, equal, where.null_rejecting)
        state = _add_equal_members(state, equal)
        state = self._within_outer_query(state, tree, equal)
        self._check_trigger(state, tree, equal)
        return self.apply_subqueries(self.holder.where_clause, state, where.as_joins)

    def _read_where(self) -> _WhereClause:
        """Return the conditions in WHERE, and extend `null_safe_pairs`."""
        expressions, scope = self.context.expressions, self.scope
        memberships: list[FromLeaf] = []
        pairs: list[Pair] = []
        refused: set[int] = set()
        as_joins: set[int] = set()
        for condition in list(flatten_and(self.holder.where_clause)):
            pairs += expressions.equal_pairs(condition, scope, has_variables=self.outer.has_variables)
            refused.update(expressions.null_rejecting_sources(condition, scope))
            self.null_safe_pairs += expressions.equal_pairs(condition, scope, with_nulls=True)
            member_of = self._parse_membership(condition)
            if member_of:
                as_joins.add(condition.sub_link.location)
                memberships.append(member_of[0])
                pairs += member_of[1]
        # an equality with NULL is not true
        refused.update(side.source for pair in pairs for side in pair if isinstance(side, ColumnRef))
        return _WhereClause(memberships, pairs, frozenset(refused), frozenset(as_joins))

    def _parse_membership(self, condition: Any) -> tuple[FromLeaf, list[Pair]] | None:
        """Return `x IN (SELECT ...)` as a join; None for other conditions."""
        if condition.WhichOneof("node") != "sub_link" or condition.sub_link.sub_link_type != pb.ANY_SUBLINK:
            return None
        link = condition.sub_link
        if link.oper_name and strings(link.oper_name)[-1] != "=":
            return None
        outer = self.outer.nested(self.scope, is_joined=True)
        relation = self.context.query(link.subselect.select_stmt, outer)
        source = self.context.add_source("IN", _hide_names(relation), link)
        operands = link.testexpr.row_expr.args if link.testexpr.WhichOneof("node") == "row_expr" else [link.testexpr]
        pairs: list[Pair] = []
        for expression, key in zip(operands, source.keys, strict=False):
            node = self.context.expressions.find_node(expression, self.scope, has_variables=self.outer.has_variables)
            if node is not None:
                pairs.append((node, ColumnRef(source.number, key)))
        return FromLeaf(source), pairs

    def _combine(self, tree: Tree, equal: EquivalenceClasses, refused: frozenset[int]) -> TenantState:
        """Return the state of those rows of a tree for which `equal` holds and which contain a row from each of
        `refused`.
        """
        if isinstance(tree, FromLeaf):
            relation = tree.source.relation
            return TenantState(
                relation.has_tenant_rows,
                equal.closure(tree.source.tenant_columns()) if relation.has_tenant_rows else frozenset(),
            )
        kind = _reduce_join_kind(tree, refused)
        if kind == "inner":
            inside = equal.with_pairs(tree.pairs)
            both = refused | tree.null_rejecting
            left, right = self._combine(tree.left, inside, both), self._combine(tree.right, inside, both)
            inside = inside.with_pairs(self._null_safe_tenant_pairs(tree))
            reads = self._check_tenants_meet(tree, left, right, inside)
            members = inside.closure(left.tenant_columns | right.tenant_columns)
        elif kind == "full":
            inside, nothing = EquivalenceClasses(tree.pairs), EquivalenceClasses()
            left = self._combine(tree.left, nothing, frozenset())
            right = self._combine(tree.right, nothing, frozenset())
            inside = inside.with_pairs(self._null_safe_tenant_pairs(tree))
            self.context.nullable.update(tree.left.sources | tree.right.sources)
            reads = self._check_tenants_meet(tree, left, right, inside)
            members = self._after_full(tree, left, right, inside)
        else:
            preserved, nullable = (tree.left, tree.right) if kind == "left" else (tree.right, tree.left)
            inside = equal.with_pairs(tree.pairs)
            left = self._combine(preserved, equal, refused)
            right = self._combine(nullable, inside, tree.null_rejecting)
            inside = inside.with_pairs(self._null_safe_tenant_pairs(tree))
            self.context.nullable.update(nullable.sources)
            reads = self._check_tenants_meet(tree, left, right, inside)
            members = self._nodes_after_left_join(preserved, nullable, left, right, inside)
        if tree.node is not None:
            return self.apply_subqueries(tree.node.quals, TenantState(reads, members), frozenset(), tree.scope)
        return TenantState(reads, members if reads else frozenset())

    def _null_safe_tenant_pairs(self, tree: FromJoin) -> list[Pair]:
        """Return the IS NOT DISTINCT FROM equalities that bind tenants.

        Rows for which both sides are NULL belong to no tenant.
        """
        loose = tree.null_safe_pairs if tree.node is not None else self.null_safe_pairs
        return [
            pair
            for pair in loose
            if all(null_means_no_tenant(self.context, node) for node in pair)
            or any(is_never_null(self.context, node) for node in pair)
        ]

    def _nodes_after_left_join(
        self, kept: Tree, added: Tree, left: TenantState, right: TenantState, inside: EquivalenceClasses
    ) -> frozenset[Node]:
        if not right.has_tenant_rows:
            return left.tenant_columns
        if left.has_tenant_rows:
            return left.tenant_columns | _columns(right.tenant_columns, added.sources)
        single = _single_node(inside.closure(right.tenant_columns), kept.sources)
        outside = {
            one for one in right.tenant_columns if not isinstance(one, ColumnRef) or one.source not in kept.sources
        }
        lateral = {one for source in self._leaves(added) for one in source.relation.tenant_constants}
        return frozenset(outside) | single | frozenset(lateral)

    def _after_full(
        self, tree: FromJoin, left: TenantState, right: TenantState, inside: EquivalenceClasses
    ) -> frozenset[Node]:
        members = _columns(left.tenant_columns | right.tenant_columns, tree.sources) | (
            left.tenant_columns & right.tenant_columns
        )
        for one, other, side in ((left, right, tree.right), (right, left, tree.left)):
            if one.has_tenant_rows and not other.has_tenant_rows:
                members = one.tenant_columns | _single_node(inside.closure(one.tenant_columns), side.sources)
        merged_nodes = [
            merged
            for merged, one, other in tree.merged
            if _has_member(one, left, members) and _has_member(other, right, members)
        ]
        return members | frozenset(merged_nodes)

    def _leaves(self, tree: Tree) -> Iterable[Any]:
        return (self.context.sources[number] for number in tree.sources if number in self.context.sources)

    def _check_tenants_meet(
        self, tree: FromJoin, left: TenantState, right: TenantState, equal: EquivalenceClasses
    ) -> bool:
        """Return whether a join reads tenant rows; report the join if nothing isolates the tenants."""
        if (
            left.has_tenant_rows
            and right.has_tenant_rows
            and left.tenant_columns
            and right.tenant_columns
            and not is_same_tenant(self.context, left, right, equal)
        ):
            report_join(self.context, tree, left, right, equal, self._require)
        return left.has_tenant_rows or right.has_tenant_rows

    def _require(self, condition: Any) -> None:
        add_condition(*(self.correction or (self.holder, "where_clause")), condition)

    def _within_outer_query(self, state: TenantState, tree: Tree, equal: EquivalenceClasses) -> TenantState:
        """Return the state of a subquery, which must match the tenant of the outer query's rows."""
        scope = self.outer.scope
        if not state.has_tenant_rows or not state.tenant_columns or scope is None or state.is_fixed(self.own):
            return state
        outer_members = _scope_members(scope, self.context)
        if not outer_members:
            return state
        outside = TenantState(True, outer_members)
        if is_same_tenant(self.context, state, outside, equal):
            return TenantState(True, equal.closure(state.tenant_columns))
        if self.outer.is_joined and (self.is_plain or not self._is_correlated(equal)):
            return state
        self._report_subquery(state, outer_members, tree, equal)
        return TenantState(True, state.tenant_columns | outer_members)

    def _check_trigger(self, state: TenantState, tree: Tree, equal: EquivalenceClasses) -> None:
        """Report a trigger that finds rows by values from the written row but not by its tenant."""
        if not self.outer.is_trigger:
            return
        by_row = [one for one in equal.nodes() if isinstance(one, TenantConstant) and _ROW.match(one.text)]
        if not by_row or not state.has_tenant_rows or not state.tenant_columns or state.is_fixed(self.own):
            return
        source = representative_source(self.context, tree, state)
        grade, how = mismatch_grade(self.context, equal, self.own, frozenset())
        message = f"the trigger reads {source.label} without the {self.context.tenant_column} of its row: {how}"
        self.context.report_issue(TenancyIssueKind.CROSS_WRITE, grade, message, relation=source.table_or_alias)

    def _is_correlated(self, equal: EquivalenceClasses) -> bool:
        return any(isinstance(one, ColumnRef) and one.source not in self.own for one in equal.nodes())

    def _report_subquery(
        self, state: TenantState, around: frozenset[Node], tree: Tree, equal: EquivalenceClasses
    ) -> None:
        work = self.context
        source = representative_source(self.context, tree, state)
        outer = frozenset(one.source for one in around if isinstance(one, ColumnRef))
        grade, how = mismatch_grade(self.context, equal, self.own, outer)
        inside, outside = work.find_reachable(state.tenant_columns, self.own), work.find_reachable(around, outer)
        fix = None
        if inside is not None and outside is not None:
            condition = make_equality(work.make_reference(inside), work.make_reference(outside))
            fix = lambda: self._require(condition)  # noqa: E731 - bound to this query
        elif inside is None:
            fix = source.relation.expose_tenant
        message = f"the subquery reads {source.label} without {work.tenant_column}: {how}"
        message += missing_equality_text(work, inside, outside)
        location = getattr(source.node, "location", -1)
        work.report_issue(TenancyIssueKind.JOIN, grade, message, location, relation=source.table_or_alias, fix=fix)

    def apply_subqueries(
        self, expression: Any, state: TenantState, seen: Iterable[int] = (), scope: NameScope | None = None
    ) -> TenantState:
        """Analyze the subqueries of an expression that is evaluated for each row of `state`."""
        if not self.context.has_subqueries or expression.WhichOneof("node") is None:
            return state
        joined = set(seen)
        for link in find_subqueries(expression):
            if link.location in joined:
                continue
            outer = self.outer.nested(scope or self.scope)
            if self._is_of_same_tenant(link, outer, state):
                continue
            relation = self.context.query(link.subselect.select_stmt, outer)
            state = self._after_subquery(link, relation, state)
        return state

    def _is_of_same_tenant(self, link: Any, around: OuterContext, state: TenantState) -> bool:
        """Whether a test such as `(tenant_id, id) NOT IN (SELECT tenant_id, ...)` compares row tenants.

        If a tenant is NULL, the result of the test is unknown, so NULL must be excluded.
        """
        operators = {pb.ANY_SUBLINK: "=", pb.ALL_SUBLINK: "<>"}
        operator = strings(link.oper_name)[-1] if link.oper_name else "="
        if operators.get(link.sub_link_type) != operator or not state.tenant_columns or around.scope is None:
            return False
        operands = [link.testexpr]
        if link.testexpr.WhichOneof("node") == "row_expr":
            operands = list(link.testexpr.row_expr.args)
        inside = self.outer.nested(around.scope, is_joined=True)
        relation = self.context.query(link.subselect.select_stmt, inside)
        for number in sorted(relation.tenants):
            output = relation.outputs[number]
            if output.is_hidden or number >= len(operands):
                continue
            node = self.context.expressions.find_node(operands[number], around.scope)
            if node is None or node not in state.tenant_columns:
                continue
            if output.is_nullable or not null_means_no_tenant(self.context, node):
                message = f"if {self.context.tenant_column} is NULL, NOT IN depends on the rows of other tenants"
                self.context.report_issue(TenancyIssueKind.JOIN, TenancyGrade.WARNING, message, link.location)
            return True
        return False

    def _after_subquery(self, link: Any, relation: RowSet, state: TenantState) -> TenantState:
        if (
            not relation.has_tenant_rows
            or relation.has_unknown_tenant
            or relation.tenant_constants & state.tenant_columns
        ):
            return state
        if not state.has_tenant_rows and relation.tenant_constants:
            return TenantState(True, relation.tenant_constants)
        if not state.has_tenant_rows and link.sub_link_type == pb.EXPR_SUBLINK and 0 in relation.tenants:
            source = self.context.add_source("", relation, link)
            node = ColumnRef(source.number, source.keys[0])
            self.context.expressions.scalars[link.location] = node
            self.own |= {source.number}
            return TenantState(True, frozenset({node}))
        if state.has_tenant_rows and not state.tenant_columns:
            return state
        message = "the subquery reads rows of all tenants, or of a different tenant than the outer query"
        self.context.report_issue(TenancyIssueKind.JOIN, TenancyGrade.ERROR, message, link.location)
        return TenantState(True, state.tenant_columns)


def _join_from_items(trees: Sequence[Tree], leak: TenancyIssueKind) -> Tree:
    """Return the FROM items as one tree."""
    tree = trees[0]
    for other in trees[1:]:
        tree = FromJoin("inner", tree, other, issue_kind=leak)
    return tree


def _add_equal_members(state: TenantState, equal: EquivalenceClasses) -> TenantState:
    """Add the nodes that equal a member to the members. The rows stay the same."""
    return TenantState(state.has_tenant_rows, equal.closure(state.tenant_columns)) if state.has_tenant_rows else state


def _hide_names(relation: RowSet) -> RowSet:
    """Return the relation with columns that cannot be named, like the columns of a subquery in an expression."""
    return replace(relation, expose_tenant=None)


def _reduce_join_kind(tree: FromJoin, refused: frozenset[int]) -> str:
    """Return the effective kind of a join if its rows must contain a row from each of `refused`."""
    keeps_left = tree.kind in ("left", "full") and not refused & tree.right.sources
    keeps_right = tree.kind in ("right", "full") and not refused & tree.left.sources
    if keeps_left and keeps_right:
        return "full"
    if keeps_left:
        return "left"
    return "right" if keeps_right else "inner"


def _columns(members: Iterable[Node], sources: frozenset[int]) -> frozenset[Node]:
    return frozenset(one for one in members if isinstance(one, ColumnRef) and one.source in sources)


def _single_node(nodes: Iterable[Node], sources: frozenset[int]) -> frozenset[Node]:
    """Return the only node of these sources; none if there are several, because their values can differ in unmatched
    rows.
    """
    columns = _columns(nodes, sources)
    return columns if len(columns) == 1 else frozenset()


def _has_member(node: Node, side: TenantState, members: frozenset[Node]) -> bool:
    return not side.has_tenant_rows or node in members


def _scope_members(scope: NameScope, work: AnalysisContext) -> frozenset[Node]:
    """Return the tenant nodes of the relations in a scope, or of the outer scope if these relations read no tenant
    rows.
    """
    sources = [work.sources[number] for number in scope.sources() if number in work.sources]
    members = frozenset(
        node for source in sources if source.relation.has_tenant_rows for node in source.tenant_columns()
    )
    if members or scope.outer is None:
        return members
    return _scope_members(scope.outer, work)
