"""COMMENT ON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confiture.models.catalog import QualifiedName, Table, View
from confiture.models.records import replace
from confiture.sql.catalog.functions import find_function
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.type_names import resolve_type
from confiture.sql.parse_tree import pb, schema_and_name, strings
from confiture.sql.search_paths import SYSTEM


def comment(state: CatalogState, node: Any) -> None:
    """Apply COMMENT ON."""
    handler = _HANDLERS.get(node.objtype)
    if handler:
        handler(state, node.object, node.comment or None)


def _comment_on_relation(state: CatalogState, node: Any, text: str | None) -> None:
    schema, name = schema_and_name(node.list.items)
    relation = state.catalog.relation(schema, name)
    if isinstance(relation, Table):
        state.tables[relation.name] = replace(relation, comment=text)
    elif isinstance(relation, View):
        state.views[relation.name] = replace(relation, comment=text)
    elif relation is None:
        _report_missing(state, "relation", schema, name)


def _report_missing(state: CatalogState, kind: str, schema: str | None, name: str) -> None:
    if schema not in SYSTEM and not state.issues.has_unknown_extension:
        state.issues.report_missing(kind, QualifiedName(schema or state.names.creation_schema, name))


def _comment_on_column(state: CatalogState, node: Any, text: str | None) -> None:
    parts = strings(node.list.items)
    if len(parts) < 2:
        return
    schema, name = (parts[-3] if len(parts) > 2 else None), parts[-2]
    relation = state.catalog.relation(schema, name)
    if isinstance(relation, Table):
        column = relation.column(parts[-1])
        if column is None:
            state.issues.report_missing_column(relation.name, parts[-1])
            return
        commented = replace(column, comment=text)
        columns = tuple([commented if one is column else one for one in relation.columns])
        state.tables[relation.name] = replace(relation, columns=columns)
    elif isinstance(relation, View):
        if relation.columns and parts[-1] not in relation.columns:
            state.issues.report_missing_column(relation.name, parts[-1])
    elif relation is None and resolve_type(state, node.list.items[:-1], missing_ok=True) is None:
        _report_missing(state, "relation", schema, name)


def _comment_on_index(state: CatalogState, node: Any, text: str | None) -> None:
    schema, name = schema_and_name(node.list.items)
    relation_and_index = state.catalog.find_index(schema, name)
    if relation_and_index is None:
        _report_missing(state, "index", schema, name)
        return
    relation, index = relation_and_index
    indexes = tuple(replace(one, comment=text) if one is index else one for one in relation.indexes)
    if isinstance(relation, Table):
        state.tables[relation.name] = replace(relation, indexes=indexes)
    else:
        state.views[relation.name] = replace(relation, indexes=indexes)


def _find_table_object(state: CatalogState, node: Any) -> tuple[Table | None, str]:
    """Resolve a list of strings to a table and the name of an object on that table."""
    parts = strings(node.list.items)
    schema, name = schema_and_name(node.list.items[:-1])
    relation = state.catalog.relation(schema, name)
    if relation is None:
        _report_missing(state, "relation", schema, name)
    return (relation if isinstance(relation, Table) else None), parts[-1]


def _comment_on_constraint(state: CatalogState, node: Any, text: str | None) -> None:
    table, name = _find_table_object(state, node)
    if table is None:
        return
    if table.constraint(name) is None:
        if not any(column.not_null_constraint == name for column in table.columns):
            state.issues.report_missing("constraint", f"{name} of {table.name}")
        return
    constraints = tuple(replace(one, comment=text) if one.name == name else one for one in table.constraints)
    state.tables[table.name] = replace(table, constraints=constraints)


def _comment_on_policy(state: CatalogState, node: Any, text: str | None) -> None:
    table, name = _find_table_object(state, node)
    if table and not any(one.name == name for one in table.policies):
        state.issues.report_missing("policy", f"{name} of {table.name}")


def _comment_on_trigger(state: CatalogState, node: Any, text: str | None) -> None:
    table, name = _find_table_object(state, node)
    if table and not any(one.name == name for one in table.triggers):
        state.issues.report_missing("trigger", f"{name} of {table.name}")


def _comment_on_function(state: CatalogState, node: Any, text: str | None) -> None:
    function = find_function(state, node.object_with_args)
    if function:
        state.functions.all[function.signature] = replace(function, comment=text)


def _comment_on_type(state: CatalogState, node: Any, text: str | None) -> None:
    resolve_type(state, node.type_name.names)


def _comment_on_schema(state: CatalogState, node: Any, text: str | None) -> None:
    state.names.require_schema(node.string.sval)


_HANDLERS: dict[int, Callable[[CatalogState, Any, str | None], None]] = {
    pb.OBJECT_TABLE: _comment_on_relation,
    pb.OBJECT_FOREIGN_TABLE: _comment_on_relation,
    pb.OBJECT_VIEW: _comment_on_relation,
    pb.OBJECT_MATVIEW: _comment_on_relation,
    pb.OBJECT_SEQUENCE: _comment_on_relation,
    pb.OBJECT_COLUMN: _comment_on_column,
    pb.OBJECT_INDEX: _comment_on_index,
    pb.OBJECT_TABCONSTRAINT: _comment_on_constraint,
    pb.OBJECT_POLICY: _comment_on_policy,
    pb.OBJECT_TRIGGER: _comment_on_trigger,
    pb.OBJECT_FUNCTION: _comment_on_function,
    pb.OBJECT_PROCEDURE: _comment_on_function,
    pb.OBJECT_TYPE: _comment_on_type,
    pb.OBJECT_DOMAIN: _comment_on_type,
    pb.OBJECT_SCHEMA: _comment_on_schema,
}
