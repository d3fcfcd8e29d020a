"""Queries: what each gives, and whose rows that are."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.grouping import after_distinct, after_groups, check_windows, kept_by_distinct
from confiture.sql.flow.joins import Flow
from confiture.sql.flow.meeting import State
from confiture.sql.flow.outputs import Targets
from confiture.sql.flow.relations import Node, Origin, Output, Relation
from confiture.sql.flow.scopes import Around, Item, Scope
from confiture.sql.flow.sources import Tree, build, renamed
from confiture.sql.flow.work import Work, location_of
from confiture.sql.tree import pb, strings


def query(work: Work, select: Any, around: Around) -> Relation:
    """What a SELECT, VALUES or set operation gives."""
    relation = _followed(work, select, with_queries(work, select, around))
    if relation.is_lost and not work.issues:
        # it is reported where tenants are lost; if ever it is not, nothing may be called safe
        work.unknown("whose the rows of a query are is lost on the way")
    return relation


def _followed(work: Work, select: Any, around: Around) -> Relation:
    if select.HasField("larg"):
        relation = _set_operation(work, select, around)
    elif select.values_lists:
        relation = _values(work, select, around)
    else:
        return _simple(work, select, around)
    return _after_limit(work, select, relation, around)


def _after_limit(work: Work, select: Any, relation: Relation, around: Around) -> Relation:
    """What LIMIT and ORDER BY leave of VALUES or a set operation."""
    flow = Flow(work, Scope((), around.scope), around, select)
    for expression in (*select.sort_clause, select.limit_count, select.limit_offset):
        if flow.subqueries(expression, State()).reads:
            message = "the subquery in LIMIT, OFFSET or ORDER BY reads rows of tenants"
            work.report(Leak.JOIN, Grade.ERROR, message, location_of(expression))
    if relation.reads and not relation.fixed and is_limited(select):
        return _limited(work, select, relation)
    return relation


def with_queries(work: Work, node: Any, around: Around) -> Around:
    """What is around the rest of a statement that has a WITH clause."""
    if not node.HasField("with_clause"):
        return around
    for item in node.with_clause.ctes:
        one = item.common_table_expr
        inside = around.inside(around.scope, is_joined=True)
        kind = one.ctequery.WhichOneof("node")
        inner = getattr(one.ctequery, kind)
        if one.HasField("search_clause") or one.HasField("cycle_clause"):
            work.unknown("SEARCH and CYCLE are not followed", one.location)
        if kind == "select_stmt" and node.with_clause.recursive and inner.HasField("larg"):
            relation = _recursive(work, one, inner, inside)
        else:
            relation = work.nested(kind, inner, inside)
        known = {**around.common, one.ctename: renamed(relation, strings(one.aliascolnames))}
        around = replace(around, common=known)
    return around


def _recursive(work: Work, one: Any, select: Any, around: Around) -> Relation:
    """A recursive query: what it gives when its own rows are of the tenants that come out again."""
    around = with_queries(work, select, around)
    names = strings(one.aliascolnames)
    base = query(work, select.larg, around)
    found = replace(base, outputs=tuple(output._replace(origin=None) for output in base.outputs), expose=None)
    found = _first(base, found)
    for _ in range(8):
        before = len(work.issues)
        inside = replace(around, common={**around.common, one.ctename: renamed(found, names)})
        again = _union(work, select, base, query(work, select.rarg, inside))
        if (again.tenants, again.fixed, again.reads) == (found.tenants, found.fixed, found.reads):
            return again
        del work.issues[before:]
        found = replace(again, expose=None)
    work.unknown("the recursion is not followed to its end", one.location)
    return found


def _first(base: Relation, without: Relation) -> Relation:
    """What the recursive part sees at first: columns keep what they are taken from, which the union then narrows."""
    visible = tuple(one for one in base.outputs if not one.is_hidden)
    tenants = frozenset(number for number in base.tenants if number < len(visible))
    return replace(without, outputs=visible, tenants=tenants)


def _set_operation(work: Work, select: Any, around: Around) -> Relation:
    return _union(work, select, query(work, select.larg, around), query(work, select.rarg, around))


def _union(work: Work, select: Any, left: Relation, right: Relation) -> Relation:
    """Both branches together: a column holds the tenant where it does in each branch that reads tenants' rows."""
    outputs = _aligned(left, right)
    complete = left.is_complete and right.is_complete
    if not (left.reads or right.reads):
        return Relation(outputs=outputs, is_complete=complete)
    reading = [one for one in (left, right) if one.reads]
    tenants = frozenset(range(len(outputs))).intersection(*(one.tenants for one in reading))
    if len(reading) == 1 and len(tenants) > 1:
        # rows that are no tenant's may have different values in them
        tenants = frozenset({min(tenants, key=lambda number: (outputs[number].name != work.column, number))})
    fixed = reading[0].fixed.intersection(*(one.fixed for one in reading))
    if not tenants and not fixed and not any(one.is_lost for one in reading):
        _report_branch(work, select, left, right)
    exposes = [one.expose for one in reading if one.expose]

    def expose() -> None:
        for write in exposes:
            write()

    def retarget(number: int) -> None:
        for one in reading:
            if one.retarget and number not in one.tenants:
                one.retarget(number)

    able = len(exposes) == 2 or (len(reading) == 2 and bool(exposes))
    return Relation(
        outputs=outputs,
        is_complete=complete,
        reads=True,
        tenants=tenants,
        fixed=fixed,
        expose=expose if able else None,
        retarget=retarget,
    )


def _report_branch(work: Work, select: Any, left: Relation, right: Relation) -> None:
    visible = [frozenset(n for n in one.tenants if not one.outputs[n].is_hidden) for one in (left, right)]
    kind = {pb.SETOP_UNION: "UNION", pb.SETOP_INTERSECT: "INTERSECT", pb.SETOP_EXCEPT: "EXCEPT"}.get(select.op, "")
    wrong = 0 if visible[1] and not visible[0] else 1
    branch = (select.larg, select.rarg)[wrong]
    relation = (left, right)[wrong]
    location = location_of(branch)
    kept = (visible[1 - wrong] or {0}) if visible[1 - wrong] else None
    fix = None
    if kept and relation.retarget:
        place = min(kept)
        retarget = relation.retarget
        fix = lambda: retarget(place)  # noqa: E731 - bound to this branch
    elif not any(visible) and left.expose and right.expose:
        exposes = (left.expose, right.expose)

        def fix() -> None:
            for write in exposes:
                write()

    message = f"this branch of {kind} does not give {work.column} where the other does"
    if not any(visible):
        message = f"neither branch of {kind} gives {work.column}"
    work.report(Leak.BRANCH, Grade.ERROR, message, location, fix=fix)


def _aligned(left: Relation, right: Relation) -> tuple[Output, ...]:
    """The columns of two branches: those of the first, taken from the same column of a table or from none."""
    here = [one for one in left.outputs if not one.is_hidden]
    there = [one for one in right.outputs if not one.is_hidden]
    outputs = []
    for number, one in enumerate(here):
        other = there[number] if number < len(there) else Output(name="")
        origin = None
        if one.origin and other.origin and one.origin[1:] == other.origin[1:]:
            origin = Origin((*one.origin.row, -1, *other.origin.row), *one.origin[1:])
        kind = one.type if one.type == other.type else ""
        nullable = one.may_be_null or other.may_be_null
        lacks = one.may_lack or other.may_lack
        outputs.append(Output(name=one.name, type=kind, origin=origin, may_be_null=nullable, may_lack=lacks))
    return tuple(outputs)


def _values(work: Work, select: Any, around: Around) -> Relation:
    """VALUES: rows of no tenant, but for what subqueries in them read."""
    flow = Flow(work, Scope((), around.scope), around, select)
    state = State()
    for row in select.values_lists:
        for item in row.list.items:
            state = flow.subqueries(item, state)
    width = len(select.values_lists[0].list.items)
    outputs = tuple(Output(name=f"column{number}") for number in range(1, width + 1))
    if not state.reads:
        return Relation(outputs=outputs)

    def node(item: Any) -> Node | None:
        return work.expressions.node(item, flow.scope, has_variables=around.has_variables)

    tenants = frozenset(
        number
        for number in range(width)
        if all(node(row.list.items[number]) in state.members for row in select.values_lists)
    )
    return Relation(outputs=outputs, reads=True, tenants=tenants, fixed=state.fixed(flow.own))


def _simple(work: Work, select: Any, around: Around) -> Relation:
    trees: list[Tree] = []
    items: list[Item] = []
    for node in select.from_clause:
        tree, found = build(work, node, items, around)
        trees.append(tree)
        items += found
    scope = Scope(tuple(items), around.scope)
    targets = Targets(work, select, scope, around)
    is_grouped = bool(select.group_clause) or select.HasField("having_clause") or targets.aggregates()
    is_plain = not (is_grouped or select.distinct_clause or is_limited(select) or targets.windows)
    flow = Flow(work, scope, around, select, is_plain)
    state = flow.run(trees)
    clauses = (
        select.target_list,
        select.group_clause,
        select.distinct_clause,
        select.sort_clause,
        select.window_clause,
    )
    for expression in chain(*clauses, (select.limit_count, select.limit_offset)):
        state = flow.subqueries(expression, state)
    if select.HasField("having_clause"):
        state = flow.subqueries(select.having_clause, state)
    rows = state
    if is_grouped:
        state = after_groups(work, select, targets, state, flow.own)
    check_windows(work, targets, state, flow.own)
    kept = kept_by_distinct(work, select, targets, state, flow.own)
    relation = targets.relation(state, rows.members, flow.own, kept, is_grouped=is_grouped)
    if select.distinct_clause and relation.reads:
        relation = after_distinct(work, select, targets, relation, state, flow.own)
    if relation.reads and not relation.fixed and not relation.is_lost and is_limited(select):
        relation = _limited(work, select, relation)
    return relation


def is_limited(select: Any) -> bool:
    """Whether LIMIT, FETCH or OFFSET leave rows out."""
    limits = [getattr(select, name) for name in ("limit_count", "limit_offset") if select.HasField(name)]
    return any(not (one.WhichOneof("node") == "a_const" and one.a_const.isnull) for one in limits)


def _limited(work: Work, select: Any, relation: Relation) -> Relation:
    name = "limit_count" if select.HasField("limit_count") else "limit_offset"
    message = "LIMIT and OFFSET count over the rows of all tenants"
    work.report(Leak.LIMIT, Grade.WARNING, message, location_of(getattr(select, name)))
    return replace(relation, tenants=frozenset())
