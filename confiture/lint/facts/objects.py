"""The objects that DROP, RENAME, and SET SCHEMA name, and the words for their kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.facts.row_changes import is_new_name
from confiture.models.catalog import PUBLIC, QualifiedName
from confiture.sql.parse_tree import pb, schema_and_name

RELATIONS: Mapping[int, str] = {
    pb.OBJECT_TABLE: "table",
    pb.OBJECT_FOREIGN_TABLE: "foreign table",
    pb.OBJECT_VIEW: "view",
    pb.OBJECT_MATVIEW: "materialized view",
    pb.OBJECT_SEQUENCE: "sequence",
}
OTHER_OBJECTS: Mapping[int, str] = {
    pb.OBJECT_SCHEMA: "schema",
    pb.OBJECT_FUNCTION: "function",
    pb.OBJECT_PROCEDURE: "procedure",
    pb.OBJECT_ROUTINE: "routine",
    pb.OBJECT_AGGREGATE: "aggregate",
    pb.OBJECT_TYPE: "type",
    pb.OBJECT_DOMAIN: "domain",
    pb.OBJECT_EXTENSION: "extension",
}
"""The kinds of objects, other than relations, that clients refer to by name."""

_CREATE_NAME_FIELDS: Mapping[str, str] = {
    "create_stmt": "relation",
    "view_stmt": "view",
    "create_table_as_stmt": "into.rel",
    "create_seq_stmt": "sequence",
    "create_function_stmt": "funcname",
    "create_enum_stmt": "type_name",
    "composite_type_stmt": "typevar",
    "create_range_stmt": "type_name",
    "create_domain_stmt": "domainname",
    "define_stmt": "defnames",
    "create_schema_stmt": "schemaname",
    "create_extension_stmt": "extname",
}
"""The statements that create objects, and the field with the name of the object."""


def dropped_objects(node: Any) -> Iterator[tuple[str | None, str]]:
    """Return the schema, if written, and the name of each object of a DROP."""
    for item in node.objects:
        match item.WhichOneof("node"):
            case "string":
                yield None, item.string.sval
            case "type_name":
                yield schema_and_name(item.type_name.names)
            case "object_with_args":
                yield schema_and_name(item.object_with_args.objname)
            case _:
                yield schema_and_name(item.list.items)


def resolve_name(context: StatementContext, schema: str | None, name: str) -> QualifiedName:
    """Return the relation that a name refers to; assume `public` if the catalog does not contain it."""
    relation = context.catalog.relation(schema, name)
    return relation.name if relation else QualifiedName(schema or PUBLIC, name)


def is_new_object(context: StatementContext, schema: str | None, name: str) -> bool:
    """Whether this migration created the relation, or the same transaction created the object."""
    if is_new_name(context, resolve_name(context, schema, name)):
        return True
    return any(
        _is_create_of(one.statement.kind, one.node, schema, name)
        for one in context.earlier_of_kind(*_CREATE_NAME_FIELDS)
    )


def is_recreated(context: StatementContext, schema: str | None, name: str) -> bool:
    """Whether the same transaction creates an object with that name after the statement."""
    return any(_is_create_of(one.kind, one.node, schema, name) for one in context.later_of_kind(*_CREATE_NAME_FIELDS))


def _is_create_of(kind: str, node: Any, schema: str | None, name: str) -> bool:
    value: Any = node
    for part in _CREATE_NAME_FIELDS[kind].split("."):
        value = getattr(value, part)
    if isinstance(value, str):
        return value == name
    created = (value.schemaname or None, value.relname) if isinstance(value, pb.RangeVar) else schema_and_name(value)
    return created[1] == name and (created[0] or PUBLIC) == (schema or PUBLIC)
