"""Whether tenants stay apart where relations meet: joins, WHERE, and the subqueries in expressions.

Of the rows that come out of a join it is known which nodes hold the tenant of a row, or NULL (the members). All that
do hold one in a row hold the same, and the rows of a tenant are the same whether other tenants have rows or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.expressions import Pair, subqueries
from confiture.sql.flow.meeting import State, graded, is_set, leads, linked, report_join, shown_source
from confiture.sql.flow.relations import Column, Constant, Equalities, Node, Relation
from confiture.sql.flow.scopes import Around, Scope
from confiture.sql.flow.sources import Join, Leaf, Tree
from confiture.sql.flow.work import Work, add_condition, equation
from confiture.sql.tree import flatten_and, pb, strings

_ROW = re.compile(r"variable (?:new|old)\.")


@dataclass(frozen=True, slots=True)
class _Where:
    """What WHERE says. `as_joins` are the locations of the subqueries that `memberships` join."""

    memberships: Sequence[Leaf]
    pairs: Sequence[Pair]
    refused: frozenset[int]
    """The sources without whose row it is not true."""
    as_joins: frozenset[int]


@dataclass(slots=True)
class Flow:
    """FROM and WHERE of a query, UPDATE or DELETE. `holder` is the node of the tree that has the WHERE."""

    work: Work
    scope: Scope
    around: Around
    holder: Any
    is_plain: bool = True
    """Whether each of its rows comes out as a row of its own: conditions from around then come in time."""
    own: frozenset[int] = frozenset()
    loose: list[Pair] = field(default_factory=list)
    mended: tuple[Any, str] | None = None
    """The node and its field that get a missing condition; None for the WHERE of `holder`."""

    def node(self, expression: Any) -> Node | None:
        """The column or constant that an expression is."""
        return self.work.expressions.node(expression, self.scope, has_variables=self.around.has_variables)

    def run(self, trees: Sequence[Tree], leak: Leak = Leak.JOIN) -> State:
        """What comes out of FROM and WHERE. `leak` is what a missing equality with the first tree is."""
        where = self._read_where()
        trees = [*trees, *where.memberships]
        if not trees:
            return self.subqueries(self.holder.where_clause, State(), where.as_joins)
        tree = _inner_joins(trees, leak)
        self.own = tree.sources | self.scope.sources()
        equal = Equalities(where.pairs)
        state = self._combine(tree, equal, where.refused)
        state = _with_equals(state, equal)
        state = self._within_around(state, tree, equal)
        self._check_trigger(state, tree, equal)
        return self.subqueries(self.holder.where_clause, state, where.as_joins)

    def _read_where(self) -> _Where:
        """Reads the conditions of WHERE. Adds to `loose`."""
        expressions, scope = self.work.expressions, self.scope
        memberships: list[Leaf] = []
        pairs: list[Pair] = []
        refused: set[int] = set()
        as_joins: set[int] = set()
        for condition in list(flatten_and(self.holder.where_clause)):
            pairs += expressions.pairs(condition, scope, has_variables=self.around.has_variables)
            refused.update(expressions.refused_nulls(condition, scope))
            self.loose += expressions.pairs(condition, scope, with_nulls=True)
            member_of = self._membership(condition)
            if member_of:
                as_joins.add(condition.sub_link.location)
                memberships.append(member_of[0])
                pairs += member_of[1]
        # an equality of NULL is not true
        refused.update(side.source for pair in pairs for side in pair if isinstance(side, Column))
        return _Where(memberships, pairs, frozenset(refused), frozenset(as_joins))

    def _membership(self, condition: Any) -> tuple[Leaf, list[Pair]] | None:
        """`x IN (SELECT ...)` as a join; None for other conditions."""
        if condition.WhichOneof("node") != "sub_link" or condition.sub_link.sub_link_type != pb.ANY_SUBLINK:
            return None
        link = condition.sub_link
        if link.oper_name and strings(link.oper_name)[-1] != "=":
            return None
        around = self.around.inside(self.scope, is_joined=True)
        relation = self.work.query(link.subselect.select_stmt, around)
        source = self.work.source("IN", _without_names(relation), link)
        tested = link.testexpr.row_expr.args if link.testexpr.WhichOneof("node") == "row_expr" else [link.testexpr]
        pairs: list[Pair] = []
        for expression, key in zip(tested, source.keys, strict=False):
            node = self.work.expressions.node(expression, self.scope, has_variables=self.around.has_variables)
            if node is not None:
                pairs.append((node, Column(source.number, key)))
        return Leaf(source), pairs

    def _combine(self, tree: Tree, equal: Equalities, refused: frozenset[int]) -> State:
        """What comes out of a tree, of the rows for which `equal` holds and that have a row of each of `refused`."""
        if isinstance(tree, Leaf):
            relation = tree.source.relation
            return State(relation.reads, equal.reach(tree.source.members()) if relation.reads else frozenset())
        kind = _reduced(tree, refused)
        if kind == "inner":
            inside = equal.extended(tree.pairs)
            both = refused | tree.refused
            left, right = self._combine(tree.left, inside, both), self._combine(tree.right, inside, both)
            inside = inside.extended(self._leading(tree))
            reads = self._meeting(tree, left, right, inside)
            members = inside.reach(left.members | right.members)
        elif kind == "full":
            inside, nothing = Equalities(tree.pairs), Equalities()
            left = self._combine(tree.left, nothing, frozenset())
            right = self._combine(tree.right, nothing, frozenset())
            inside = inside.extended(self._leading(tree))
            self.work.nullable.update(tree.left.sources | tree.right.sources)
            reads = self._meeting(tree, left, right, inside)
            members = self._after_full(tree, left, right, inside)
        else:
            kept, added = (tree.left, tree.right) if kind == "left" else (tree.right, tree.left)
            inside = equal.extended(tree.pairs)
            left = self._combine(kept, equal, refused)
            right = self._combine(added, inside, tree.refused)
            inside = inside.extended(self._leading(tree))
            self.work.nullable.update(added.sources)
            reads = self._meeting(tree, left, right, inside)
            members = self._after_left(kept, added, left, right, inside)
        if tree.node is not None:
            return self.subqueries(tree.node.quals, State(reads, members), frozenset(), tree.scope)
        return State(reads, members if reads else frozenset())

    def _leading(self, tree: Join) -> list[Pair]:
        """The equalities by IS NOT DISTINCT FROM that tie tenants: where both are NULL the rows are no tenant's."""
        loose = tree.loose if tree.node is not None else self.loose
        return [
            pair
            for pair in loose
            if all(leads(self.work, node) for node in pair) or any(is_set(self.work, node) for node in pair)
        ]

    def _after_left(self, kept: Tree, added: Tree, left: State, right: State, inside: Equalities) -> frozenset[Node]:
        if not right.reads:
            return left.members
        if left.reads:
            return left.members | _columns(right.members, added.sources)
        single = _single(inside.reach(right.members), kept.sources)
        outside = {one for one in right.members if not isinstance(one, Column) or one.source not in kept.sources}
        lateral = {one for source in self._leaves(added) for one in source.relation.fixed}
        return frozenset(outside) | single | frozenset(lateral)

    def _after_full(self, tree: Join, left: State, right: State, inside: Equalities) -> frozenset[Node]:
        members = _columns(left.members | right.members, tree.sources) | (left.members & right.members)
        for one, other, side in ((left, right, tree.right), (right, left, tree.left)):
            if one.reads and not other.reads:
                members = one.members | _single(inside.reach(one.members), side.sources)
        found = [
            merged for merged, one, other in tree.merged if _holds(one, left, members) and _holds(other, right, members)
        ]
        return members | frozenset(found)

    def _leaves(self, tree: Tree) -> Iterable[Any]:
        return (self.work.sources[number] for number in tree.sources if number in self.work.sources)

    def _meeting(self, tree: Join, left: State, right: State, equal: Equalities) -> bool:
        """Whether tenants' rows are in a join; reports it where nothing keeps them apart."""
        if left.reads and right.reads and left.members and right.members and not linked(self.work, left, right, equal):
            report_join(self.work, tree, left, right, equal, self._require)
        return left.reads or right.reads

    def _require(self, condition: Any) -> None:
        add_condition(*(self.mended or (self.holder, "where_clause")), condition)

    def _within_around(self, state: State, tree: Tree, equal: Equalities) -> State:
        """The same for a subquery that must belong to the tenant of the rows of the query around it."""
        scope = self.around.scope
        if not state.reads or not state.members or scope is None or state.is_fixed(self.own):
            return state
        around = _members_of(scope, self.work)
        if not around:
            return state
        outside = State(True, around)
        if linked(self.work, state, outside, equal):
            return State(True, equal.reach(state.members))
        if self.around.is_joined and (self.is_plain or not self._is_correlated(equal)):
            return state
        self._report_subquery(state, around, tree, equal)
        return State(True, state.members | around)

    def _check_trigger(self, state: State, tree: Tree, equal: Equalities) -> None:
        """Reports what a trigger finds by the row that was written, but not by the tenant of that row."""
        if not self.around.is_trigger:
            return
        by_row = [one for one in equal.nodes() if isinstance(one, Constant) and _ROW.match(one.text)]
        if not by_row or not state.reads or not state.members or state.is_fixed(self.own):
            return
        source = shown_source(self.work, tree, state)
        grade, how = graded(self.work, equal, self.own, frozenset())
        message = f"the trigger finds rows of {source.label} without the {self.work.column} of its row: {how}"
        self.work.report(Leak.REACH, grade, message, relation=source.called)

    def _is_correlated(self, equal: Equalities) -> bool:
        return any(isinstance(one, Column) and one.source not in self.own for one in equal.nodes())

    def _report_subquery(self, state: State, around: frozenset[Node], tree: Tree, equal: Equalities) -> None:
        work = self.work
        source = shown_source(self.work, tree, state)
        outer = frozenset(one.source for one in around if isinstance(one, Column))
        grade, how = graded(self.work, equal, self.own, outer)
        inside, outside = work.visible(state.members, self.own), work.visible(around, outer)
        fix = None
        if inside is not None and outside is not None:
            condition = equation(work.reference(inside), work.reference(outside))
            fix = lambda: self._require(condition)  # noqa: E731 - bound to this query
        elif inside is None:
            fix = source.relation.expose
        message = f"the subquery reads {source.label} without {work.column}: {how}"
        location = getattr(source.node, "location", -1)
        work.report(Leak.JOIN, grade, message, location, relation=source.called, fix=fix)

    def subqueries(self, expression: Any, state: State, seen: Iterable[int] = (), scope: Scope | None = None) -> State:
        """Goes through the subqueries of an expression that is evaluated for each row of `state`."""
        if not self.work.has_subqueries or expression.WhichOneof("node") is None:
            return state
        known = set(seen)
        for link in subqueries(expression):
            if link.location in known:
                continue
            around = self.around.inside(scope or self.scope)
            if self._is_of_same_tenant(link, around, state):
                continue
            relation = self.work.query(link.subselect.select_stmt, around)
            state = self._after_subquery(link, relation, state)
        return state

    def _is_of_same_tenant(self, link: Any, around: Around, state: State) -> bool:
        """Whether a test such as `(tenant_id, id) NOT IN (SELECT tenant_id, ...)` compares the tenants of rows.

        A tenant that is NULL makes the test unknown, so there must be none.
        """
        operators = {pb.ANY_SUBLINK: "=", pb.ALL_SUBLINK: "<>"}
        operator = strings(link.oper_name)[-1] if link.oper_name else "="
        if operators.get(link.sub_link_type) != operator or not state.members or around.scope is None:
            return False
        tested = [link.testexpr]
        if link.testexpr.WhichOneof("node") == "row_expr":
            tested = list(link.testexpr.row_expr.args)
        inside = self.around.inside(around.scope, is_joined=True)
        relation = self.work.query(link.subselect.select_stmt, inside)
        for number in sorted(relation.tenants):
            output = relation.outputs[number]
            if output.is_hidden or number >= len(tested):
                continue
            node = self.work.expressions.node(tested[number], around.scope)
            if node is None or node not in state.members:
                continue
            if output.may_be_null or not leads(self.work, node):
                message = f"where {self.work.column} is NULL, NOT IN depends on the rows of other tenants"
                self.work.report(Leak.JOIN, Grade.WARNING, message, link.location)
            return True
        return False

    def _after_subquery(self, link: Any, relation: Relation, state: State) -> State:
        if not relation.reads or relation.is_lost or relation.fixed & state.members:
            return state
        if not state.reads and relation.fixed:
            return State(True, relation.fixed)
        if not state.reads and link.sub_link_type == pb.EXPR_SUBLINK and 0 in relation.tenants:
            source = self.work.source("", relation, link)
            node = Column(source.number, source.keys[0])
            self.work.expressions.scalars[link.location] = node
            self.own |= {source.number}
            return State(True, frozenset({node}))
        if state.reads and not state.members:
            return state
        message = "the subquery reads rows of all tenants, or of another than the query around it"
        self.work.report(Leak.JOIN, Grade.ERROR, message, link.location)
        return State(True, state.members)


def _inner_joins(trees: Sequence[Tree], leak: Leak) -> Tree:
    """The items of FROM as one tree."""
    tree = trees[0]
    for other in trees[1:]:
        tree = Join("inner", tree, other, leak=leak)
    return tree


def _with_equals(state: State, equal: Equalities) -> State:
    """The same rows: what equals one of their members is one too."""
    return State(state.reads, equal.reach(state.members)) if state.reads else state


def _without_names(relation: Relation) -> Relation:
    """A relation whose columns no name reaches, as those of a subquery in an expression."""
    return replace(relation, expose=None)


def _reduced(tree: Join, refused: frozenset[int]) -> str:
    """The kind of a join, given that rows must have a row of each of `refused`."""
    keeps_left = tree.kind in ("left", "full") and not refused & tree.right.sources
    keeps_right = tree.kind in ("right", "full") and not refused & tree.left.sources
    if keeps_left and keeps_right:
        return "full"
    if keeps_left:
        return "left"
    return "right" if keeps_right else "inner"


def _columns(members: Iterable[Node], sources: frozenset[int]) -> frozenset[Node]:
    return frozenset(one for one in members if isinstance(one, Column) and one.source in sources)


def _single(nodes: Iterable[Node], sources: frozenset[int]) -> frozenset[Node]:
    """The one node of these sources; none where there are several, which rows without a match may have different."""
    found = _columns(nodes, sources)
    return found if len(found) == 1 else frozenset()


def _holds(node: Node, side: State, members: frozenset[Node]) -> bool:
    return not side.reads or node in members


def _members_of(scope: Scope, work: Work) -> frozenset[Node]:
    """The tenants of what a scope names; where that reads none, of the scope around it."""
    found = [work.sources[number] for number in scope.sources() if number in work.sources]
    members = frozenset(node for source in found if source.relation.reads for node in source.members())
    if members or scope.outer is None:
        return members
    return _members_of(scope.outer, work)
