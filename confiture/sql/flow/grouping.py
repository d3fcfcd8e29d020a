"""Where rows are put together: GROUP BY and aggregates, DISTINCT, windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.expressions import aggregates
from confiture.sql.flow.keys import rows_of, settled
from confiture.sql.flow.meeting import State
from confiture.sql.flow.outputs import Targets
from confiture.sql.flow.relations import Node, Relation
from confiture.sql.flow.work import Work, location_of
from confiture.sql.tree import pb, strings


def after_groups(work: Work, select: Any, targets: Targets, state: State, own: frozenset[int]) -> State:
    """The groups of rows: each must be of one tenant."""
    if not state.reads or not state.members:
        return state
    always, sets = _grouped(targets, select.group_clause)
    always |= _tenants_of(targets, select.group_clause, state)
    kept = state.fixed(own) | (always & state.members) | _settled(work, always, state, own)
    if kept:
        return State(True, kept)
    for alternatives in sets:
        if alternatives and all(one & state.members for one in alternatives):
            return State(True, frozenset().union(*alternatives) & state.members)
    work.report(
        Leak.GROUPING,
        Grade.ERROR,
        _message(work, select),
        _place(select),
        fix=_fix(work, select, state, own),
    )
    return State(True)


def _tenants_of(targets: Targets, clause: Sequence[Any], state: State) -> frozenset[Node]:
    """The members in items such as `coalesce(a.tenant_id, b.tenant_id)`, which all rows of a group have or have not."""
    found: set[Node] = set()
    for item in map(targets.references.expression, clause):
        kind = item.WhichOneof("node")
        is_coalesce = kind == "coalesce_expr" and targets.proof.holds_tenant(
            item, state, state.members, is_grouped=False
        )
        if is_coalesce or (kind == "case_expr" and targets.proof.distinguishes_tenants(item, state)):
            found |= {node for one in _columns(item) if (node := targets.proof.node(one)) in state.members}
    return frozenset(found)


def _columns(item: Any) -> Iterable[Any]:
    """The results that COALESCE or CASE may have."""
    if item.WhichOneof("node") == "coalesce_expr":
        return list(item.coalesce_expr.args)
    return [one.case_when.result for one in item.case_expr.args] + [item.case_expr.defresult]


def _message(work: Work, select: Any) -> str:
    if any(one.WhichOneof("node") == "grouping_set" for one in select.group_clause):
        return f"a grouping set leaves out {work.column}: its groups have rows of all tenants"
    if select.group_clause:
        return f"GROUP BY leaves out {work.column}: a group can have rows of several tenants"
    return "the aggregate is over the rows of all tenants"


def _place(select: Any) -> int:
    if select.group_clause:
        return location_of(select.group_clause[0])
    for item in select.target_list:
        for call in aggregates(item):
            return int(getattr(call, "location", -1))
    return location_of(select.having_clause) if select.HasField("having_clause") else -1


def _fix(work: Work, select: Any, state: State, own: frozenset[int]) -> Callable[[], None] | None:
    if any(one.WhichOneof("node") == "grouping_set" for one in select.group_clause):
        return None
    node = work.visible(state.members, own)
    if node is None:
        return None
    column = work.reference(node)
    shown = {
        one.res_target.name or one.res_target.val.column_ref.fields[-1].string.sval
        for one in select.target_list
        if one.res_target.name or one.res_target.val.WhichOneof("node") == "column_ref"
    }

    def write() -> None:
        select.group_clause.insert(0, column)
        if work.column not in shown and not select.group_clause[1:]:
            select.target_list.append(pb.Node(res_target=pb.ResTarget(name=work.column, val=column)))

    return write


def _grouped(targets: Targets, clause: Sequence[Any]) -> tuple[frozenset[Node], list[list[frozenset[Node]]]]:
    """The nodes that all groups have, and of each list of grouping sets the nodes of each set."""
    always: set[Node] = set()
    sets: list[list[frozenset[Node]]] = []
    for item in clause:
        if item.WhichOneof("node") == "grouping_set":
            sets.append(list(_alternatives(targets, item.grouping_set)))
        else:
            always.update(_nodes(targets, [item]))
    return frozenset(always), sets


def _alternatives(targets: Targets, node: Any) -> Iterable[frozenset[Node]]:
    if node.kind != pb.GROUPING_SET_SETS:
        # ROLLUP and CUBE have the group of all rows among theirs
        yield frozenset()
        return
    for item in node.content:
        if item.WhichOneof("node") == "grouping_set":
            yield from _alternatives(targets, item.grouping_set)
        else:
            yield frozenset(_nodes(targets, [item]))


def _nodes(targets: Targets, items: Iterable[Any]) -> Iterable[Node]:
    for item in items:
        if item.WhichOneof("node") == "row_expr":
            yield from _nodes(targets, item.row_expr.args)
        elif item.WhichOneof("node") == "list":
            yield from _nodes(targets, item.list.items)
        else:
            found = targets.references.node(item)
            if found is not None:
                yield found


def _settled(work: Work, given: Iterable[Node], state: State, own: frozenset[int]) -> frozenset[Node]:
    """The members that are settled by a key among the nodes `given`."""
    sources = [work.sources[number] for number in own if number in work.sources and number not in work.nullable]
    return frozenset(settled(rows_of(sources, work.facts), frozenset(given), work.facts)) & state.members


def _keep_apart(work: Work, targets: Targets, items: Sequence[Any], state: State, own: frozenset[int]) -> bool:
    """Whether rows that are the same in these expressions are of one tenant."""
    nodes = frozenset(_nodes(targets, items))
    if any(targets.proof.distinguishes_tenants(item, state) for item in items):
        return True
    if any(targets.proof.null_means_no_tenant(one) for one in nodes & state.members):
        return True
    return bool(_settled(work, nodes, state, own))


def kept_by_distinct(work: Work, select: Any, targets: Targets, state: State, own: frozenset[int]) -> frozenset[Node]:
    """The members that are the same in all rows that DISTINCT makes one; all where it only leaves rows out."""
    if not select.distinct_clause or any(item.WhichOneof("node") for item in select.distinct_clause):
        return state.members
    nodes = (targets.proof.node(item.res_target.val) for item in select.target_list)
    return _settled(work, [node for node in nodes if node is not None], state, own)


def after_distinct(
    work: Work, select: Any, targets: Targets, relation: Relation, state: State, own: frozenset[int]
) -> Relation:
    """The rows of DISTINCT: rows of several tenants must not become one."""
    if relation.fixed or (relation.is_lost and not state.members):
        return relation
    on = [item for item in select.distinct_clause if item.WhichOneof("node")]
    if on:
        if _keep_apart(work, targets, on, state, own):
            return relation
    elif relation.tenants:
        return relation
    message = f"DISTINCT leaves out {work.column}: rows of several tenants become one"
    work.report(
        Leak.GROUPING,
        Grade.ERROR,
        message,
        _distinct_place(select, on),
        fix=_distinct_fix(work, select, on, state, own, relation),
    )
    return replace(relation, tenants=frozenset())


def _distinct_place(select: Any, on: Sequence[Any]) -> int:
    return location_of(on[0] if on else select.target_list[0])


def _distinct_fix(
    work: Work, select: Any, on: Sequence[Any], state: State, own: frozenset[int], relation: Relation
) -> Callable[[], None] | None:
    if not on:
        return relation.expose
    node = work.visible(state.members, own)
    if node is None:
        return None
    column = work.reference(node)

    def write() -> None:
        select.distinct_clause.insert(0, column)
        if select.sort_clause:
            by = pb.SortBy(node=column, sortby_dir=pb.SORTBY_DEFAULT, sortby_nulls=pb.SORTBY_NULLS_DEFAULT)
            select.sort_clause.insert(0, pb.Node(sort_by=by))

    return write


_NUMBERING = frozenset({"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile"})
"""What gives rows numbers: they depend on the rows of other tenants, but hold nothing of them."""


def check_windows(work: Work, targets: Targets, state: State, own: frozenset[int]) -> None:
    """Reports windows over rows of several tenants."""
    if not state.reads or not state.members or state.fixed(own):
        return
    for call, window in targets.windows:
        if _keep_apart(work, targets, window.partition_clause, state, own):
            continue
        name = strings(call.funcname)[-1] if hasattr(call, "funcname") else "the aggregate"
        message = f"the window of {name} is not partitioned by {work.column}: it has rows of all tenants"
        location = int(getattr(call, "location", -1))
        grade = Grade.WARNING if name in _NUMBERING else Grade.ERROR
        work.report(Leak.GROUPING, grade, message, location, fix=_window_fix(work, window, state, own))


def _window_fix(work: Work, window: Any, state: State, own: frozenset[int]) -> Callable[[], None] | None:
    node = work.visible(state.members, own)
    if node is None:
        return None
    column = work.reference(node)
    return lambda: window.partition_clause.insert(0, column)
