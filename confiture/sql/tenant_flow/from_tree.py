"""The relations in FROM, as a tree of joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from confiture.models.catalog import QualifiedName, Table, View
from confiture.models.tenancy import TenancyGrade, TenancyIssueKind
from confiture.sql.parse_tree import flatten_and, pb, query_tree, strings
from confiture.sql.tenant_flow.calls import check_calls
from confiture.sql.tenant_flow.context import AnalysisContext
from confiture.sql.tenant_flow.expressions import Pair, find_subqueries
from confiture.sql.tenant_flow.row_sets import ColumnRef, FromSource, Node, RowColumn, RowSet
from confiture.sql.tenant_flow.scopes import NameScope, OuterContext, ScopeItem
from confiture.sql.tenant_tables import find_matching_pattern, is_tenant_table_name


@dataclass(slots=True)
class FromLeaf:
    """A leaf of the tree, which is a single relation."""

    source: FromSource

    @property
    def sources(self) -> frozenset[int]:
        """The number of the source."""
        return frozenset({self.source.number})


@dataclass(slots=True)
class FromJoin:
    """A join of two trees. `kind` is `inner`, `left`, `right`, or `full`; `node` is the JoinExpr, None for a comma.

    `merged` contains, for USING or NATURAL in a full join, each merged column and the columns on both sides.
    """

    kind: str
    left: Tree
    right: Tree
    pairs: Sequence[Pair] = ()
    null_rejecting: frozenset[int] = frozenset()
    node: Any = None
    scope: NameScope | None = None
    merged: Sequence[tuple[Node, Node, Node]] = ()
    issue_kind: TenancyIssueKind = TenancyIssueKind.JOIN
    null_safe_pairs: Sequence[Pair] = ()
    """The equalities that treat two NULLs as equal."""
    sources: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        own = {one.source for one, _, _ in self.merged if isinstance(one, ColumnRef)}
        self.sources = self.left.sources | self.right.sources | own


Tree = FromLeaf | FromJoin
_KINDS = {pb.JOIN_INNER: "inner", pb.JOIN_LEFT: "left", pb.JOIN_RIGHT: "right", pb.JOIN_FULL: "full"}


def build_from_tree(
    context: AnalysisContext, node: Any, before: Sequence[ScopeItem], outer: OuterContext
) -> tuple[Tree, list[ScopeItem]]:
    """Return the tree for a FROM item, and the names that the item defines.

    `before` are the items that LATERAL can refer to.
    """
    kind = node.WhichOneof("node")
    if kind == "join_expr":
        return _build_join(context, node.join_expr, before, outer)
    if kind == "range_table_sample":
        context.report_unknown("TABLESAMPLE selects random rows", node.range_table_sample.location)
        return build_from_tree(context, node.range_table_sample.relation, before, outer)
    if kind == "range_var":
        source = resolve_range_var(context, node.range_var, outer)
    elif kind == "range_subselect":
        inner = node.range_subselect
        scope = NameScope(tuple(before), outer.scope) if inner.lateral else outer.scope
        relation = context.query(inner.subquery.select_stmt, outer.nested(scope, is_joined=True))
        source = context.add_source(
            inner.alias.aliasname, with_column_names(relation, strings(inner.alias.colnames)), inner
        )
    else:
        source = _function_source(context, node)
    item = ScopeItem.from_source(source)
    return FromLeaf(source), [item]


def with_column_names(relation: RowSet, names: Sequence[str]) -> RowSet:
    """Return a relation with its columns renamed; columns without a new name keep their old name."""
    if not names:
        return relation
    outputs = [
        one._replace(name=names[number]) if number < len(names) and not one.is_hidden else one
        for number, one in enumerate(relation.outputs)
    ]
    return replace(relation, outputs=tuple(outputs))


def resolve_range_var(context: AnalysisContext, node: Any, outer: OuterContext) -> FromSource:
    """Return the relation that a RangeVar names: a CTE, a table, or a view."""
    alias = node.alias.aliasname or node.relname
    columns = strings(node.alias.colnames)
    if not node.schemaname and node.relname in outer.ctes:
        return context.add_source(alias, with_column_names(outer.ctes[node.relname], columns), node)
    relation = context.facts.catalog.relation(node.schemaname or None, node.relname)
    if isinstance(relation, Table):
        return context.add_source(alias, with_column_names(context.facts.rows(relation), columns), node, relation)
    if isinstance(relation, View):
        return context.add_source(alias, with_column_names(_view_rows(context, relation, node), columns), node)
    return context.add_source(alias, with_column_names(_unknown_relation(context, node), columns), node)


def _unknown_relation(context: AnalysisContext, node: Any) -> RowSet:
    """Return a relation that is not in the catalog.

    It is a tenant table if its name matches the patterns for tenant tables.
    """
    if node.schemaname in ("pg_catalog", "information_schema") or node.relname.startswith("pg_"):
        return RowSet(is_complete=False)
    name = QualifiedName(node.schemaname or "public", node.relname)
    context.report_unknown(f"{name} is not in the DDL: its columns and keys are unknown", node.location, str(name))
    if context.facts.tenancy.tables and is_tenant_table_name(name, context.facts.tenancy):
        outputs = (RowColumn(name=context.tenant_column),)
        return RowSet(outputs=outputs, is_complete=False, has_tenant_rows=True, tenants=frozenset({0}))
    return RowSet(is_complete=False)


def _view_rows(context: AnalysisContext, view: View, node: Any) -> RowSet:
    """Return the rows of a view, derived from its query, or of a materialized view, derived from its tenant column, if
    any.
    """
    column = context.tenant_column
    if (
        view.materialized
        and column in view.columns
        and not find_matching_pattern(view.name, context.facts.tenancy.exempt)
    ):
        outputs = tuple(RowColumn(name=one) for one in view.columns)
        return RowSet(outputs=outputs, has_tenant_rows=True, tenants=frozenset({view.columns.index(column)}))
    if view.name not in context.views:
        context.views[view.name] = None
        inner = context.of_view()
        tree = query_tree(view)
        check_calls(inner, tree)
        relation = with_column_names(inner.query(tree, OuterContext()), view.columns)
        context.views[view.name] = replace(relation, expose_tenant=None, use_as_tenant=None)
        worst = [issue for issue in inner.issues if issue.grade is TenancyGrade.ERROR] or inner.issues
        for issue in worst[:1]:
            context.report_issue(
                issue.kind, issue.grade, f"view {view.name}: {issue.message}", node.location, relation=str(view.name)
            )
        context.proofs.update(inner.proofs)
    rows = context.views[view.name]
    if rows is None:
        context.report_unknown(f"view {view.name} refers to itself", node.location)
        return RowSet(is_complete=False)
    return rows


def _function_source(context: AnalysisContext, node: Any) -> FromSource:
    """Return the rows of a function in FROM. They derive from the arguments, not from tenants.

    Function calls are checked elsewhere.
    """
    kind = node.WhichOneof("node")
    inner = getattr(node, kind)
    if any(True for _ in find_subqueries(inner)):
        context.report_unknown("a subquery inside a function in FROM is not analyzed")
    alias, names = inner.alias.aliasname, strings(inner.alias.colnames)
    if kind == "range_function":
        if inner.coldeflist:
            names = tuple(one.column_def.colname for one in inner.coldeflist)
        call = inner.functions[0].list.items[0]
        alias = alias or (strings(call.func_call.funcname)[-1] if call.WhichOneof("node") == "func_call" else "")
    outputs = tuple(RowColumn(name=name) for name in names or ([alias] if alias else []))
    return context.add_source(alias, RowSet(outputs=outputs, is_complete=False), inner)


def _build_join(
    context: AnalysisContext, node: Any, before: Sequence[ScopeItem], outer: OuterContext
) -> tuple[Tree, list[ScopeItem]]:
    left, here = build_from_tree(context, node.larg, before, outer)
    right, there = build_from_tree(context, node.rarg, [*before, *here], outer)
    kind = _KINDS.get(node.jointype, "full")
    names = strings(node.using_clause)
    if node.is_natural:
        other = {name for name, _ in NameScope(there).expand_star()}
        names = tuple(name for name, _ in NameScope(here).expand_star() if name in other)
        if not (NameScope(here).is_star_complete() and NameScope(there).is_star_complete()):
            context.report_unknown("NATURAL JOIN of relations whose columns are unknown")
    shared = [(name, NameScope(here).resolve((name,)), NameScope(there).resolve((name,))) for name in names]
    using = [(name, one, other) for name, one, other in shared if one is not None and other is not None]
    pairs: list[Pair] = [(one, other) for _, one, other in using]
    scope = NameScope((*here, *there), outer.scope)
    refused: set[int] = {side.source for pair in pairs for side in pair if isinstance(side, ColumnRef)}
    loose: list[Pair] = []
    for condition in flatten_and(node.quals):
        loose += context.expressions.equal_pairs(condition, scope, with_nulls=True)
        pairs += context.expressions.equal_pairs(condition, scope, has_variables=outer.has_variables)
        refused.update(context.expressions.null_rejecting_sources(condition, scope))
    items, merged = _merge_using_columns(context, kind, using, [*here, *there])
    tree = FromJoin(kind, left, right, pairs, frozenset(refused), node, scope, merged, null_safe_pairs=loose)
    if node.HasField("alias"):
        items = [_alias_items(node.alias, items)]
    return tree, items


def _merge_using_columns(
    context: AnalysisContext, kind: str, using: Sequence[tuple[str, Node, Node]], items: list[ScopeItem]
) -> tuple[list[ScopeItem], list[tuple[Node, Node, Node]]]:
    """Return the items of a USING join, preceded by the merged columns, to which unqualified names refer."""
    if not using:
        return items, []
    merged: list[tuple[Node, Node, Node]] = []
    if kind == "full":
        outputs = tuple(RowColumn(name=name) for name, _, _ in using)
        source = context.add_source("", RowSet(outputs=outputs), None)
        columns: dict[str, Node] = {name: ColumnRef(source.number, name) for name, _, _ in using}
        merged = [(columns[name], one, other) for name, one, other in using]
    else:
        columns = {name: other if kind == "right" else one for name, one, other in using}
    hidden = frozenset(columns)
    front = ScopeItem("", columns)
    return [front, *(replace(item, merged_columns=item.merged_columns | hidden) for item in items)], merged


def _alias_items(alias: Any, items: Sequence[ScopeItem]) -> ScopeItem:
    names = strings(alias.colnames)
    columns: dict[str, Node] = {}
    for number, (name, node) in enumerate(NameScope(items).expand_star()):
        columns.setdefault(names[number] if number < len(names) else name, node)
    return ScopeItem(alias.aliasname, columns, NameScope(items).is_star_complete())
