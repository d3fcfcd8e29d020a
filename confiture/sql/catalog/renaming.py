"""ALTER ... RENAME."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confiture.models.catalog import Composite, Domain, Name, Table, View
from confiture.models.values import replace
from confiture.sql.catalog.functions import function_of, rename_function
from confiture.sql.catalog.inheritance import follow
from confiture.sql.catalog.moving import move, move_type
from confiture.sql.catalog.renaming_columns import rename_column
from confiture.sql.catalog.resolving import named_type
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.tree import pb


def rename(state: CatalogState, node: Any) -> None:
    """RENAME of anything."""
    handler = _HANDLERS.get(node.rename_type)
    if handler:
        handler(state, node)


def _relation(state: CatalogState, node: Any) -> None:
    found = state.names.relation(node.relation)
    if found is None:
        if state.catalog.indexed(node.relation.schemaname or None, node.relation.relname):
            _index(state, node)
        elif not node.missing_ok:
            state.names.report_missing(node.relation, "relation")
        return
    if found.name.name == node.newname:
        state.issues.report_duplicate("relation", found.name, found.place)
    move(state, found.name, Name(found.name.schema, node.newname))


def _index(state: CatalogState, node: Any) -> None:
    found = state.catalog.indexed(node.relation.schemaname or None, node.relation.relname)
    if found is None:
        if state.names.relation(node.relation):
            _relation(state, node)
        elif not node.missing_ok:
            state.names.report_missing(node.relation, "index")
        return
    relation, index = found
    rename_index(state, relation, index.name, node.newname)


def rename_index(state: CatalogState, relation: Table | View, old: str, new: str) -> None:
    """Renames an index, and the constraint that it serves."""
    key = Name(relation.name.schema, new)
    if state.names.is_taken(key):
        state.issues.report_duplicate("relation", key, state.names.defined_at(key))
        return
    if isinstance(relation, Table) and relation.constraint(old) and relation.constraint(new):
        state.issues.report_duplicate("constraint", new, None)
        return
    indexes = tuple(
        replace(one, name=new, constraint=new if one.constraint else None) if one.name == old else one
        for one in relation.indexes
    )
    before = Name(relation.name.schema, old)
    whole = state.indexes.parents.get(before)
    state.indexes.release(before)
    state.indexes.owners[key] = relation.name
    if whole:
        state.indexes.parents[key] = whole
    for child in state.catalog.partitions(relation.name):
        for index in child.indexes:
            part = Name(child.name.schema, index.name)
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


def _constraint(state: CatalogState, node: Any) -> None:
    table = state.names.relation(node.relation)
    if not isinstance(table, Table):
        if not node.missing_ok:
            state.names.report_missing(node.relation, "relation")
        return
    constraint = table.constraint(node.subname)
    if constraint is None:
        _not_null(state, table, node)
    elif table.constraint(node.newname):
        state.issues.report_duplicate("constraint", node.newname, constraint.place)
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


def _not_null(state: CatalogState, table: Table, node: Any) -> None:
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


def _column(state: CatalogState, node: Any) -> None:
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


def _attribute(state: CatalogState, node: Any) -> None:
    parts = [pb.Node(string=pb.String(sval=one)) for one in (node.relation.schemaname, node.relation.relname) if one]
    found = named_type(state, parts)
    if isinstance(found, Composite):
        attributes = tuple((node.newname if one == node.subname else one, kind) for one, kind in found.attributes)
        state.types[found.name] = replace(found, attributes=attributes)


def _type(state: CatalogState, node: Any) -> None:
    found = named_type(state, node.object.list.items)
    if found:
        move_type(state, found, Name(found.name.schema, node.newname))


def _domain_constraint(state: CatalogState, node: Any) -> None:
    found = named_type(state, node.object.list.items)
    if isinstance(found, Domain):
        checks = tuple((node.newname if one == node.subname else one, text, ok) for one, text, ok in found.checks)
        state.types[found.name] = replace(found, checks=checks)


def _function(state: CatalogState, node: Any) -> None:
    function = function_of(state, node.object.object_with_args)
    if function:
        rename_function(state, function, Name(function.signature.name.schema, node.newname))


def _schema(state: CatalogState, node: Any) -> None:
    old, new = node.subname, node.newname
    if old not in state.schemas:
        state.names.require_schema(old)
        return
    if new in state.schemas:
        state.issues.report_duplicate("schema", new, state.schemas[new])
        return
    state.schemas[new] = state.schemas.pop(old)
    for name in [one for one in (*state.tables, *state.views) if one.schema == old]:
        move(state, name, Name(new, name.name))
    for name in [one for one in state.sequences.all if one.schema == old]:
        move(state, name, Name(new, name.name))
    for type_ in [one for one in state.types.values() if one.name.schema == old]:
        move_type(state, type_, Name(new, type_.name.name))
    for function in [one for one in state.functions.all.values() if one.signature.name.schema == old]:
        rename_function(state, function, Name(new, function.signature.name.name))
    state.search_path[:] = [new if one == old else one for one in state.search_path]
    state.grants.move("schema", old, new)


def _part(kind: str, word: str) -> Callable[[CatalogState, Any], None]:
    """Renames what is named on a table: a policy or a trigger."""

    def handler(state: CatalogState, node: Any) -> None:
        table = state.names.table(node.relation, missing_ok=node.missing_ok)
        if table is None:
            return
        found = getattr(table, kind)
        if not any(one.name == node.subname for one in found):
            state.issues.report_missing(word, f"{node.subname} of {table.name}")
            return
        renamed = tuple(replace(one, name=node.newname) if one.name == node.subname else one for one in found)
        changes: dict[str, Any] = {kind: renamed}
        state.tables[table.name] = replace(table, **changes)
        if kind == "triggers":
            follow(state, table, state.tables[table.name])

    return handler


_HANDLERS: dict[int, Callable[[CatalogState, Any], None]] = {
    pb.OBJECT_TABLE: _relation,
    pb.OBJECT_FOREIGN_TABLE: _relation,
    pb.OBJECT_VIEW: _relation,
    pb.OBJECT_MATVIEW: _relation,
    pb.OBJECT_SEQUENCE: _relation,
    pb.OBJECT_INDEX: _index,
    pb.OBJECT_COLUMN: _column,
    pb.OBJECT_TABCONSTRAINT: _constraint,
    pb.OBJECT_ATTRIBUTE: _attribute,
    pb.OBJECT_TYPE: _type,
    pb.OBJECT_DOMAIN: _type,
    pb.OBJECT_DOMCONSTRAINT: _domain_constraint,
    pb.OBJECT_FUNCTION: _function,
    pb.OBJECT_PROCEDURE: _function,
    pb.OBJECT_ROUTINE: _function,
    pb.OBJECT_SCHEMA: _schema,
    pb.OBJECT_POLICY: _part("policies", "policy"),
    pb.OBJECT_TRIGGER: _part("triggers", "trigger"),
}
