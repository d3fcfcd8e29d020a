"""Where two sides meet that both have tenants' rows: whether their tenants are equal, and what is told where not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.keys import Row, picked, prove, rows_of
from confiture.sql.flow.relations import Column, Constant, Equalities, Node, Source
from confiture.sql.flow.sources import Join, Tree
from confiture.sql.flow.work import Work, add_condition, equation, location_of
from confiture.sql.tree import pb

Require = Callable[[Any], None]
"""Adds a condition to the statement, where the rows of FROM are chosen."""


@dataclass(frozen=True, slots=True)
class State:
    """Whether tenants' rows were read, and which nodes hold the tenant of each row."""

    reads: bool = False
    members: frozenset[Node] = frozenset()

    def is_fixed(self, own: frozenset[int]) -> bool:
        """Whether all rows are those of one tenant, which a constant or a query around this one names."""
        return any(isinstance(one, Constant) or one.source not in own for one in self.members)

    def fixed(self, own: frozenset[int]) -> frozenset[Node]:
        """The members that name that tenant."""
        return frozenset(one for one in self.members if isinstance(one, Constant) or one.source not in own)


def linked(work: Work, left: State, right: State, equal: Equalities) -> bool:
    """Whether equalities, or keys together with them, say that the tenants of both are the same.

    What keys prove is added to `equal`.
    """
    if equal.reach(left.members) & equal.reach(right.members):
        return True
    for one, other, why in prove(_rows(work, equal), equal, work.facts):
        equal.add(one, other)
        if why and equal.reach(left.members) & equal.reach(right.members):
            work.proofs[why] = None
    return bool(equal.reach(left.members) & equal.reach(right.members))


def graded(work: Work, equal: Equalities, one: frozenset[int], other: frozenset[int]) -> tuple[Grade, str]:
    """How bad it is where two sides, given by their sources, meet without their tenants being equal, and why."""
    rows = _rows(work, equal)
    for side in (one, other):
        row = picked(rows, equal, side, work.facts)
        if row:
            why = f"the key picks one row of {row.table.name}, but the other side may be of another tenant"
            return Grade.WARNING, why
    sources = [work.sources[number] for number in one | other if number in work.sources]
    if any(source.table is None and not source.relation.is_complete for source in sources):
        return Grade.WARNING, "its keys are not known"
    return Grade.ERROR, "rows of different tenants meet"


def _rows(work: Work, equal: Equalities) -> list[Row]:
    numbers = {node.source for node in equal.nodes() if isinstance(node, Column)}
    return list(rows_of([work.sources[one] for one in sorted(numbers) if one in work.sources], work.facts))


def shown_source(work: Work, tree: Tree, state: State) -> Source:
    """The source of a tree that a message names: one with tenants."""
    members = {one.source for one in state.members if isinstance(one, Column)}
    found = [work.sources[one] for one in sorted(tree.sources) if one in members]
    return found[0] if found else work.sources[min(tree.sources)]


def report_join(work: Work, tree: Join, left: State, right: State, equal: Equalities, require: Require) -> None:
    """Reports a join of tenants' rows that nothing keeps apart."""
    here, there = shown_source(work, tree.left, left), shown_source(work, tree.right, right)
    grade, how = graded(work, equal, tree.left.sources, tree.right.sources)
    quals = tree.node.quals if tree.node is not None and tree.node.HasField("quals") else None
    location = location_of(quals) if quals is not None else getattr(there.node, "location", -1)
    if tree.leak is Leak.REACH:
        message = f"rows of {here.label} are matched with {there.label} without {work.column}: {how}"
    else:
        message = f"{there.label} is joined to {here.label} without {work.column}: {how}"
    fix = _fix(work, tree, left, right, require)
    work.report(tree.leak, grade, message, location, relation=here.called, fix=fix)


def _fix(work: Work, tree: Join, left: State, right: State, require: Require) -> Callable[[], None] | None:
    sides = []
    for state, side in ((left, tree.left), (right, tree.right)):
        own = frozenset(one for one in state.members if isinstance(one, Column) and one.source in side.sources)
        node = work.visible(own, side.sources)
        if node is None:
            hidden = next((work.sources[one.source] for one in sorted(own)), None)
            return hidden.relation.expose if hidden else None
        sides.append(node)
    one, other = (work.reference(node) for node in sides)
    if tree.node is None:
        return lambda: require(equation(other, one))
    if tree.node.using_clause:
        if isinstance(sides[0], Column) and isinstance(sides[1], Column) and sides[0].key == sides[1].key:
            name = pb.Node(string=pb.String(sval=sides[0].key))
            return lambda: tree.node.using_clause.append(name)
        return None
    return lambda: add_condition(tree.node, "quals", equation(other, one))


def leads(work: Work, node: Node) -> bool:
    """Whether a row in which this node, which holds the tenant, is NULL is no tenant's."""
    if not isinstance(node, Column):
        return True
    output = work.sources[node.source].output(node.key) if node.source in work.sources else None
    return node.source not in work.nullable and not (output is not None and output.may_lack)


def is_set(work: Work, node: Node | None) -> bool:
    """Whether a column is never NULL."""
    if not isinstance(node, Column) or node.source not in work.sources or node.source in work.nullable:
        return False
    output = work.sources[node.source].output(node.key)
    return output is not None and not output.may_be_null
