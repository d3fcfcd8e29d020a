"""Queries: the rows that they return, and the tenants of these rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import pb, strings
from confiture.sql.tenant_flow.context import AnalysisContext, find_location
from confiture.sql.tenant_flow.from_analyzer import FromAnalyzer
from confiture.sql.tenant_flow.from_tree import Tree, build_from_tree, with_column_names
from confiture.sql.tenant_flow.group_by import apply_distinct, apply_group_by, check_windows, constant_within_distinct
from confiture.sql.tenant_flow.row_sets import ColumnOrigin, Node, RowColumn, RowSet
from confiture.sql.tenant_flow.scopes import NameScope, OuterContext, ScopeItem
from confiture.sql.tenant_flow.select_list import SelectList
from confiture.sql.tenant_flow.tenant_joins import TenantState


def analyze_query(context: AnalysisContext, select: Any, outer: OuterContext) -> RowSet:
    """Return the rows of a SELECT, VALUES, or set operation."""
    relation = _analyze_any(context, select, analyze_ctes(context, select, outer))
    if relation.has_unknown_tenant and not context.issues:
        # losing the tenant is reported at the place where it happens; if that report is ever missing, the query must
        # not count as safe
        context.report_unknown("the tenant of a query's rows is lost")
    return relation


def _analyze_any(context: AnalysisContext, select: Any, outer: OuterContext) -> RowSet:
    if select.HasField("larg"):
        relation = _analyze_set_operation(context, select, outer)
    elif select.values_lists:
        relation = _analyze_values(context, select, outer)
    else:
        return _analyze_select(context, select, outer)
    return _apply_limit(context, select, relation, outer)


def _apply_limit(context: AnalysisContext, select: Any, relation: RowSet, outer: OuterContext) -> RowSet:
    """Apply LIMIT and ORDER BY to the rows of VALUES or a set operation."""
    flow = FromAnalyzer(context, NameScope((), outer.scope), outer, select)
    for expression in (*select.sort_clause, select.limit_count, select.limit_offset):
        if flow.apply_subqueries(expression, TenantState()).has_tenant_rows:
            message = "the subquery in LIMIT, OFFSET or ORDER BY reads tenant rows"
            context.report_issue(TenancyIssueKind.JOIN, TenancyGrade.ERROR, message, find_location(expression))
    if relation.has_tenant_rows and not relation.tenant_constants and has_limit(select):
        return _report_limit(context, select, relation)
    return relation


def analyze_ctes(context: AnalysisContext, node: Any, outer: OuterContext) -> OuterContext:
    """Return the outer context for the rest of a statement that has a WITH clause."""
    if not node.HasField("with_clause"):
        return outer
    for item in node.with_clause.ctes:
        one = item.common_table_expr
        inside = outer.nested(outer.scope, is_joined=True)
        kind = one.ctequery.WhichOneof("node")
        inner = getattr(one.ctequery, kind)
        if one.HasField("search_clause") or one.HasField("cycle_clause"):
            context.report_unknown("SEARCH and CYCLE are not analyzed", one.location)
        if kind == "select_stmt" and node.with_clause.recursive and inner.HasField("larg"):
            relation = _analyze_recursive(context, one, inner, inside)
        else:
            relation = context.nested(kind, inner, inside)
        ctes = {**outer.ctes, one.ctename: with_column_names(relation, strings(one.aliascolnames))}
        outer = replace(outer, ctes=ctes)
    return outer


def _analyze_recursive(context: AnalysisContext, cte: Any, select: Any, outer: OuterContext) -> RowSet:
    """Return the rows of a recursive query. The analysis is repeated until the tenants no longer change."""
    outer = analyze_ctes(context, select, outer)
    names = strings(cte.aliascolnames)
    base = analyze_query(context, select.larg, outer)
    relation = replace(base, outputs=tuple(output._replace(origin=None) for output in base.outputs), expose_tenant=None)
    relation = _first_round(base, relation)
    for _ in range(8):
        before = len(context.issues)
        inside = replace(outer, ctes={**outer.ctes, cte.ctename: with_column_names(relation, names)})
        combined = _combine_branches(context, select, base, analyze_query(context, select.rarg, inside))
        if (combined.tenants, combined.tenant_constants, combined.has_tenant_rows) == (
            relation.tenants,
            relation.tenant_constants,
            relation.has_tenant_rows,
        ):
            return combined
        del context.issues[before:]
        relation = replace(combined, expose_tenant=None)
    context.report_unknown("the analysis of the recursion does not converge", cte.location)
    return relation


def _first_round(base: RowSet, without: RowSet) -> RowSet:
    """Return the input of the recursive part in the first round.

    Columns keep their origin, which the union narrows later.
    """
    visible = tuple(one for one in base.outputs if not one.is_hidden)
    tenants = frozenset(number for number in base.tenants if number < len(visible))
    return replace(without, outputs=visible, tenants=tenants)


def _analyze_set_operation(context: AnalysisContext, select: Any, outer: OuterContext) -> RowSet:
    return _combine_branches(
        context, select, analyze_query(context, select.larg, outer), analyze_query(context, select.rarg, outer)
    )


def _combine_branches(context: AnalysisContext, select: Any, left: RowSet, right: RowSet) -> RowSet:
    """Return the rows of both branches. A column contains the tenant if it does so in each branch with tenant rows."""
    outputs = _align_columns(left, right)
    complete = left.is_complete and right.is_complete
    if not (left.has_tenant_rows or right.has_tenant_rows):
        return RowSet(outputs=outputs, is_complete=complete)
    reading = [one for one in (left, right) if one.has_tenant_rows]
    tenants = frozenset(range(len(outputs))).intersection(*(one.tenants for one in reading))
    if len(reading) == 1 and len(tenants) > 1:
        # rows that belong to no tenant can have different values in these columns
        tenants = frozenset({min(tenants, key=lambda number: (outputs[number].name != context.tenant_column, number))})
    fixed = reading[0].tenant_constants.intersection(*(one.tenant_constants for one in reading))
    if not tenants and not fixed and not any(one.has_unknown_tenant for one in reading):
        _report_branch(context, select, left, right)
    exposes = [one.expose_tenant for one in reading if one.expose_tenant]

    def expose() -> None:
        for write in exposes:
            write()

    def retarget(number: int) -> None:
        for one in reading:
            if one.use_as_tenant and number not in one.tenants:
                one.use_as_tenant(number)

    able = len(exposes) == 2 or (len(reading) == 2 and bool(exposes))
    return RowSet(
        outputs=outputs,
        is_complete=complete,
        has_tenant_rows=True,
        tenants=tenants,
        tenant_constants=fixed,
        expose_tenant=expose if able else None,
        use_as_tenant=retarget,
    )


def _report_branch(context: AnalysisContext, select: Any, left: RowSet, right: RowSet) -> None:
    visible = [frozenset(n for n in one.tenants if not one.outputs[n].is_hidden) for one in (left, right)]
    kind = {pb.SETOP_UNION: "UNION", pb.SETOP_INTERSECT: "INTERSECT", pb.SETOP_EXCEPT: "EXCEPT"}.get(select.op, "")
    wrong = 0 if visible[1] and not visible[0] else 1
    branch = (select.larg, select.rarg)[wrong]
    relation = (left, right)[wrong]
    location = find_location(branch)
    candidates = (visible[1 - wrong] or {0}) if visible[1 - wrong] else None
    fix = None
    if candidates and relation.use_as_tenant:
        position = min(candidates)
        retarget = relation.use_as_tenant
        fix = lambda: retarget(position)  # noqa: E731 - bound to this branch
    elif not any(visible) and left.expose_tenant and right.expose_tenant:
        exposes = (left.expose_tenant, right.expose_tenant)

        def fix() -> None:
            for write in exposes:
                write()

    message = f"this branch of {kind} does not return {context.tenant_column} in the same column as the other branch"
    if not any(visible):
        message = f"neither branch of {kind} returns {context.tenant_column}"
    context.report_issue(TenancyIssueKind.BRANCH, TenancyGrade.ERROR, message, location, fix=fix)


def _align_columns(left: RowSet, right: RowSet) -> tuple[RowColumn, ...]:
    """Return the columns of two branches: the columns of the first, with an origin only if both branches have the same
    origin.
    """
    here = [one for one in left.outputs if not one.is_hidden]
    there = [one for one in right.outputs if not one.is_hidden]
    outputs = []
    for number, one in enumerate(here):
        other = there[number] if number < len(there) else RowColumn(name="")
        origin = None
        if one.origin and other.origin and one.origin[1:] == other.origin[1:]:
            origin = ColumnOrigin((*one.origin.row, -1, *other.origin.row), *one.origin[1:])
        kind = one.type if one.type == other.type else ""
        nullable = one.is_nullable or other.is_nullable
        lacks = one.can_lack_tenant or other.can_lack_tenant
        outputs.append(RowColumn(name=one.name, type=kind, origin=origin, is_nullable=nullable, can_lack_tenant=lacks))
    return tuple(outputs)


def _analyze_values(context: AnalysisContext, select: Any, outer: OuterContext) -> RowSet:
    """Return the rows of VALUES, which belong to no tenant, except for rows that subqueries in VALUES read."""
    flow = FromAnalyzer(context, NameScope((), outer.scope), outer, select)
    state = TenantState()
    for row in select.values_lists:
        for item in row.list.items:
            state = flow.apply_subqueries(item, state)
    width = len(select.values_lists[0].list.items)
    outputs = tuple(RowColumn(name=f"column{number}") for number in range(1, width + 1))
    if not state.has_tenant_rows:
        return RowSet(outputs=outputs)

    def node(item: Any) -> Node | None:
        return context.expressions.find_node(item, flow.scope, has_variables=outer.has_variables)

    tenants = frozenset(
        number
        for number in range(width)
        if all(node(row.list.items[number]) in state.tenant_columns for row in select.values_lists)
    )
    return RowSet(
        outputs=outputs, has_tenant_rows=True, tenants=tenants, tenant_constants=state.tenant_constants(flow.own)
    )


def _analyze_select(context: AnalysisContext, select: Any, outer: OuterContext) -> RowSet:
    trees: list[Tree] = []
    items: list[ScopeItem] = []
    for node in select.from_clause:
        tree, new_items = build_from_tree(context, node, items, outer)
        trees.append(tree)
        items += new_items
    scope = NameScope(tuple(items), outer.scope)
    targets = SelectList(context, select, scope, outer)
    is_grouped = bool(select.group_clause) or select.HasField("having_clause") or targets.has_aggregates()
    is_plain = not (is_grouped or select.distinct_clause or has_limit(select) or targets.windows)
    flow = FromAnalyzer(context, scope, outer, select, is_plain)
    state = flow.run(trees)
    clauses = (
        select.target_list,
        select.group_clause,
        select.distinct_clause,
        select.sort_clause,
        select.window_clause,
    )
    for expression in chain(*clauses, (select.limit_count, select.limit_offset)):
        state = flow.apply_subqueries(expression, state)
    if select.HasField("having_clause"):
        state = flow.apply_subqueries(select.having_clause, state)
    rows = state
    if is_grouped:
        state = apply_group_by(context, select, targets, state, flow.own)
    check_windows(context, targets, state, flow.own)
    unmerged_members = constant_within_distinct(context, select, targets, state, flow.own)
    relation = targets.row_set(state, rows.tenant_columns, flow.own, unmerged_members, is_grouped=is_grouped)
    if select.distinct_clause and relation.has_tenant_rows:
        relation = apply_distinct(context, select, targets, relation, state, flow.own)
    if (
        relation.has_tenant_rows
        and not relation.tenant_constants
        and not relation.has_unknown_tenant
        and has_limit(select)
    ):
        relation = _report_limit(context, select, relation)
    return relation


def has_limit(select: Any) -> bool:
    """Whether LIMIT, FETCH, or OFFSET omits rows."""
    limits = [getattr(select, name) for name in ("limit_count", "limit_offset") if select.HasField(name)]
    return any(not (one.WhichOneof("node") == "a_const" and one.a_const.isnull) for one in limits)


def _report_limit(context: AnalysisContext, select: Any, relation: RowSet) -> RowSet:
    name = "limit_count" if select.HasField("limit_count") else "limit_offset"
    message = "LIMIT and OFFSET count rows across all tenants"
    context.report_issue(TenancyIssueKind.LIMIT, TenancyGrade.WARNING, message, find_location(getattr(select, name)))
    return replace(relation, tenants=frozenset())
