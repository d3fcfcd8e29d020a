"""CREATE INDEX."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Index, QualifiedName, Table, TableKind, View
from confiture.models.records import replace
from confiture.sql.catalog.constraints import SYSTEM_COLUMNS
from confiture.sql.catalog.index_keys import find_expression_columns, format_key_options
from confiture.sql.catalog.inheritance import propagate_to_children
from confiture.sql.catalog.object_names import dedupe_column_names, index_name_columns
from confiture.sql.catalog.state import CatalogState
from confiture.sql.parse_tree import column_result_name, format_expression, get_definition, pb


def create_index(state: CatalogState, node: Any) -> None:
    """Apply CREATE INDEX."""
    relation = state.names.relation(node.relation)
    if not isinstance(relation, Table | View):
        if relation is None:
            state.names.report_missing(node.relation)
            if node.idxname:  # the table may still exist in the database
                state.created.add(QualifiedName(node.relation.schemaname or state.names.creation_schema, node.idxname))
        return
    name = QualifiedName(relation.name.schema, node.idxname or generate_index_name(state, relation, node))
    if state.names.is_taken(name):
        if not node.if_not_exists:
            state.issues.report_duplicate("relation", name, state.names.find_definition(name))
        return
    index = build_index(state, relation, node, name.name)
    _require_columns(state, relation, index)
    state.created.add(name)
    state.indexes.owners[name] = relation.name
    if isinstance(relation, View):
        state.views[relation.name] = replace(relation, indexes=(*relation.indexes, index))
        return
    partitioned = relation.kind is TableKind.PARTITIONED
    if partitioned and not node.relation.inh:
        index = replace(index, valid=not state.catalog.partitions(relation.name))
    state.tables[relation.name] = replace(relation, indexes=(*relation.indexes, index))
    if partitioned and node.relation.inh:
        propagate_to_children(state, relation, state.tables[relation.name])


def _require_columns(state: CatalogState, relation: Table | View, index: Index) -> None:
    """Report columns that do not exist, if all columns of the relation are known."""
    names = {column.name for column in relation.columns} if isinstance(relation, Table) else set(relation.columns)
    for column in (*index.expression_columns, *index.include_columns) if names else ():
        if column not in names and column not in SYSTEM_COLUMNS:
            state.issues.report_missing_column(relation.name, column)


def build_index(state: CatalogState, relation: Table | View, node: Any, name: str) -> Index:
    """Build the index that an IndexStmt defines."""
    elements = [one.index_elem for one in node.index_params]
    included = tuple([one.index_elem.name for one in node.index_including_params])
    column = relation.column if isinstance(relation, Table) else _find_no_column
    predicate = node.where_clause if node.HasField("where_clause") else None
    return Index(
        name=name,
        method=node.access_method or "btree",
        columns=tuple([one.name or None for one in elements]),
        expressions=tuple([format_expression(one.expr) for one in elements if not one.name]),
        include_columns=included,
        key_options=format_key_options(node.access_method, column, elements),
        unique=node.unique,
        nulls_not_distinct=node.nulls_not_distinct,
        predicate=None if predicate is None else format_expression(predicate),
        expression_columns=find_expression_columns(elements, predicate),
        location=state.issues.location(-1),
    )


def _find_no_column(name: str) -> None:
    """Return None for any name, because view columns have no collations."""


def generate_index_name(state: CatalogState, relation: Table | View, node: Any) -> str:
    """Return the name that PostgreSQL generates for an index without a name."""
    parameters = [one.index_elem for one in (*node.index_params, *node.index_including_params)]
    columns = [one.name or one.indexcolname or column_result_name(one.expr) or "expr" for one in parameters]
    second = index_name_columns(dedupe_column_names(columns))
    return state.constraints.free_index_name(relation.name.schema, relation.name.name, second, "idx", constraint=False)


def alter_index(state: CatalogState, node: Any) -> None:
    """Apply ALTER INDEX ... ATTACH PARTITION. The index becomes valid when every partition has an attached index."""
    for item in node.cmds:
        command = item.alter_table_cmd
        if command.subtype == pb.AT_AttachPartition:
            part = get_definition(command).partition_cmd.name
            _attach_index(state, _index_name(state, node.relation), _index_name(state, part))


def _index_name(state: CatalogState, node: Any) -> QualifiedName | None:
    relation_and_index = state.catalog.find_index(node.schemaname or None, node.relname)
    if relation_and_index is None:
        state.names.report_missing(node, "index")
        return None
    return QualifiedName(relation_and_index[0].name.schema, relation_and_index[1].name)


def _attach_index(state: CatalogState, parent: QualifiedName | None, child: QualifiedName | None) -> None:
    if parent is None or child is None:
        return
    state.indexes.parents[child] = parent
    table = state.tables.get(state.indexes.owners[parent])
    if table and all(_has_attached_index(state, one, parent) for one in state.catalog.partitions(table.name)):
        indexes = tuple(replace(one, valid=True) if one.name == parent.name else one for one in table.indexes)
        state.tables[table.name] = replace(table, indexes=indexes)


def _has_attached_index(state: CatalogState, table: Table, whole: QualifiedName) -> bool:
    return any(state.indexes.parents.get(QualifiedName(table.name.schema, one.name)) == whole for one in table.indexes)
