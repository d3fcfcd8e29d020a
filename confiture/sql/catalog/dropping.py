"""DROP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confiture.models.catalog import Constraint, Domain, Name, Relation, Table, TableKind, View
from confiture.models.values import replace
from confiture.sql.catalog.functions import function_of, function_text
from confiture.sql.catalog.inheritance import drop_parts, follow, remove_column
from confiture.sql.catalog.issues import SYSTEM
from confiture.sql.catalog.resolving import user_type, written
from confiture.sql.catalog.sequences import forget_sequence
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.catalog.triggers import remove_triggers
from confiture.sql.tree import expression_of, names, pb, strings
from confiture.sql.walking import walk


def drop(state: CatalogState, node: Any) -> None:
    """DROP of anything."""
    dropper = _DROPPERS.get(node.remove_type)
    for item in node.objects:
        if dropper:
            dropper(state, item, node)


def _cascades(node: Any) -> bool:
    return bool(node.behavior == pb.DROP_CASCADE)


def _drop_relation(state: CatalogState, item: Any, node: Any) -> None:
    schema, name = names(item.list.items)
    relation = state.catalog.relation(schema, name)
    if relation and _is_kind(relation, node.remove_type):
        remove_relation(state, relation.name, cascade=_cascades(node))
    elif relation is None:
        _missing(state, node, schema, name)


def _is_kind(relation: Relation, kind: int) -> bool:
    """Whether it is what DROP says; otherwise PostgreSQL refuses."""
    own = pb.OBJECT_SEQUENCE
    if isinstance(relation, View):
        own = pb.OBJECT_MATVIEW if relation.materialized else pb.OBJECT_VIEW
    elif isinstance(relation, Table):
        own = pb.OBJECT_FOREIGN_TABLE if relation.kind is TableKind.FOREIGN else pb.OBJECT_TABLE
    return bool(kind == own)


def _missing(state: CatalogState, node: Any, schema: str | None, name: str) -> None:
    if not node.missing_ok and schema not in SYSTEM and not state.issues.has_unknown_extension:
        state.issues.report_missing(_WORDS[node.remove_type], Name(schema or state.names.creation_schema, name))


def _drop_index(state: CatalogState, item: Any, node: Any) -> None:
    schema, name = names(item.list.items)
    found = state.catalog.indexed(schema, name)
    if found is None:
        _missing(state, node, schema, name)
        return
    relation, index = found
    if index.constraint:
        return  # PostgreSQL refuses
    if isinstance(relation, View):
        state.indexes.release(Name(relation.name.schema, index.name))
        left = tuple(one for one in relation.indexes if one is not index)
        state.views[relation.name] = replace(relation, indexes=left)
        return
    draft = TableBuilder.from_table(relation)
    state.indexes.remove(draft, index.name)
    state.put_table(draft)
    _drop_parts(state, relation, {index.name})


def _drop_parts(state: CatalogState, parent: Table, gone: set[str]) -> None:
    for child in state.catalog.partitions(parent.name):
        part = TableBuilder.from_table(child)
        drop_parts(state, gone, parent, part)
        state.put_table(part)
        lost = {index.name for index in child.indexes} - set(part.indexes)
        if lost:
            _drop_parts(state, child, lost)


def remove_relation(state: CatalogState, name: Name, *, cascade: bool) -> None:
    """Takes a table, view or sequence away with all that is part of it; with CASCADE what depends on it too."""
    table, view = state.tables.pop(name, None), state.views.pop(name, None)
    state.sequences.remove(name)
    relation = table or view
    for index in relation.indexes if relation else ():
        state.indexes.release(Name(name.schema, index.name))
    if table:
        _forget(state, table, cascade=cascade)
    state.view_types.pop(name, None)
    state.issues.partial.discard(name)
    state.grants.move("table", str(name), None)
    state.grants.move("sequence", str(name), None)
    for dependent in sorted(state.dependencies.pop(name)):
        _cut(state, dependent, name, cascade=cascade)


def _forget(state: CatalogState, table: Table, *, cascade: bool) -> None:
    for constraint in table.constraints:
        state.constraints.release(table.name.schema, constraint.name)
    for column in table.columns:
        if column.not_null_constraint:
            state.constraints.release(table.name.schema, column.not_null_constraint)
    for sequence in state.sequences.owned_by(table.name):
        remove_relation(state, sequence.name, cascade=cascade)
    state.sequences.forget_table(table.name)


def _cut(state: CatalogState, dependent: Name, name: Name, *, cascade: bool) -> None:
    """Ends a dependency: a partition goes with its parent; foreign keys and views only with CASCADE."""
    view = state.views.get(dependent)
    if view and name in view.relations and cascade:
        remove_relation(state, dependent, cascade=True)
    table = state.tables.get(dependent)
    if table is None:
        return
    if name in table.parents and (cascade or table.partition_bound):
        remove_relation(state, dependent, cascade=cascade)
    elif cascade:
        _remove_keys(state, table, lambda key: key.target == name)
        forget_sequence(state, dependent, name)


def _remove_keys(state: CatalogState, table: Table, chosen: Callable[[Constraint], bool]) -> None:
    gone = [key.name for key in table.foreign_keys if chosen(key)]
    if gone:
        draft = TableBuilder.from_table(table)
        for key in gone:
            state.constraints.remove(draft, key)
        state.put_table(draft)


def cut_key(state: CatalogState, draft: TableBuilder, gone: Constraint) -> None:
    """Takes the foreign keys away that refer to a key that went."""
    for table in state.catalog.referring(draft.name):
        _remove_keys(
            state, table, lambda key: key.target == draft.name and sorted(key.target_columns) == sorted(gone.columns)
        )


def cut_column(state: CatalogState, draft: TableBuilder, name: str) -> None:
    """Takes the foreign keys, views, generated columns and policies away that depend on a column that went."""
    for table in state.catalog.referring(draft.name):
        _remove_keys(state, table, lambda key: key.target == draft.name and name in key.target_columns)
    for key in list(draft.constraints.values()):
        if key.target == draft.name and name in key.target_columns:
            state.constraints.remove(draft, key.name)
    for view in state.catalog.views_on(draft.name):
        if _reads(view.query.text, name, view.columns):
            remove_relation(state, view.name, cascade=True)
    for column in list(draft.columns.values()):
        if column.generated and column.default and _reads(f"SELECT {column.default}", name):
            remove_column(state, draft, column.name)
    for policy in list(draft.policies.values()):
        if any(text and _reads(f"SELECT {text}", name) for text in (policy.using, policy.with_check)):
            del draft.policies[policy.name]


def _reads(query: str, column: str, shown: Sequence[str] = ()) -> bool:
    """Whether a query names a column, or reads all of them; `shown` are those it has, where they are known."""
    for node in walk(expression_of(f"({query})")):
        if node.DESCRIPTOR.name == "A_Star" and (not shown or column in shown):
            return True
        if node.DESCRIPTOR.name == "ColumnRef" and node.fields and node.fields[-1].string.sval == column:
            return True
    return False


def _drop_type(state: CatalogState, item: Any, node: Any) -> None:
    schema, text = names(item.type_name.names)
    name = user_type(state, schema, text)
    if name is None:
        _missing(state, node, schema, text)
        return
    if name in state.types or name in state.other_types:
        remove_type(state, name, cascade=_cascades(node))


def remove_type(state: CatalogState, name: Name, *, cascade: bool) -> None:
    """Takes a type away; with CASCADE the columns of it go too."""
    type_ = state.types.pop(name, None)
    for check in type_.checks if isinstance(type_, Domain) else ():
        state.constraints.release(name.schema, check[0])
    state.other_types.discard(name)
    users = state.dependencies.pop(name)
    if not cascade:
        return
    spelled = written(name)
    for user in sorted(users):
        table = state.tables.get(user)
        if table:
            draft = TableBuilder.from_table(table)
            for column in table.columns:
                if column.type.removesuffix("[]") == spelled:
                    remove_column(state, draft, column.name)
                    cut_column(state, draft, column.name)
            state.put_table(draft)


def _drop_function(state: CatalogState, item: Any, node: Any) -> None:
    function = function_of(state, item.object_with_args, missing_ok=node.missing_ok)
    if function is None:
        return
    name = function.signature.name
    state.functions.remove(function.signature)
    state.grants.move("function", function_text(function.signature), None)
    if _cascades(node) and not function.signature.arguments:
        remove_triggers(state, name)


def _drop_schema(state: CatalogState, item: Any, node: Any) -> None:
    name = item.string.sval
    if name not in state.schemas:
        if not node.missing_ok:
            state.names.require_schema(name)
        return
    owned = [one for one in (*state.tables, *state.views, *state.sequences.all, *state.types) if one.schema == name]
    functions = [one for one in state.functions.all if one.name.schema == name]
    if (owned or functions) and not _cascades(node):
        return  # PostgreSQL refuses
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


def _drop_part(kind: str) -> Callable[[CatalogState, Any, Any], None]:
    """Drops what is named on a table."""

    def dropper(state: CatalogState, item: Any, node: Any) -> None:
        parts = strings(item.list.items)
        schema, text = names(item.list.items[:-1])
        table = state.catalog.relation(schema, text)
        if table is None:
            _missing(state, node, schema, text)
            return
        if not isinstance(table, Table):
            return
        found = getattr(table, kind)
        left = tuple(one for one in found if one.name != parts[-1])
        if len(left) == len(found) and not node.missing_ok:
            state.issues.report_missing(_WORDS[node.remove_type], f"{parts[-1]} of {table.name}")
        changes: dict[str, Any] = {kind: left}
        state.tables[table.name] = replace(table, **changes)
        if kind == "triggers":
            follow(state, table, state.tables[table.name])

    return dropper


def drop_owned(state: CatalogState, node: Any) -> None:
    """DROP OWNED."""
    state.issues.mark_unknown("what this drops is not known", "DROP OWNED")


_WORDS = {
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
    pb.OBJECT_POLICY: _drop_part("policies"),
    pb.OBJECT_TRIGGER: _drop_part("triggers"),
}
