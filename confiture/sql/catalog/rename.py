"""ALTER ... RENAME."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confiture.models.catalog import CompositeType, DomainType, QualifiedName, Table, View
from confiture.models.records import replace
from confiture.sql.catalog.functions import find_function, rename_function
from confiture.sql.catalog.inheritance import propagate_to_children
from confiture.sql.catalog.rename_column import rename_column
from confiture.sql.catalog.set_schema import rename_type, set_name_or_schema
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.catalog.type_names import resolve_type
from confiture.sql.parse_tree import pb


def rename(state: CatalogState, node: Any) -> None:
    """Apply RENAME."""
    handler = _HANDLERS.get(node.rename_type)
    if handler:
        handler(state, node)


def _rename_relation(state: CatalogState, node: Any) -> None:
    relation = state.names.relation(node.relation)
    if relation is None:
        if state.catalog.find_index(node.relation.schemaname or None, node.relation.relname):
            _rename_index(state, node)
        elif not node.missing_ok:
            state.names.report_missing(node.relation, "relation")
        return
    if relation.name.name == node.newname:
        state.issues.report_duplicate("relation", relation.name, relation.location)
    set_name_or_schema(state, relation.name, QualifiedName(relation.name.schema, node.newname))


def _rename_index(state: CatalogState, node: Any) -> None:
    relation_and_index = state.catalog.find_index(node.relation.schemaname or None, node.relation.relname)
    if relation_and_index is None:
        if state.names.relation(node.relation):
            _rename_relation(state, node)
        elif not node.missing_ok:
            state.names.report_missing(node.relation, "index")
        return
    relation, index = relation_and_index
    rename_index(state, relation, index.name, node.newname)


def rename_index(state: CatalogState, relation: Table | View, old: str, new: str) -> None:
    """Rename an index and the constraint that it backs."""
    key = QualifiedName(relation.name.schema, new)
    if state.names.is_taken(key):
        state.issues.report_duplicate("relation", key, state.names.find_definition(key))
        return
    if isinstance(relation, Table) and relation.constraint(old) and relation.constraint(new):
        state.issues.report_duplicate("constraint", new, None)
        return
    indexes = tuple(
        replace(one, name=new, constraint=new if one.constraint else None) if one.name == old else one
        for one in relation.indexes
    )
    before = QualifiedName(relation.name.schema, old)
    whole = state.indexes.parents.get(before)
    state.indexes.release(before)
    state.indexes.owners[key] = relation.name
    if whole:
        state.indexes.parents[key] = whole
    for child in state.catalog.partitions(relation.name):
        for index in child.indexes:
            part = QualifiedName(child.name.schema, index.name)
            if state.indexes.parents.get(part) == before:
                state.indexes.parents[part] = key
    if isinstance(relation, View):
        state.views[relation.name] = replace(relation, indexes=indexes)
        return
    constraints = relation.constraints
    if any(one.name == old and one.kind not in ("check", "foreign key") for one in constraints):
        constraints = tuple(replace(one, name=new) if one.name == old else one for one in constraints)
        state.constraints.release(relation.name.schema, old)
        state.constraints.reserve(*key)
    state.tables[relation.name] = replace(relation, indexes=indexes, constraints=constraints)


def _rename_constraint(state: CatalogState, node: Any) -> None:
    table = state.names.relation(node.relation)
    if not isinstance(table, Table):
        if not node.missing_ok:
            state.names.report_missing(node.relation, "relation")
        return
    constraint = table.constraint(node.subname)
    if constraint is None:
        _rename_not_null(state, table, node)
    elif table.constraint(node.newname):
        state.issues.report_duplicate("constraint", node.newname, constraint.location)
    elif any(one.constraint == constraint.name for one in table.indexes):
        rename_index(state, table, constraint.name, node.newname)
    else:
        draft = TableBuilder.from_table(table)
        draft.constraints = {
            one.name: one
            for one in (
                replace(each, name=node.newname) if each.name == constraint.name else each for each in table.constraints
            )
        }
        state.constraints.release(table.name.schema, constraint.name)
        state.constraints.reserve(table.name.schema, node.newname)
        state.put_table(draft)


def _rename_not_null(state: CatalogState, table: Table, node: Any) -> None:
    columns = [one for one in table.columns if one.not_null_constraint == node.subname]
    if not columns:
        state.issues.report_missing("constraint", node.subname)
        return
    draft = TableBuilder.from_table(table)
    for column in columns:
        draft.columns[column.name] = replace(column, not_null_constraint=node.newname)
    state.constraints.release(table.name.schema, node.subname)
    state.constraints.reserve(table.name.schema, node.newname)
    state.put_table(draft)


def _rename_column(state: CatalogState, node: Any) -> None:
    relation = state.names.relation(node.relation)
    if isinstance(relation, View):
        columns = tuple(node.newname if one == node.subname else one for one in relation.columns)
        state.views[relation.name] = replace(relation, columns=columns)
        return
    if not isinstance(relation, Table):
        if not node.missing_ok:
            state.names.report_missing(node.relation, "relation")
        return
    if relation.column(node.subname) is None:
        state.issues.report_missing_column(relation.name, node.subname)
        return
    if relation.column(node.newname):
        state.issues.report_duplicate("column", f"{relation.name}.{node.newname}", None)
        return
    rename_column(state, relation, node.subname, node.newname)


def _rename_attribute(state: CatalogState, node: Any) -> None:
    parts = [pb.Node(string=pb.String(sval=one)) for one in (node.relation.schemaname, node.relation.relname) if one]
    type_ = resolve_type(state, parts)
    if isinstance(type_, CompositeType):
        attributes = tuple((node.newname if one == node.subname else one, kind) for one, kind in type_.attributes)
        state.types[type_.name] = replace(type_, attributes=attributes)


def _rename_type(state: CatalogState, node: Any) -> None:
    type_ = resolve_type(state, node.object.list.items)
    if type_:
        rename_type(state, type_, QualifiedName(type_.name.schema, node.newname))


def _rename_domain_constraint(state: CatalogState, node: Any) -> None:
    domain = resolve_type(state, node.object.list.items)
    if isinstance(domain, DomainType):
        checks = tuple((node.newname if one == node.subname else one, text, ok) for one, text, ok in domain.checks)
        state.types[domain.name] = replace(domain, checks=checks)


def _rename_function(state: CatalogState, node: Any) -> None:
    function = find_function(state, node.object.object_with_args)
    if function:
        rename_function(state, function, QualifiedName(function.signature.name.schema, node.newname))


def _rename_schema(state: CatalogState, node: Any) -> None:
    old, new = node.subname, node.newname
    if old not in state.schemas:
        state.names.require_schema(old)
        return
    if new in state.schemas:
        state.issues.report_duplicate("schema", new, state.schemas[new])
        return
    state.schemas[new] = state.schemas.pop(old)
    for name in [one for one in (*state.tables, *state.views) if one.schema == old]:
        set_name_or_schema(state, name, QualifiedName(new, name.name))
    for name in [one for one in state.sequences.all if one.schema == old]:
        set_name_or_schema(state, name, QualifiedName(new, name.name))
    for type_ in [one for one in state.types.values() if one.name.schema == old]:
        rename_type(state, type_, QualifiedName(new, type_.name.name))
    for function in [one for one in state.functions.all.values() if one.signature.name.schema == old]:
        rename_function(state, function, QualifiedName(new, function.signature.name.name))
    state.search_path[:] = [new if one == old else one for one in state.search_path]
    state.grants.move("schema", old, new)


def _make_table_object_renamer(kind: str, noun: str) -> Callable[[CatalogState, Any], None]:
    """Return a handler that renames an object on a table: a policy or a trigger."""

    def handler(state: CatalogState, node: Any) -> None:
        table = state.names.table(node.relation, missing_ok=node.missing_ok)
        if table is None:
            return
        objects = getattr(table, kind)
        if not any(one.name == node.subname for one in objects):
            state.issues.report_missing(noun, f"{node.subname} of {table.name}")
            return
        renamed = tuple(replace(one, name=node.newname) if one.name == node.subname else one for one in objects)
        changes: dict[str, Any] = {kind: renamed}
        state.tables[table.name] = replace(table, **changes)
        if kind == "triggers":
            propagate_to_children(state, table, state.tables[table.name])

    return handler


_HANDLERS: dict[int, Callable[[CatalogState, Any], None]] = {
    pb.OBJECT_TABLE: _rename_relation,
    pb.OBJECT_FOREIGN_TABLE: _rename_relation,
    pb.OBJECT_VIEW: _rename_relation,
    pb.OBJECT_MATVIEW: _rename_relation,
    pb.OBJECT_SEQUENCE: _rename_relation,
    pb.OBJECT_INDEX: _rename_index,
    pb.OBJECT_COLUMN: _rename_column,
    pb.OBJECT_TABCONSTRAINT: _rename_constraint,
    pb.OBJECT_ATTRIBUTE: _rename_attribute,
    pb.OBJECT_TYPE: _rename_type,
    pb.OBJECT_DOMAIN: _rename_type,
    pb.OBJECT_DOMCONSTRAINT: _rename_domain_constraint,
    pb.OBJECT_FUNCTION: _rename_function,
    pb.OBJECT_PROCEDURE: _rename_function,
    pb.OBJECT_ROUTINE: _rename_function,
    pb.OBJECT_SCHEMA: _rename_schema,
    pb.OBJECT_POLICY: _make_table_object_renamer("policies", "policy"),
    pb.OBJECT_TRIGGER: _make_table_object_renamer("triggers", "trigger"),
}
