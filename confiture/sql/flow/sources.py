"""FROM: the relations that it names, as a tree of joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from confiture.models.catalog import Name, Table, View
from confiture.models.tenancy import Grade, Leak
from confiture.sql.belonging import is_meant, matching
from confiture.sql.flow.calls import check_calls
from confiture.sql.flow.expressions import Pair, subqueries
from confiture.sql.flow.relations import Column, Node, Output, Relation, Source
from confiture.sql.flow.scopes import Around, Item, Scope
from confiture.sql.flow.work import Work
from confiture.sql.tree import flatten_and, pb, query_tree, strings


@dataclass(slots=True)
class Leaf:
    """A relation."""

    source: Source

    @property
    def sources(self) -> frozenset[int]:
        """Its number."""
        return frozenset({self.source.number})


@dataclass(slots=True)
class Join:
    """Two trees joined. `kind` is `inner`, `left`, `right` or `full`, `node` the JoinExpr, None for a comma.

    `merged` are columns of USING or NATURAL in a full join: the column, and what it is of either side.
    """

    kind: str
    left: Tree
    right: Tree
    pairs: Sequence[Pair] = ()
    refused: frozenset[int] = frozenset()
    node: Any = None
    scope: Scope | None = None
    merged: Sequence[tuple[Node, Node, Node]] = ()
    leak: Leak = Leak.JOIN
    loose: Sequence[Pair] = ()
    """The equalities where two that are NULL count as equal."""
    sources: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        own = {one.source for one, _, _ in self.merged if isinstance(one, Column)}
        self.sources = self.left.sources | self.right.sources | own


Tree = Leaf | Join
_KINDS = {pb.JOIN_INNER: "inner", pb.JOIN_LEFT: "left", pb.JOIN_RIGHT: "right", pb.JOIN_FULL: "full"}


def build(work: Work, node: Any, before: Sequence[Item], around: Around) -> tuple[Tree, list[Item]]:
    """The tree of one item of FROM, and what its names offer. `before` are the items that LATERAL sees."""
    kind = node.WhichOneof("node")
    if kind == "join_expr":
        return _join(work, node.join_expr, before, around)
    if kind == "range_table_sample":
        work.unknown("TABLESAMPLE picks rows at random", node.range_table_sample.location)
        return build(work, node.range_table_sample.relation, before, around)
    if kind == "range_var":
        source = named(work, node.range_var, around)
    elif kind == "range_subselect":
        inner = node.range_subselect
        scope = Scope(tuple(before), around.scope) if inner.lateral else around.scope
        relation = work.query(inner.subquery.select_stmt, around.inside(scope, is_joined=True))
        source = work.source(inner.alias.aliasname, renamed(relation, strings(inner.alias.colnames)), inner)
    else:
        source = _function(work, node)
    item = Item.of(source)
    return Leaf(source), [item]


def renamed(relation: Relation, names: Sequence[str]) -> Relation:
    """A relation with its columns called so, as far as the names reach."""
    if not names:
        return relation
    outputs = [
        one._replace(name=names[number]) if number < len(names) and not one.is_hidden else one
        for number, one in enumerate(relation.outputs)
    ]
    return replace(relation, outputs=tuple(outputs))


def named(work: Work, node: Any, around: Around) -> Source:
    """What a RangeVar names: a WITH query, a table or a view."""
    alias = node.alias.aliasname or node.relname
    columns = strings(node.alias.colnames)
    if not node.schemaname and node.relname in around.common:
        return work.source(alias, renamed(around.common[node.relname], columns), node)
    found = work.facts.catalog.relation(node.schemaname or None, node.relname)
    if isinstance(found, Table):
        return work.source(alias, renamed(work.facts.rows(found), columns), node, found)
    if isinstance(found, View):
        return work.source(alias, renamed(_view(work, found, node), columns), node)
    return work.source(alias, renamed(_not_known(work, node), columns), node)


def _not_known(work: Work, node: Any) -> Relation:
    """A relation that the catalog does not have. Where the patterns fit its name, it is a tenants' table."""
    if node.schemaname in ("pg_catalog", "information_schema") or node.relname.startswith("pg_"):
        return Relation(is_complete=False)
    name = Name(node.schemaname or "public", node.relname)
    work.unknown(f"{name} is not in the DDL: its columns and keys are not known", node.location, str(name))
    if work.facts.tenancy.tables and is_meant(name, work.facts.tenancy):
        outputs = (Output(name=work.column),)
        return Relation(outputs=outputs, is_complete=False, reads=True, tenants=frozenset({0}))
    return Relation(is_complete=False)


def _view(work: Work, view: View, node: Any) -> Relation:
    """The rows of a view, by its query; those of a materialized one that shows the tenant, by that column."""
    column = work.column
    if view.materialized and column in view.columns and not matching(view.name, work.facts.tenancy.exempt):
        outputs = tuple(Output(name=one) for one in view.columns)
        return Relation(outputs=outputs, reads=True, tenants=frozenset({view.columns.index(column)}))
    if view.name not in work.views:
        work.views[view.name] = None
        inner = work.of_view()
        tree = query_tree(view)
        check_calls(inner, tree)
        found = renamed(inner.query(tree, Around()), view.columns)
        work.views[view.name] = replace(found, expose=None, retarget=None)
        worst = [issue for issue in inner.issues if issue.grade is Grade.ERROR] or inner.issues
        for issue in worst[:1]:
            work.report(
                issue.leak, issue.grade, f"view {view.name}: {issue.message}", node.location, relation=str(view.name)
            )
        work.proofs.update(inner.proofs)
    known = work.views[view.name]
    if known is None:
        work.unknown(f"view {view.name} reads itself", node.location)
        return Relation(is_complete=False)
    return known


def _function(work: Work, node: Any) -> Source:
    """Functions in FROM make rows of what they are given, nothing of tenants; what they call is looked at elsewhere."""
    kind = node.WhichOneof("node")
    inner = getattr(node, kind)
    if any(True for _ in subqueries(inner)):
        work.unknown("a subquery within a function of FROM")
    alias, names = inner.alias.aliasname, strings(inner.alias.colnames)
    if kind == "range_function":
        if inner.coldeflist:
            names = tuple(one.column_def.colname for one in inner.coldeflist)
        call = inner.functions[0].list.items[0]
        alias = alias or (strings(call.func_call.funcname)[-1] if call.WhichOneof("node") == "func_call" else "")
    outputs = tuple(Output(name=name) for name in names or ([alias] if alias else []))
    return work.source(alias, Relation(outputs=outputs, is_complete=False), inner)


def _join(work: Work, node: Any, before: Sequence[Item], around: Around) -> tuple[Tree, list[Item]]:
    left, here = build(work, node.larg, before, around)
    right, there = build(work, node.rarg, [*before, *here], around)
    kind = _KINDS.get(node.jointype, "full")
    names = strings(node.using_clause)
    if node.is_natural:
        other = {name for name, _ in Scope(there).star()}
        names = tuple(name for name, _ in Scope(here).star() if name in other)
        if not (Scope(here).star_is_complete() and Scope(there).star_is_complete()):
            work.unknown("NATURAL JOIN of relations whose columns are not known")
    shared = [(name, Scope(here).resolve((name,)), Scope(there).resolve((name,))) for name in names]
    using = [(name, one, other) for name, one, other in shared if one is not None and other is not None]
    pairs: list[Pair] = [(one, other) for _, one, other in using]
    scope = Scope((*here, *there), around.scope)
    refused: set[int] = {side.source for pair in pairs for side in pair if isinstance(side, Column)}
    loose: list[Pair] = []
    for condition in flatten_and(node.quals):
        loose += work.expressions.pairs(condition, scope, with_nulls=True)
        pairs += work.expressions.pairs(condition, scope, has_variables=around.has_variables)
        refused.update(work.expressions.refused_nulls(condition, scope))
    items, merged = _merged(work, kind, using, [*here, *there])
    tree = Join(kind, left, right, pairs, frozenset(refused), node, scope, merged, loose=loose)
    if node.HasField("alias"):
        items = [_under_alias(node.alias, items)]
    return tree, items


def _merged(
    work: Work, kind: str, using: Sequence[tuple[str, Node, Node]], items: list[Item]
) -> tuple[list[Item], list[tuple[Node, Node, Node]]]:
    """The items of a join by USING: in front the columns that it made of two, which bare names then mean."""
    if not using:
        return items, []
    merged: list[tuple[Node, Node, Node]] = []
    if kind == "full":
        outputs = tuple(Output(name=name) for name, _, _ in using)
        source = work.source("", Relation(outputs=outputs), None)
        columns: dict[str, Node] = {name: Column(source.number, name) for name, _, _ in using}
        merged = [(columns[name], one, other) for name, one, other in using]
    else:
        columns = {name: other if kind == "right" else one for name, one, other in using}
    hidden = frozenset(columns)
    front = Item("", columns)
    return [front, *(replace(item, merged=item.merged | hidden) for item in items)], merged


def _under_alias(alias: Any, items: Sequence[Item]) -> Item:
    names = strings(alias.colnames)
    columns: dict[str, Node] = {}
    for number, (name, node) in enumerate(Scope(items).star()):
        columns.setdefault(names[number] if number < len(names) else name, node)
    return Item(alias.aliasname, columns, Scope(items).star_is_complete())
