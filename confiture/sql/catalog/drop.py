"""DROP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confiture.models.catalog import Constraint, DomainType, QualifiedName, Relation, Table, TableKind, View
from confiture.models.records import replace
from confiture.sql.catalog.functions import find_function, format_function
from confiture.sql.catalog.inheritance import drop_partition_indexes, propagate_to_children, remove_column
from confiture.sql.catalog.sequences import remove_sequence_use
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.catalog.triggers import remove_triggers
from confiture.sql.catalog.type_names import find_user_type, format_type
from confiture.sql.parse_tree import parse_expression, pb, schema_and_name, strings
from confiture.sql.search_paths import SYSTEM
from confiture.sql.traversal import walk


def drop(state: CatalogState, node: Any) -> None:
    """Apply DROP."""
    dropper = _DROPPERS.get(node.remove_type)
    for item in node.objects:
        if dropper:
            dropper(state, item, node)


def _is_cascade(node: Any) -> bool:
    return bool(node.behavior == pb.DROP_CASCADE)


def _drop_relation(state: CatalogState, item: Any, node: Any) -> None:
    schema, name = schema_and_name(item.list.items)
    relation = state.catalog.relation(schema, name)
    if relation and _is_kind(relation, node.remove_type):
        remove_relation(state, relation.name, cascade=_is_cascade(node))
    elif relation is None:
        _report_missing(state, node, schema, name)


def _is_kind(relation: Relation, kind: int) -> bool:
    """Whether the relation is of the kind that DROP names. If not, PostgreSQL rejects the statement."""
    own = pb.OBJECT_SEQUENCE
    if isinstance(relation, View):
        own = pb.OBJECT_MATVIEW if relation.materialized else pb.OBJECT_VIEW
    elif isinstance(relation, Table):
        own = pb.OBJECT_FOREIGN_TABLE if relation.kind is TableKind.FOREIGN else pb.OBJECT_TABLE
    return bool(kind == own)


def _report_missing(state: CatalogState, node: Any, schema: str | None, name: str) -> None:
    if not node.missing_ok and schema not in SYSTEM and not state.issues.has_unknown_extension:
        state.issues.report_missing(
            _KIND_NAMES[node.remove_type], QualifiedName(schema or state.names.creation_schema, name)
        )


def _drop_index(state: CatalogState, item: Any, node: Any) -> None:
    schema, name = schema_and_name(item.list.items)
    relation_and_index = state.catalog.find_index(schema, name)
    if relation_and_index is None:
        _report_missing(state, node, schema, name)
        return
    relation, index = relation_and_index
    if index.constraint:
        return  # PostgreSQL rejects the statement
    if isinstance(relation, View):
        state.indexes.release(QualifiedName(relation.name.schema, index.name))
        indexes = tuple(one for one in relation.indexes if one is not index)
        state.views[relation.name] = replace(relation, indexes=indexes)
        return
    draft = TableBuilder.from_table(relation)
    state.indexes.remove(draft, index.name)
    state.put_table(draft)
    _drop_partition_indexes(state, relation, {index.name})


def _drop_partition_indexes(state: CatalogState, parent: Table, removed: set[str]) -> None:
    for child in state.catalog.partitions(parent.name):
        part = TableBuilder.from_table(child)
        drop_partition_indexes(state, removed, parent, part)
        state.put_table(part)
        removed_here = {index.name for index in child.indexes} - set(part.indexes)
        if removed_here:
            _drop_partition_indexes(state, child, removed_here)


def remove_relation(state: CatalogState, name: QualifiedName, *, cascade: bool) -> None:
    """Remove a table, view, or sequence, including its parts. With CASCADE, also remove dependent objects."""
    table, view = state.tables.pop(name, None), state.views.pop(name, None)
    state.sequences.remove(name)
    relation = table or view
    for index in relation.indexes if relation else ():
        state.indexes.release(QualifiedName(name.schema, index.name))
    if table:
        _free_names(state, table, cascade=cascade)
    state.view_types.pop(name, None)
    state.issues.partial.discard(name)
    state.grants.move("table", str(name), None)
    state.grants.move("sequence", str(name), None)
    for dependent in sorted(state.dependencies.pop(name)):
        _remove_dependency(state, dependent, name, cascade=cascade)


def _free_names(state: CatalogState, table: Table, *, cascade: bool) -> None:
    for constraint in table.constraints:
        state.constraints.release(table.name.schema, constraint.name)
    for column in table.columns:
        if column.not_null_constraint:
            state.constraints.release(table.name.schema, column.not_null_constraint)
    for sequence in state.sequences.find_owned(table.name):
        remove_relation(state, sequence.name, cascade=cascade)
    state.sequences.remove_table(table.name)


def _remove_dependency(state: CatalogState, dependent: QualifiedName, name: QualifiedName, *, cascade: bool) -> None:
    """Remove a dependent object.

    Partitions are always dropped with their parent; foreign keys and views only with CASCADE.
    """
    view = state.views.get(dependent)
    if view and name in view.relations and cascade:
        remove_relation(state, dependent, cascade=True)
    table = state.tables.get(dependent)
    if table is None:
        return
    if name in table.parents and (cascade or table.partition_bound):
        remove_relation(state, dependent, cascade=cascade)
    elif cascade:
        _remove_foreign_keys(state, table, lambda key: key.target == name)
        remove_sequence_use(state, dependent, name)


def _remove_foreign_keys(state: CatalogState, table: Table, is_affected: Callable[[Constraint], bool]) -> None:
    names = [key.name for key in table.foreign_keys if is_affected(key)]
    if names:
        draft = TableBuilder.from_table(table)
        for key in names:
            state.constraints.remove(draft, key)
        state.put_table(draft)


def cascade_key(state: CatalogState, draft: TableBuilder, removed: Constraint) -> None:
    """Remove the foreign keys that reference a removed key."""
    for table in state.catalog.tables_referencing(draft.name):
        _remove_foreign_keys(
            state, table, lambda key: key.target == draft.name and sorted(key.target_columns) == sorted(removed.columns)
        )


def cascade_column(state: CatalogState, draft: TableBuilder, name: str) -> None:
    """Remove the foreign keys, views, generated columns, and policies that depend on a removed column."""
    for table in state.catalog.tables_referencing(draft.name):
        _remove_foreign_keys(state, table, lambda key: key.target == draft.name and name in key.target_columns)
    for key in list(draft.constraints.values()):
        if key.target == draft.name and name in key.target_columns:
            state.constraints.remove(draft, key.name)
    for view in state.catalog.views_reading(draft.name):
        if _is_column_read(view.query.text, name, view.columns):
            remove_relation(state, view.name, cascade=True)
    for column in list(draft.columns.values()):
        if column.generated and column.default and _is_column_read(f"SELECT {column.default}", name):
            remove_column(state, draft, column.name)
    for policy in list(draft.policies.values()):
        if any(text and _is_column_read(f"SELECT {text}", name) for text in (policy.using, policy.with_check)):
            del draft.policies[policy.name]


def _is_column_read(query: str, column: str, known_columns: Sequence[str] = ()) -> bool:
    """Whether a query names a column or reads all columns. `known_columns` are the relation's columns, if known."""
    for node in walk(parse_expression(f"({query})")):
        if node.DESCRIPTOR.name == "A_Star" and (not known_columns or column in known_columns):
            return True
        if node.DESCRIPTOR.name == "ColumnRef" and node.fields and node.fields[-1].string.sval == column:
            return True
    return False


def _drop_type(state: CatalogState, item: Any, node: Any) -> None:
    schema, text = schema_and_name(item.type_name.names)
    name = find_user_type(state, schema, text)
    if name is None:
        _report_missing(state, node, schema, text)
        return
    if name in state.types or name in state.other_types:
        remove_type(state, name, cascade=_is_cascade(node))


def remove_type(state: CatalogState, name: QualifiedName, *, cascade: bool) -> None:
    """Remove a type. With CASCADE, also remove the columns of that type."""
    type_ = state.types.pop(name, None)
    for check in type_.checks if isinstance(type_, DomainType) else ():
        state.constraints.release(name.schema, check[0])
    state.other_types.discard(name)
    users = state.dependencies.pop(name)
    if not cascade:
        return
    type_text = format_type(name)
    for user in sorted(users):
        table = state.tables.get(user)
        if table:
            draft = TableBuilder.from_table(table)
            for column in table.columns:
                if column.type.removesuffix("[]") == type_text:
                    remove_column(state, draft, column.name)
                    cascade_column(state, draft, column.name)
            state.put_table(draft)


def _drop_function(state: CatalogState, item: Any, node: Any) -> None:
    function = find_function(state, item.object_with_args, missing_ok=node.missing_ok)
    if function is None:
        return
    name = function.signature.name
    state.functions.remove(function.signature)
    state.grants.move("function", format_function(function.signature), None)
    if _is_cascade(node) and not function.signature.arguments:
        remove_triggers(state, name)


def _drop_schema(state: CatalogState, item: Any, node: Any) -> None:
    name = item.string.sval
    if name not in state.schemas:
        if not node.missing_ok:
            state.names.require_schema(name)
        return
    owned = [one for one in (*state.tables, *state.views, *state.sequences.all, *state.types) if one.schema == name]
    functions = [one for one in state.functions.all if one.name.schema == name]
    if (owned or functions) and not _is_cascade(node):
        return  # PostgreSQL rejects the statement
    for one in owned:
        if one in state.types:
            remove_type(state, one, cascade=True)
        else:
            remove_relation(state, one, cascade=True)
    for signature in functions:
        state.functions.remove(signature)
        remove_triggers(state, signature.name)
    state.other_types -= {one for one in state.other_types if one.schema == name}
    state.grants.move("schema", name, None)
    del state.schemas[name]


def _drop_extension(state: CatalogState, item: Any, node: Any) -> None:
    name = item.string.sval
    if name in state.extensions:
        del state.extensions[name]
    elif not node.missing_ok:
        state.issues.report_missing("extension", name)


def _make_table_object_dropper(kind: str) -> Callable[[CatalogState, Any, Any], None]:
    """Return a handler that drops an object on a table, such as a policy."""

    def dropper(state: CatalogState, item: Any, node: Any) -> None:
        parts = strings(item.list.items)
        schema, text = schema_and_name(item.list.items[:-1])
        table = state.catalog.relation(schema, text)
        if table is None:
            _report_missing(state, node, schema, text)
            return
        if not isinstance(table, Table):
            return
        objects = getattr(table, kind)
        remaining = tuple(one for one in objects if one.name != parts[-1])
        if len(remaining) == len(objects) and not node.missing_ok:
            state.issues.report_missing(_KIND_NAMES[node.remove_type], f"{parts[-1]} of {table.name}")
        changes: dict[str, Any] = {kind: remaining}
        state.tables[table.name] = replace(table, **changes)
        if kind == "triggers":
            propagate_to_children(state, table, state.tables[table.name])

    return dropper


def drop_owned(state: CatalogState, node: Any) -> None:
    """Apply DROP OWNED."""
    state.issues.mark_unknown("the objects that this statement drops are unknown", "DROP OWNED")


_KIND_NAMES = {
    pb.OBJECT_TABLE: "table",
    pb.OBJECT_FOREIGN_TABLE: "foreign table",
    pb.OBJECT_VIEW: "view",
    pb.OBJECT_MATVIEW: "materialized view",
    pb.OBJECT_SEQUENCE: "sequence",
    pb.OBJECT_INDEX: "index",
    pb.OBJECT_TYPE: "type",
    pb.OBJECT_DOMAIN: "domain",
    pb.OBJECT_POLICY: "policy",
    pb.OBJECT_TRIGGER: "trigger",
}
_DROPPERS: dict[int, Callable[[CatalogState, Any, Any], None]] = {
    pb.OBJECT_TABLE: _drop_relation,
    pb.OBJECT_FOREIGN_TABLE: _drop_relation,
    pb.OBJECT_VIEW: _drop_relation,
    pb.OBJECT_MATVIEW: _drop_relation,
    pb.OBJECT_SEQUENCE: _drop_relation,
    pb.OBJECT_INDEX: _drop_index,
    pb.OBJECT_TYPE: _drop_type,
    pb.OBJECT_DOMAIN: _drop_type,
    pb.OBJECT_FUNCTION: _drop_function,
    pb.OBJECT_PROCEDURE: _drop_function,
    pb.OBJECT_ROUTINE: _drop_function,
    pb.OBJECT_SCHEMA: _drop_schema,
    pb.OBJECT_EXTENSION: _drop_extension,
    pb.OBJECT_POLICY: _make_table_object_dropper("policies"),
    pb.OBJECT_TRIGGER: _make_table_object_dropper("triggers"),
}
