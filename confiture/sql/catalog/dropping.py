"""DROP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confiture.models.catalog import Constraint, Domain, Name, Relation, Table, TableKind, View
from confiture.models.values import replace
from confiture.sql.catalog.defaults import forget_sequence
from confiture.sql.catalog.functions import function_of, function_text, remove_function
from confiture.sql.catalog.inheritance import drop_parts, follow, remove_column
from confiture.sql.catalog.resolving import user_type, written
from confiture.sql.catalog.triggers import remove_triggers
from confiture.sql.catalog.work import SYSTEM, TableDraft, Work, thawed
from confiture.sql.tree import expression_of, names, pb, strings
from confiture.sql.walking import walk


def drop(work: Work, node: Any) -> None:
    """DROP of anything."""
    dropper = _DROPPERS.get(node.remove_type)
    for item in node.objects:
        if dropper:
            dropper(work, item, node)


def _cascades(node: Any) -> bool:
    return bool(node.behavior == pb.DROP_CASCADE)


def _drop_relation(work: Work, item: Any, node: Any) -> None:
    schema, name = names(item.list.items)
    relation = work.catalog.relation(schema, name)
    if relation and _is_kind(relation, node.remove_type):
        remove_relation(work, relation.name, cascade=_cascades(node))
    elif relation is None:
        _missing(work, node, schema, name)


def _is_kind(relation: Relation, kind: int) -> bool:
    """Whether it is what DROP says; otherwise PostgreSQL refuses."""
    own = pb.OBJECT_SEQUENCE
    if isinstance(relation, View):
        own = pb.OBJECT_MATVIEW if relation.materialized else pb.OBJECT_VIEW
    elif isinstance(relation, Table):
        own = pb.OBJECT_FOREIGN_TABLE if relation.kind is TableKind.FOREIGN else pb.OBJECT_TABLE
    return bool(kind == own)


def _missing(work: Work, node: Any, schema: str | None, name: str) -> None:
    if not node.missing_ok and schema not in SYSTEM and not work.unknown_extension:
        work.missing(_WORDS[node.remove_type], Name(schema or work.creation_schema, name))


def _drop_index(work: Work, item: Any, node: Any) -> None:
    schema, name = names(item.list.items)
    found = work.catalog.indexed(schema, name)
    if found is None:
        _missing(work, node, schema, name)
        return
    relation, index = found
    if index.constraint:
        return  # PostgreSQL refuses
    if isinstance(relation, View):
        work.forget_index(Name(relation.name.schema, index.name))
        left = tuple(one for one in relation.indexes if one is not index)
        work.views[relation.name] = replace(relation, indexes=left)
        return
    draft = thawed(relation)
    work.remove_index(draft, index.name)
    work.put(draft)
    _drop_parts(work, relation, {index.name})


def _drop_parts(work: Work, parent: Table, gone: set[str]) -> None:
    for child in work.catalog.partitions(parent.name):
        part = thawed(child)
        drop_parts(work, gone, parent, part)
        work.put(part)
        lost = {index.name for index in child.indexes} - set(part.indexes)
        if lost:
            _drop_parts(work, child, lost)


def remove_relation(work: Work, name: Name, *, cascade: bool) -> None:
    """Takes a table, view or sequence away with all that is part of it; with CASCADE what depends on it too."""
    table, view = work.tables.pop(name, None), work.views.pop(name, None)
    work.remove_sequence(name)
    relation = table or view
    for index in relation.indexes if relation else ():
        work.forget_index(Name(name.schema, index.name))
    if table:
        _forget(work, table, cascade=cascade)
    work.view_types.pop(name, None)
    work.partial.discard(name)
    work.move_grants("table", str(name), None)
    work.move_grants("sequence", str(name), None)
    for dependent in sorted(work.dependents.pop(name, ())):
        _cut(work, dependent, name, cascade=cascade)


def _forget(work: Work, table: Table, *, cascade: bool) -> None:
    for constraint in table.constraints:
        work.forget_constraint(Name(table.name.schema, constraint.name))
    for column in table.columns:
        if column.not_null_constraint:
            work.forget_constraint(Name(table.name.schema, column.not_null_constraint))
    for sequence in work.owned_by(table.name):
        remove_relation(work, sequence.name, cascade=cascade)
    work.owned.pop(table.name, None)


def _cut(work: Work, dependent: Name, name: Name, *, cascade: bool) -> None:
    """Ends a dependency: a partition goes with its parent; foreign keys and views only with CASCADE."""
    view = work.views.get(dependent)
    if view and name in view.relations and cascade:
        remove_relation(work, dependent, cascade=True)
    table = work.tables.get(dependent)
    if table is None:
        return
    if name in table.parents and (cascade or table.partition_bound):
        remove_relation(work, dependent, cascade=cascade)
    elif cascade:
        _remove_keys(work, table, lambda key: key.target == name)
        forget_sequence(work, dependent, name)


def _remove_keys(work: Work, table: Table, chosen: Callable[[Constraint], bool]) -> None:
    gone = [key.name for key in table.foreign_keys if chosen(key)]
    if gone:
        draft = thawed(table)
        for key in gone:
            work.remove_constraint(draft, key)
        work.put(draft)


def cut_key(work: Work, draft: TableDraft, gone: Constraint) -> None:
    """Takes the foreign keys away that refer to a key that went."""
    for table in work.catalog.referring(draft.name):
        _remove_keys(
            work, table, lambda key: key.target == draft.name and sorted(key.target_columns) == sorted(gone.columns)
        )


def cut_column(work: Work, draft: TableDraft, name: str) -> None:
    """Takes the foreign keys, views, generated columns and policies away that depend on a column that went."""
    for table in work.catalog.referring(draft.name):
        _remove_keys(work, table, lambda key: key.target == draft.name and name in key.target_columns)
    for key in list(draft.constraints.values()):
        if key.target == draft.name and name in key.target_columns:
            work.remove_constraint(draft, key.name)
    for view in work.catalog.views_on(draft.name):
        if _reads(view.query.text, name, view.columns):
            remove_relation(work, view.name, cascade=True)
    for column in list(draft.columns.values()):
        if column.generated and column.default and _reads(f"SELECT {column.default}", name):
            remove_column(work, draft, column.name)
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


def _drop_type(work: Work, item: Any, node: Any) -> None:
    schema, text = names(item.type_name.names)
    name = user_type(work, schema, text)
    if name is None:
        _missing(work, node, schema, text)
        return
    if name in work.types or name in work.other_types:
        remove_type(work, name, cascade=_cascades(node))


def remove_type(work: Work, name: Name, *, cascade: bool) -> None:
    """Takes a type away; with CASCADE the columns of it go too."""
    type_ = work.types.pop(name, None)
    for check in type_.checks if isinstance(type_, Domain) else ():
        work.forget_constraint(Name(name.schema, check[0]))
    work.other_types.discard(name)
    users = work.dependents.pop(name, set())
    if not cascade:
        return
    spelled = written(name)
    for user in sorted(users):
        table = work.tables.get(user)
        if table:
            draft = thawed(table)
            for column in table.columns:
                if column.type.removesuffix("[]") == spelled:
                    remove_column(work, draft, column.name)
                    cut_column(work, draft, column.name)
            work.put(draft)


def _drop_function(work: Work, item: Any, node: Any) -> None:
    function = function_of(work, item.object_with_args, missing_ok=node.missing_ok)
    if function is None:
        return
    name = function.signature.name
    remove_function(work, function.signature)
    work.move_grants("function", function_text(function.signature), None)
    if _cascades(node) and not function.signature.arguments:
        remove_triggers(work, name)


def _drop_schema(work: Work, item: Any, node: Any) -> None:
    name = item.string.sval
    if name not in work.schemas:
        if not node.missing_ok:
            work.require_schema(name)
        return
    owned = [one for one in (*work.tables, *work.views, *work.sequences, *work.types) if one.schema == name]
    functions = [one for one in work.functions if one.name.schema == name]
    if (owned or functions) and not _cascades(node):
        return  # PostgreSQL refuses
    for one in owned:
        if one in work.types:
            remove_type(work, one, cascade=True)
        else:
            remove_relation(work, one, cascade=True)
    for signature in functions:
        remove_function(work, signature)
        remove_triggers(work, signature.name)
    work.other_types -= {one for one in work.other_types if one.schema == name}
    work.move_grants("schema", name, None)
    del work.schemas[name]


def _drop_extension(work: Work, item: Any, node: Any) -> None:
    name = item.string.sval
    if name in work.extensions:
        del work.extensions[name]
    elif not node.missing_ok:
        work.missing("extension", name)


def _drop_part(kind: str) -> Callable[[Work, Any, Any], None]:
    """Drops what is named on a table."""

    def dropper(work: Work, item: Any, node: Any) -> None:
        parts = strings(item.list.items)
        schema, text = names(item.list.items[:-1])
        table = work.catalog.relation(schema, text)
        if table is None:
            _missing(work, node, schema, text)
            return
        if not isinstance(table, Table):
            return
        found = getattr(table, kind)
        left = tuple(one for one in found if one.name != parts[-1])
        if len(left) == len(found) and not node.missing_ok:
            work.missing(_WORDS[node.remove_type], f"{parts[-1]} of {table.name}")
        changes: dict[str, Any] = {kind: left}
        work.tables[table.name] = replace(table, **changes)
        if kind == "triggers":
            follow(work, table, work.tables[table.name])

    return dropper


def drop_owned(work: Work, node: Any) -> None:
    """DROP OWNED."""
    work.opaque("what this drops is not known", "DROP OWNED")


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
_DROPPERS: dict[int, Callable[[Work, Any, Any], None]] = {
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
