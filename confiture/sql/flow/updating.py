"""UPDATE and DELETE: which rows they change, by which others, and whose these are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.joins import Flow
from confiture.sql.flow.keys import picked, rows_of
from confiture.sql.flow.meeting import State
from confiture.sql.flow.relations import Column, Equalities, Relation, Source
from confiture.sql.flow.returning import returned, returning
from confiture.sql.flow.scopes import Around, Item, Scope
from confiture.sql.flow.sources import Leaf, Tree, build, named
from confiture.sql.flow.targets import Target
from confiture.sql.flow.work import Work, add_condition, location_of
from confiture.sql.tree import flatten_and, pb, strings


def delete(work: Work, node: Any, around: Around) -> Relation:
    """Goes through a DELETE, and gives what its RETURNING gives."""
    changed = _Changed.of(work, node, node.using_clause, around)
    state = changed.flow.run(changed.trees, Leak.REACH)
    return returned(work, node, changed.flow, state)


def update(work: Work, node: Any, around: Around) -> Relation:
    """Goes through an UPDATE, and gives what its RETURNING gives."""
    changed = _Changed.of(work, node, node.from_clause, around)
    target, source, flow = changed.target, changed.source, changed.flow
    assigned = _assigned(node, target.tenant)
    settles = assigned is not None and not changed.is_tied()
    if settles:
        # rows that get their tenant only now are nobody's yet
        source.relation = replace(source.relation, reads=False, tenants=frozenset())
    state = flow.run(changed.trees, Leak.REACH)
    for item in node.target_list:
        state = flow.subqueries(item, state)
    if assigned is None:
        if state.reads and not source.relation.reads and state.members and not state.fixed(flow.own):
            report_shared_target(work, target, node)
    elif settles:
        changed.check_settling(state, assigned)
    elif state.reads and state.members and flow.node(assigned) not in state.members:
        message = f"{target.name}.{target.tenant} gets a value that is not the tenant of the row"
        work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location_of(assigned), relation=str(target.name))
    if assigned is not None and returning(node):
        work.unknown(f"RETURNING of an UPDATE that sets {target.tenant} is not followed")
    return returned(work, node, flow, state)


def report_shared_target(work: Work, target: Target, node: Any) -> None:
    """Reports a table that is no tenant's and is changed by rows of tenants."""
    message = f"{target.name} is no tenant's, and gets values of rows of tenants"
    work.report(Leak.REACH, Grade.WARNING, message, node.relation.location, relation=str(target.name))


def _assigned(node: Any, column: str | None) -> Any | None:
    """What an UPDATE sets the tenant column to, None where it does not set it."""
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
class _Changed:
    """A table whose rows are changed, `source` as a relation, and what else the statement reads."""

    work: Work
    node: Any
    target: Target
    source: Source
    trees: Sequence[Tree]
    flow: Flow

    @classmethod
    def of(cls, work: Work, node: Any, others: Sequence[Any], around: Around) -> _Changed:
        """`others` is FROM or USING."""
        source = named(work, node.relation, Around())
        trees: list[Tree] = [Leaf(source)]
        items = [Item.of(source)]
        for clause in others:
            tree, found = build(work, clause, items, around)
            trees.append(tree)
            items += found
        flow = Flow(work, Scope(tuple(items), around.scope), around, node)
        return cls(work, node, Target.of(work, node.relation), source, trees, flow)

    @property
    def tenant(self) -> Column:
        """The tenant of the rows before."""
        return Column(self.source.number, self.target.tenant or "")

    def is_tied(self) -> bool:
        """Whether WHERE compares the tenant of the rows with something: then they have one already."""
        return any(
            self.tenant in pair
            for condition in flatten_and(self.node.where_clause)
            for with_nulls in (False, True)
            for pair in self.work.expressions.pairs(condition, self.flow.scope, with_nulls=with_nulls)
        )

    def check_settling(self, state: State, assigned: Any) -> None:
        """Where rows are given their tenant: it must be the one of a single row, and of rows that have none yet."""
        value, name = self.flow.node(assigned), str(self.target.name)
        if state.reads and not state.members:
            return
        if state.reads and value not in state.members:
            message = f"{name}.{self.target.tenant} gets a value that is not the tenant of the rows read"
            self.work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location_of(assigned), relation=name)
            return
        is_single = value in self.work.expressions.scalars.values() or bool(state.fixed(self.flow.own))
        if state.reads and not is_single and not self._is_picked():
            message = f"several rows can give {name} its {self.target.tenant}: which of them does is left to chance"
            self.work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location_of(assigned), relation=name)
            return
        if not (self._is_empty_before() or self._keeps(assigned)):
            self._report_moved(location_of(assigned))

    def _is_picked(self) -> bool:
        """Whether a key picks the one row that a row gets its tenant of."""
        work, flow = self.work, self.flow
        pairs = [
            pair
            for condition in flatten_and(self.node.where_clause)
            for pair in work.expressions.pairs(condition, flow.scope, has_variables=flow.around.has_variables)
        ]
        others = frozenset(flow.own - {self.source.number})
        rows = list(rows_of([work.sources[one] for one in sorted(others) if one in work.sources], work.facts))
        row = picked(rows, Equalities(pairs), others, work.facts)
        if row is None or len(others) > 1:
            return False
        name = self.target.name
        work.proofs[f"a unique key picks the row of {row.table.name} that gives {name} its {self.target.tenant}"] = None
        return True

    def _is_empty_before(self) -> bool:
        """Whether WHERE takes only rows that have no tenant."""
        for part in flatten_and(self.node.where_clause):
            if part.WhichOneof("node") == "null_test" and part.null_test.nulltesttype == pb.IS_NULL:
                arg = part.null_test.arg
                if arg.WhichOneof("node") == "column_ref" and strings(arg.column_ref.fields)[-1] == self.target.tenant:
                    return True
        return False

    def _keeps(self, assigned: Any) -> bool:
        """Whether a row that has a tenant keeps it: the column itself, or COALESCE of that and something else."""
        if assigned.WhichOneof("node") == "coalesce_expr":
            assigned = assigned.coalesce_expr.args[0]
        return self.flow.node(assigned) == self.tenant

    def _report_moved(self, location: int) -> None:
        name, tenant = self.target.name, self.target.tenant
        column = self.target.column(tenant or "")
        if column is not None and column.not_null:
            message = f"rows of {name} have a {tenant}, and get another"
            self.work.report(Leak.REACH, Grade.ERROR, message, location, relation=str(name))
            return
        message = f"rows of {name} that have a {tenant} already can get another"
        test = pb.NullTest(arg=self.work.reference(self.tenant), nulltesttype=pb.IS_NULL)
        condition = pb.Node(null_test=test)
        fix = lambda: add_condition(self.node, "where_clause", condition)  # noqa: E731 - bound to this statement
        self.work.report(Leak.REACH, Grade.WARNING, message, location, relation=str(name), fix=fix)
