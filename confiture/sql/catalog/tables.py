"""CREATE TABLE in all its forms."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import CompositeType, Persistence, Table, TableColumn, TableKind
from confiture.sql.catalog.columns import add_column
from confiture.sql.catalog.constraints import ConstraintSpec, add_constraints
from confiture.sql.catalog.create_table_like import LikeClause, copy_columns, copy_constraints_and_indexes
from confiture.sql.catalog.inheritance import clone_indexes_and_keys, inherit
from confiture.sql.catalog.queries import find_query_columns, resolve_relations
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.catalog.type_names import find_user_types, resolve_type
from confiture.sql.catalog.views import put_view, rename_columns
from confiture.sql.parse_tree import format_expression, format_statement, pb, quote_identifier, strings
from confiture.sql.traversal import find_relations_read

_PERSISTENCE = {"u": Persistence.UNLOGGED, "t": Persistence.TEMPORARY}
_STRATEGIES = {
    pb.PARTITION_STRATEGY_LIST: "LIST",
    pb.PARTITION_STRATEGY_RANGE: "RANGE",
    pb.PARTITION_STRATEGY_HASH: "HASH",
}


def create_table(state: CatalogState, node: Any) -> None:
    """Apply CREATE TABLE."""
    _create(state, node, TableKind.TABLE)


def create_foreign_table(state: CatalogState, node: Any) -> None:
    """Apply CREATE FOREIGN TABLE."""
    _create(state, node.base_stmt, TableKind.FOREIGN)


def _create(state: CatalogState, node: Any, kind: TableKind) -> None:
    """Create the table that a CreateStmt defines, unless the name is taken."""
    draft = _new_draft(state, node.relation, kind, if_not_exists=node.if_not_exists)
    if draft is None:
        return
    if node.HasField("of_typename"):
        _add_attributes(state, draft, node.of_typename)
    parents = _find_parents(state, draft, node)
    specs, likes = _add_elements(state, draft, node.table_elts)
    if node.HasField("partspec"):
        draft.kind = TableKind.PARTITIONED
        draft.partition_key = format_partition_key(node.partspec)
    if node.HasField("partbound"):
        draft.partition_bound = format_partition_bound(node.partbound)
    add_constraints(state, draft, specs, is_new_table=True)
    for like in likes:
        copy_constraints_and_indexes(state, draft, like)
    if draft.partition_bound:
        for parent in parents:
            clone_indexes_and_keys(state, parent, draft)
    state.put_table(draft)


def _add_elements(
    state: CatalogState, draft: TableBuilder, nodes: Any
) -> tuple[list[ConstraintSpec], list[LikeClause]]:
    """Add the columns, and return the elements that must be created after all columns exist."""
    specs: list[ConstraintSpec] = []
    likes: list[LikeClause] = []
    inherited = bool(draft.columns)
    for element in nodes:
        which = element.WhichOneof("node")
        if which == "column_def":
            specs += add_column(state, draft, element.column_def, is_merged=inherited)
        elif which == "constraint":
            specs.append(ConstraintSpec.from_node(element.constraint))
        elif which == "table_like_clause":
            likes += copy_columns(state, draft, element.table_like_clause)
    return specs, likes


def _new_draft(state: CatalogState, relation: Any, kind: TableKind, *, if_not_exists: bool) -> TableBuilder | None:
    name = state.names.new_name(relation)
    if state.names.is_taken(name):
        if not if_not_exists:
            state.issues.report_duplicate("relation", name, state.names.find_definition(name), relation.location)
        return None
    type_ = state.types.get(name)
    if type_:
        state.issues.report_duplicate("type", name, type_.location, relation.location)
        return None
    state.names.require_schema(name.schema, relation.location)
    state.created.add(name)
    if state.grants.defaults:
        state.grants.grant_defaults("table", name)
    return TableBuilder(
        name=name,
        kind=kind,
        persistence=_PERSISTENCE.get(relation.relpersistence, Persistence.PERMANENT),
        location=state.issues.location(relation.location),
    )


def _add_attributes(state: CatalogState, draft: TableBuilder, node: Any) -> None:
    """Add the columns of CREATE TABLE ... OF a type."""
    type_ = resolve_type(state, node.names)
    if isinstance(type_, CompositeType):
        draft.columns = {
            name: TableColumn(name=name, type=kind, location=type_.location) for name, kind in type_.attributes
        }
        state.dependencies.add(draft.name, (type_.name,))
    else:
        state.issues.partial.add(draft.name)


def _find_parents(state: CatalogState, draft: TableBuilder, node: Any) -> list[Table]:
    parents = []
    for item in node.inh_relations:
        parent = state.names.table(item.range_var)
        if parent:
            if node.HasField("partbound"):
                state.require_partitioned(parent, item.range_var.location)
            inherit(state, parent, draft, partition=node.HasField("partbound"))
            parents.append(parent)
        else:
            state.issues.partial.add(draft.name)
    return parents


def format_partition_key(node: Any) -> str:
    """Return the text that follows PARTITION BY."""
    parts = []
    for item in node.part_params:
        element = item.partition_elem
        if element.name:
            text = quote_identifier(element.name)
        else:
            text = format_expression(element.expr)
            text = text if element.expr.WhichOneof("node") == "func_call" else f"({text})"
        parts.append(" ".join((text, *strings(element.opclass))))
    return f"{_STRATEGIES.get(node.strategy, 'RANGE')} ({', '.join(parts)})"


def format_partition_bound(node: Any) -> str:
    """Return the text of FOR VALUES or DEFAULT."""
    bare = pb.CreateStmt(
        relation=pb.RangeVar(relname="a", inh=True, relpersistence="p"),
        inh_relations=[pb.Node(range_var=pb.RangeVar(relname="b", inh=True, relpersistence="p"))],
        partbound=node,
        oncommit=pb.ONCOMMIT_NOOP,
    )
    return format_statement("create_stmt", bare).split("PARTITION OF b", 1)[-1].strip()


def create_table_as(state: CatalogState, node: Any) -> None:
    """Apply CREATE TABLE ... AS and CREATE MATERIALIZED VIEW."""
    if node.objtype != pb.OBJECT_MATVIEW:
        create_table_from_query(state, node.into, node.query, if_not_exists=node.if_not_exists)
        return
    name = state.names.new_name(node.into.rel)
    if state.names.is_taken(name):
        if not node.if_not_exists:
            state.issues.report_duplicate("relation", name, state.names.find_definition(name), node.into.rel.location)
        return
    state.names.require_schema(name.schema, node.into.rel.location)
    put_view(state, name, node.query, strings(node.into.col_names), materialized=True)
    state.created.add(name)
    state.grants.grant_defaults("table", name)


def create_table_from_query(state: CatalogState, into: Any, query: Any, *, if_not_exists: bool = False) -> None:
    """Create a table with a query's columns."""
    resolve_relations(state, find_relations_read(query))
    columns = find_query_columns(state, query)
    draft = _new_draft(state, into.rel, TableKind.TABLE, if_not_exists=if_not_exists)
    if draft is None:
        return
    if columns is None:
        state.issues.partial.add(draft.name)
    for column in rename_columns(columns, strings(into.col_names)):
        draft.columns[column.name] = TableColumn(name=column.name, type=column.type, location=draft.location)
        state.dependencies.add(draft.name, [one for one in find_user_types(column.type) if one in state.types])
    state.put_table(draft)
