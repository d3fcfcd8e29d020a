"""MERGE: what each of its actions writes, and by which rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.joins import Flow
from confiture.sql.flow.meeting import State
from confiture.sql.flow.relations import Column, Relation
from confiture.sql.flow.returning import check_lacking, returning
from confiture.sql.flow.scopes import Around, Item, Scope
from confiture.sql.flow.sources import Join, Leaf, build, named
from confiture.sql.flow.targets import Target
from confiture.sql.flow.updating import report_shared_target
from confiture.sql.flow.work import Work, location_of
from confiture.sql.tree import flatten_and, pb


def merge(work: Work, node: Any, around: Around) -> Relation:
    """Goes through a MERGE, and gives what its RETURNING gives."""
    target = Target.of(work, node.relation)
    into = named(work, node.relation, Around())
    tree, items = build(work, node.source_relation, [], around)
    scope = Scope((Item.of(into), *items), around.scope)
    conditions = list(flatten_and(node.join_condition))
    pairs = [
        pair
        for condition in conditions
        for pair in work.expressions.pairs(condition, scope, has_variables=around.has_variables)
    ]
    join = Join("full", Leaf(into), tree, pairs, frozenset(), None, scope, (), Leak.REACH)
    flow = Flow(work, scope, around, pb.SelectStmt(), mended=(node, "join_condition"))
    flow.loose = [
        pair for condition in conditions for pair in work.expressions.pairs(condition, scope, with_nulls=True)
    ]
    state = flow.run([join], Leak.REACH)
    state = flow.subqueries(node.join_condition, state)
    if not into.relation.reads and state.reads and state.members:
        report_shared_target(work, target, node)
    for item in node.merge_when_clauses:
        _check_action(work, item.merge_when_clause, target, flow, state)
    if not returning(node):
        return Relation()
    work.unknown("RETURNING of MERGE is not followed")
    return Relation(is_complete=False)


def _check_action(work: Work, action: Any, target: Target, flow: Flow, state: State) -> None:
    for item in (action.condition, *action.target_list, *action.values):
        state = flow.subqueries(item, state)
    if target.tenant is None or not state.members:
        return
    values = list(action.values)
    names = [item.res_target.name for item in action.target_list] or list(target.columns)
    if action.command_type == pb.CMD_UPDATE:
        for item in action.target_list:
            if item.res_target.name == target.tenant:
                _check_written(work, target, item.res_target.val, flow, state)
    elif action.command_type == pb.CMD_INSERT and values:
        if target.tenant not in names:
            message = f"MERGE INTO {target.name} does not write {target.tenant}"
            fix = _fix(work, action, target, flow, state)
            work.report(Leak.NOT_WRITTEN, Grade.ERROR, message, location_of(action), relation=str(target.name), fix=fix)
        else:
            _check_written(work, target, values[names.index(target.tenant)], flow, state)


def _fix(work: Work, action: Any, target: Target, flow: Flow, state: State) -> Callable[[], None] | None:
    others = flow.scope.sources() - {min(flow.scope.sources())}
    node = work.visible(state.members, others)
    if node is None or not action.target_list:
        return None
    column = work.reference(node)

    def write() -> None:
        action.target_list.append(pb.Node(res_target=pb.ResTarget(name=target.tenant or "")))
        action.values.append(column)

    return write


def _check_written(work: Work, target: Target, value: Any, flow: Flow, state: State) -> None:
    node = flow.node(value)
    if isinstance(node, Column) and node in state.members:
        output = work.sources[node.source].output(node.key)
        if output is not None:
            check_lacking(work, output, f"{target.name}.{target.tenant}", location_of(value))
    if node not in state.members:
        message = f"{target.name}.{target.tenant} gets a value that is not the tenant of the rows read"
        others = flow.scope.sources() - {min(flow.scope.sources())}
        right = work.visible(state.members, others)
        column = work.reference(right) if right is not None else None
        fix = (lambda: value.CopyFrom(column)) if column is not None else None
        work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location_of(value), relation=str(target.name), fix=fix)
