"""CREATE TABLE in all its forms."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Column, Composite, Persistence, Table, TableKind
from confiture.sql.catalog.columns import add_column
from confiture.sql.catalog.constraints import Wanted, add_all
from confiture.sql.catalog.copying import Like, copy_columns, copy_rest
from confiture.sql.catalog.inheritance import clone_keys, inherit
from confiture.sql.catalog.queries import columns_of, read_names
from confiture.sql.catalog.resolving import named_type, type_names
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.catalog.views import named, put_view
from confiture.sql.tree import expression_text, identifier, pb, statement_text, strings
from confiture.sql.walking import relations_read

_PERSISTENCE = {"u": Persistence.UNLOGGED, "t": Persistence.TEMPORARY}
_STRATEGIES = {
    pb.PARTITION_STRATEGY_LIST: "LIST",
    pb.PARTITION_STRATEGY_RANGE: "RANGE",
    pb.PARTITION_STRATEGY_HASH: "HASH",
}


def create_table(state: CatalogState, node: Any) -> None:
    """CREATE TABLE."""
    _make(state, node, TableKind.TABLE)


def create_foreign_table(state: CatalogState, node: Any) -> None:
    """CREATE FOREIGN TABLE."""
    _make(state, node.base_stmt, TableKind.FOREIGN)


def _make(state: CatalogState, node: Any, kind: TableKind) -> None:
    """Makes the table of a CreateStmt, unless there is one of that name."""
    draft = _new(state, node.relation, kind, quiet=node.if_not_exists)
    if draft is None:
        return
    if node.HasField("of_typename"):
        _add_attributes(state, draft, node.of_typename)
    parents = _parents(state, draft, node)
    wanted, likes = _elements(state, draft, node.table_elts)
    if node.HasField("partspec"):
        draft.kind = TableKind.PARTITIONED
        draft.partition_key = partition_key(node.partspec)
    if node.HasField("partbound"):
        draft.partition_bound = partition_bound(node.partbound)
    add_all(state, draft, wanted, new=True)
    for like in likes:
        copy_rest(state, draft, like)
    if draft.partition_bound:
        for parent in parents:
            clone_keys(state, parent, draft)
    state.put_table(draft)


def _elements(state: CatalogState, draft: TableBuilder, nodes: Any) -> tuple[list[Wanted], list[Like]]:
    """Adds the columns; returns what is to be made once all of them are there."""
    wanted: list[Wanted] = []
    likes: list[Like] = []
    inherited = bool(draft.columns)
    for element in nodes:
        which = element.WhichOneof("node")
        if which == "column_def":
            wanted += add_column(state, draft, element.column_def, merge=inherited)
        elif which == "constraint":
            wanted.append(Wanted.of(element.constraint))
        elif which == "table_like_clause":
            likes += copy_columns(state, draft, element.table_like_clause)
    return wanted, likes


def _new(state: CatalogState, relation: Any, kind: TableKind, *, quiet: bool) -> TableBuilder | None:
    name = state.names.new_name(relation)
    if state.names.is_taken(name):
        if not quiet:
            state.issues.report_duplicate("relation", name, state.names.defined_at(name), relation.location)
        return None
    found = state.types.get(name)
    if found:
        state.issues.report_duplicate("type", name, found.place, relation.location)
        return None
    state.names.require_schema(name.schema, relation.location)
    state.created.add(name)
    if state.grants.defaults:
        state.grants.grant_defaults("table", name)
    return TableBuilder(
        name=name,
        kind=kind,
        persistence=_PERSISTENCE.get(relation.relpersistence, Persistence.PERMANENT),
        place=state.issues.location(relation.location),
    )


def _add_attributes(state: CatalogState, draft: TableBuilder, node: Any) -> None:
    """The columns of CREATE TABLE ... OF a type."""
    found = named_type(state, node.names)
    if isinstance(found, Composite):
        draft.columns = {name: Column(name=name, type=kind, place=found.place) for name, kind in found.attributes}
        state.dependencies.add(draft.name, (found.name,))
    else:
        state.issues.partial.add(draft.name)


def _parents(state: CatalogState, draft: TableBuilder, node: Any) -> list[Table]:
    found = []
    for item in node.inh_relations:
        parent = state.names.table(item.range_var)
        if parent:
            if node.HasField("partbound"):
                state.require_partitioned(parent, item.range_var.location)
            inherit(state, parent, draft, partition=node.HasField("partbound"))
            found.append(parent)
        else:
            state.issues.partial.add(draft.name)
    return found


def partition_key(node: Any) -> str:
    """The text of PARTITION BY without these words."""
    parts = []
    for item in node.part_params:
        element = item.partition_elem
        if element.name:
            text = identifier(element.name)
        else:
            text = expression_text(element.expr)
            text = text if element.expr.WhichOneof("node") == "func_call" else f"({text})"
        parts.append(" ".join((text, *strings(element.opclass))))
    return f"{_STRATEGIES.get(node.strategy, 'RANGE')} ({', '.join(parts)})"


def partition_bound(node: Any) -> str:
    """The text of FOR VALUES or DEFAULT."""
    bare = pb.CreateStmt(
        relation=pb.RangeVar(relname="a", inh=True, relpersistence="p"),
        inh_relations=[pb.Node(range_var=pb.RangeVar(relname="b", inh=True, relpersistence="p"))],
        partbound=node,
        oncommit=pb.ONCOMMIT_NOOP,
    )
    return statement_text("create_stmt", bare).split("PARTITION OF b", 1)[-1].strip()


def create_table_as(state: CatalogState, node: Any) -> None:
    """CREATE TABLE ... AS and CREATE MATERIALIZED VIEW."""
    if node.objtype != pb.OBJECT_MATVIEW:
        make_table_of_query(state, node.into, node.query, quiet=node.if_not_exists)
        return
    name = state.names.new_name(node.into.rel)
    if state.names.is_taken(name):
        if not node.if_not_exists:
            state.issues.report_duplicate("relation", name, state.names.defined_at(name), node.into.rel.location)
        return
    state.names.require_schema(name.schema, node.into.rel.location)
    put_view(state, name, node.query, strings(node.into.col_names), materialized=True)
    state.created.add(name)
    state.grants.grant_defaults("table", name)


def make_table_of_query(state: CatalogState, into: Any, query: Any, *, quiet: bool = False) -> None:
    """Makes a table with the columns of a query."""
    read_names(state, relations_read(query))
    columns = columns_of(state, query)
    draft = _new(state, into.rel, TableKind.TABLE, quiet=quiet)
    if draft is None:
        return
    if columns is None:
        state.issues.partial.add(draft.name)
    for column in named(columns, strings(into.col_names)):
        draft.columns[column.name] = Column(name=column.name, type=column.type, place=draft.place)
        state.dependencies.add(draft.name, [one for one in type_names(column.type) if one in state.types])
    state.put_table(draft)
