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
from confiture.sql.catalog.work import Work, thawed
from confiture.sql.tree import pb


def rename(work: Work, node: Any) -> None:
    """RENAME of anything."""
    handler = _HANDLERS.get(node.rename_type)
    if handler:
        handler(work, node)


def _relation(work: Work, node: Any) -> None:
    found = work.relation(node.relation)
    if found is None:
        if work.catalog.indexed(node.relation.schemaname or None, node.relation.relname):
            _index(work, node)
        elif not node.missing_ok:
            work.missing_relation(node.relation, "relation")
        return
    if found.name.name == node.newname:
        work.duplicate("relation", found.name, found.place)
    move(work, found.name, Name(found.name.schema, node.newname))


def _index(work: Work, node: Any) -> None:
    found = work.catalog.indexed(node.relation.schemaname or None, node.relation.relname)
    if found is None:
        if work.relation(node.relation):
            _relation(work, node)
        elif not node.missing_ok:
            work.missing_relation(node.relation, "index")
        return
    relation, index = found
    rename_index(work, relation, index.name, node.newname)


def rename_index(work: Work, relation: Table | View, old: str, new: str) -> None:
    """Renames an index, and the constraint that it serves."""
    key = Name(relation.name.schema, new)
    if work.is_taken(key):
        work.duplicate("relation", key, work.holder(key))
        return
    if isinstance(relation, Table) and relation.constraint(old) and relation.constraint(new):
        work.duplicate("constraint", new, None)
        return
    indexes = tuple(
        replace(one, name=new, constraint=new if one.constraint else None) if one.name == old else one
        for one in relation.indexes
    )
    before = Name(relation.name.schema, old)
    whole = work.index_parents.get(before)
    work.forget_index(before)
    work.index_owners[key] = relation.name
    if whole:
        work.index_parents[key] = whole
    for child in work.catalog.partitions(relation.name):
        for index in child.indexes:
            part = Name(child.name.schema, index.name)
            if work.index_parents.get(part) == before:
                work.index_parents[part] = key
    if isinstance(relation, View):
        work.views[relation.name] = replace(relation, indexes=indexes)
        return
    constraints = relation.constraints
    if any(one.name == old and one.kind not in ("check", "foreign key") for one in constraints):
        constraints = tuple(replace(one, name=new) if one.name == old else one for one in constraints)
        work.forget_constraint(Name(relation.name.schema, old))
        work.constraint_names[key] += 1
    work.tables[relation.name] = replace(relation, indexes=indexes, constraints=constraints)


def _constraint(work: Work, node: Any) -> None:
    table = work.relation(node.relation)
    if not isinstance(table, Table):
        if not node.missing_ok:
            work.missing_relation(node.relation, "relation")
        return
    constraint = table.constraint(node.subname)
    if constraint is None:
        _not_null(work, table, node)
    elif table.constraint(node.newname):
        work.duplicate("constraint", node.newname, constraint.place)
    elif any(one.constraint == constraint.name for one in table.indexes):
        rename_index(work, table, constraint.name, node.newname)
    else:
        draft = thawed(table)
        draft.constraints = {
            one.name: one
            for one in (
                replace(each, name=node.newname) if each.name == constraint.name else each for each in table.constraints
            )
        }
        work.forget_constraint(Name(table.name.schema, constraint.name))
        work.constraint_names[Name(table.name.schema, node.newname)] += 1
        work.put(draft)


def _not_null(work: Work, table: Table, node: Any) -> None:
    columns = [one for one in table.columns if one.not_null_constraint == node.subname]
    if not columns:
        work.missing("constraint", node.subname)
        return
    draft = thawed(table)
    for column in columns:
        draft.columns[column.name] = replace(column, not_null_constraint=node.newname)
    work.forget_constraint(Name(table.name.schema, node.subname))
    work.constraint_names[Name(table.name.schema, node.newname)] += 1
    work.put(draft)


def _column(work: Work, node: Any) -> None:
    relation = work.relation(node.relation)
    if isinstance(relation, View):
        columns = tuple(node.newname if one == node.subname else one for one in relation.columns)
        work.views[relation.name] = replace(relation, columns=columns)
        return
    if not isinstance(relation, Table):
        if not node.missing_ok:
            work.missing_relation(node.relation, "relation")
        return
    if relation.column(node.subname) is None:
        work.missing_column(relation.name, node.subname)
        return
    if relation.column(node.newname):
        work.duplicate("column", f"{relation.name}.{node.newname}", None)
        return
    rename_column(work, relation, node.subname, node.newname)


def _attribute(work: Work, node: Any) -> None:
    parts = [pb.Node(string=pb.String(sval=one)) for one in (node.relation.schemaname, node.relation.relname) if one]
    found = named_type(work, parts)
    if isinstance(found, Composite):
        attributes = tuple((node.newname if one == node.subname else one, kind) for one, kind in found.attributes)
        work.types[found.name] = replace(found, attributes=attributes)


def _type(work: Work, node: Any) -> None:
    found = named_type(work, node.object.list.items)
    if found:
        move_type(work, found, Name(found.name.schema, node.newname))


def _domain_constraint(work: Work, node: Any) -> None:
    found = named_type(work, node.object.list.items)
    if isinstance(found, Domain):
        checks = tuple((node.newname if one == node.subname else one, text, ok) for one, text, ok in found.checks)
        work.types[found.name] = replace(found, checks=checks)


def _function(work: Work, node: Any) -> None:
    function = function_of(work, node.object.object_with_args)
    if function:
        rename_function(work, function, Name(function.signature.name.schema, node.newname))


def _schema(work: Work, node: Any) -> None:
    old, new = node.subname, node.newname
    if old not in work.schemas:
        work.require_schema(old)
        return
    if new in work.schemas:
        work.duplicate("schema", new, work.schemas[new])
        return
    work.schemas[new] = work.schemas.pop(old)
    for name in [one for one in (*work.tables, *work.views) if one.schema == old]:
        move(work, name, Name(new, name.name))
    for name in [one for one in work.sequences if one.schema == old]:
        move(work, name, Name(new, name.name))
    for type_ in [one for one in work.types.values() if one.name.schema == old]:
        move_type(work, type_, Name(new, type_.name.name))
    for function in [one for one in work.functions.values() if one.signature.name.schema == old]:
        rename_function(work, function, Name(new, function.signature.name.name))
    work.search_path[:] = [new if one == old else one for one in work.search_path]
    work.move_grants("schema", old, new)


def _part(kind: str, word: str) -> Callable[[Work, Any], None]:
    """Renames what is named on a table: a policy or a trigger."""

    def handler(work: Work, node: Any) -> None:
        table = work.table(node.relation, missing_ok=node.missing_ok)
        if table is None:
            return
        found = getattr(table, kind)
        if not any(one.name == node.subname for one in found):
            work.missing(word, f"{node.subname} of {table.name}")
            return
        renamed = tuple(replace(one, name=node.newname) if one.name == node.subname else one for one in found)
        changes: dict[str, Any] = {kind: renamed}
        work.tables[table.name] = replace(table, **changes)
        if kind == "triggers":
            follow(work, table, work.tables[table.name])

    return handler


_HANDLERS: dict[int, Callable[[Work, Any], None]] = {
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
