"""CREATE INDEX."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Index, Name, Table, TableKind, View
from confiture.models.values import replace
from confiture.sql.catalog.constraints import SYSTEM_COLUMNS
from confiture.sql.catalog.inheritance import follow
from confiture.sql.catalog.keys import columns_read, key_options
from confiture.sql.catalog.names import of_columns, told_apart
from confiture.sql.catalog.state import CatalogState
from confiture.sql.tree import definition, expression_text, pb, result_name


def create_index(state: CatalogState, node: Any) -> None:
    """CREATE INDEX."""
    relation = state.names.relation(node.relation)
    if not isinstance(relation, Table | View):
        if relation is None:
            state.names.report_missing(node.relation)
            if node.idxname:  # the table may be in the database all the same
                state.created.add(Name(node.relation.schemaname or state.names.creation_schema, node.idxname))
        return
    name = Name(relation.name.schema, node.idxname or generated_name(state, relation, node))
    if state.names.is_taken(name):
        if not node.if_not_exists:
            state.issues.report_duplicate("relation", name, state.names.defined_at(name))
        return
    index = index_of(state, relation, node, name.name)
    _require(state, relation, index)
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
        follow(state, relation, state.tables[relation.name])


def _require(state: CatalogState, relation: Table | View, index: Index) -> None:
    """Notes which columns are not there, where all that are there are known."""
    known = {column.name for column in relation.columns} if isinstance(relation, Table) else set(relation.columns)
    for column in (*index.reads, *index.included) if known else ():
        if column not in known and column not in SYSTEM_COLUMNS:
            state.issues.report_missing_column(relation.name, column)


def index_of(state: CatalogState, relation: Table | View, node: Any, name: str) -> Index:
    """The index of an IndexStmt."""
    elements = [one.index_elem for one in node.index_params]
    included = tuple([one.index_elem.name for one in node.index_including_params])
    column = relation.column if isinstance(relation, Table) else _no_column
    predicate = node.where_clause if node.HasField("where_clause") else None
    return Index(
        name=name,
        method=node.access_method or "btree",
        columns=tuple([one.name or None for one in elements]),
        expressions=tuple([expression_text(one.expr) for one in elements if not one.name]),
        included=included,
        key_options=key_options(node.access_method, column, elements),
        unique=node.unique,
        nulls_not_distinct=node.nulls_not_distinct,
        predicate=None if predicate is None else expression_text(predicate),
        reads=columns_read(elements, predicate),
        place=state.issues.location(-1),
    )


def _no_column(name: str) -> None:
    """The columns of views have no collations of their own."""


def generated_name(state: CatalogState, relation: Table | View, node: Any) -> str:
    """The name that PostgreSQL gives to an index without one."""
    parameters = [one.index_elem for one in (*node.index_params, *node.index_including_params)]
    columns = [one.name or one.indexcolname or result_name(one.expr) or "expr" for one in parameters]
    second = of_columns(told_apart(columns))
    return state.constraints.free_index_name(relation.name.schema, relation.name.name, second, "idx", constraint=False)


def alter_index(state: CatalogState, node: Any) -> None:
    """ALTER INDEX ... ATTACH PARTITION: the index is valid once each partition has its part."""
    for item in node.cmds:
        command = item.alter_table_cmd
        if command.subtype == pb.AT_AttachPartition:
            part = definition(command).partition_cmd.name
            _attach(state, _key(state, node.relation), _key(state, part))


def _key(state: CatalogState, node: Any) -> Name | None:
    found = state.catalog.indexed(node.schemaname or None, node.relname)
    if found is None:
        state.names.report_missing(node, "index")
        return None
    return Name(found[0].name.schema, found[1].name)


def _attach(state: CatalogState, whole: Name | None, part: Name | None) -> None:
    if whole is None or part is None:
        return
    state.indexes.parents[part] = whole
    table = state.tables.get(state.indexes.owners[whole])
    if table and all(_has_part(state, one, whole) for one in state.catalog.partitions(table.name)):
        indexes = tuple(replace(one, valid=True) if one.name == whole.name else one for one in table.indexes)
        state.tables[table.name] = replace(table, indexes=indexes)


def _has_part(state: CatalogState, table: Table, whole: Name) -> bool:
    return any(state.indexes.parents.get(Name(table.name.schema, one.name)) == whole for one in table.indexes)
