"""COMMENT ON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confiture.models.catalog import Name, Table, View
from confiture.models.values import replace
from confiture.sql.catalog.functions import function_of
from confiture.sql.catalog.resolving import named_type
from confiture.sql.catalog.work import SYSTEM, Work
from confiture.sql.tree import names, pb, strings


def comment(work: Work, node: Any) -> None:
    """COMMENT ON anything."""
    handler = _HANDLERS.get(node.objtype)
    if handler:
        handler(work, node.object, node.comment or None)


def _relation(work: Work, node: Any, text: str | None) -> None:
    schema, name = names(node.list.items)
    found = work.catalog.relation(schema, name)
    if isinstance(found, Table):
        work.tables[found.name] = replace(found, comment=text)
    elif isinstance(found, View):
        work.views[found.name] = replace(found, comment=text)
    elif found is None:
        _missing(work, "relation", schema, name)


def _missing(work: Work, what: str, schema: str | None, name: str) -> None:
    if schema not in SYSTEM and not work.unknown_extension:
        work.missing(what, Name(schema or work.creation_schema, name))


def _column(work: Work, node: Any, text: str | None) -> None:
    parts = strings(node.list.items)
    if len(parts) < 2:
        return
    schema, name = (parts[-3] if len(parts) > 2 else None), parts[-2]
    found = work.catalog.relation(schema, name)
    if isinstance(found, Table):
        column = found.column(parts[-1])
        if column is None:
            work.missing_column(found.name, parts[-1])
            return
        commented = replace(column, comment=text)
        columns = tuple([commented if one is column else one for one in found.columns])
        work.tables[found.name] = replace(found, columns=columns)
    elif isinstance(found, View):
        if found.columns and parts[-1] not in found.columns:
            work.missing_column(found.name, parts[-1])
    elif found is None and named_type(work, node.list.items[:-1], missing_ok=True) is None:
        _missing(work, "relation", schema, name)


def _index(work: Work, node: Any, text: str | None) -> None:
    schema, name = names(node.list.items)
    found = work.catalog.indexed(schema, name)
    if found is None:
        _missing(work, "index", schema, name)
        return
    relation, index = found
    indexes = tuple(replace(one, comment=text) if one is index else one for one in relation.indexes)
    if isinstance(relation, Table):
        work.tables[relation.name] = replace(relation, indexes=indexes)
    else:
        work.views[relation.name] = replace(relation, indexes=indexes)


def _on_table(work: Work, node: Any) -> tuple[Table | None, str]:
    """The table and the name of the object of it that a list of strings names."""
    parts = strings(node.list.items)
    schema, name = names(node.list.items[:-1])
    found = work.catalog.relation(schema, name)
    if found is None:
        _missing(work, "relation", schema, name)
    return (found if isinstance(found, Table) else None), parts[-1]


def _constraint(work: Work, node: Any, text: str | None) -> None:
    table, name = _on_table(work, node)
    if table is None:
        return
    if table.constraint(name) is None:
        if not any(column.not_null_constraint == name for column in table.columns):
            work.missing("constraint", f"{name} of {table.name}")
        return
    constraints = tuple(replace(one, comment=text) if one.name == name else one for one in table.constraints)
    work.tables[table.name] = replace(table, constraints=constraints)


def _policy(work: Work, node: Any, text: str | None) -> None:
    table, name = _on_table(work, node)
    if table and not any(one.name == name for one in table.policies):
        work.missing("policy", f"{name} of {table.name}")


def _trigger(work: Work, node: Any, text: str | None) -> None:
    table, name = _on_table(work, node)
    if table and not any(one.name == name for one in table.triggers):
        work.missing("trigger", f"{name} of {table.name}")


def _function(work: Work, node: Any, text: str | None) -> None:
    found = function_of(work, node.object_with_args)
    if found:
        work.functions[found.signature] = replace(found, comment=text)


def _type(work: Work, node: Any, text: str | None) -> None:
    named_type(work, node.type_name.names)


def _schema(work: Work, node: Any, text: str | None) -> None:
    work.require_schema(node.string.sval)


_HANDLERS: dict[int, Callable[[Work, Any, str | None], None]] = {
    pb.OBJECT_TABLE: _relation,
    pb.OBJECT_FOREIGN_TABLE: _relation,
    pb.OBJECT_VIEW: _relation,
    pb.OBJECT_MATVIEW: _relation,
    pb.OBJECT_SEQUENCE: _relation,
    pb.OBJECT_COLUMN: _column,
    pb.OBJECT_INDEX: _index,
    pb.OBJECT_TABCONSTRAINT: _constraint,
    pb.OBJECT_POLICY: _policy,
    pb.OBJECT_TRIGGER: _trigger,
    pb.OBJECT_FUNCTION: _function,
    pb.OBJECT_PROCEDURE: _function,
    pb.OBJECT_TYPE: _type,
    pb.OBJECT_DOMAIN: _type,
    pb.OBJECT_SCHEMA: _schema,
}
