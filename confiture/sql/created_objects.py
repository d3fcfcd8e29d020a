"""The objects that a statement creates, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from confiture.sql.parse_tree import schema_and_name
from confiture.sql.parser import pb


class ObjectKind(StrEnum):
    """The kind of a created object. Objects of one kind have distinct names in a schema, except for functions."""

    RELATION = "relation"
    FUNCTION = "function"
    TYPE = "type"
    OPERATOR = "operator"
    SCHEMA = "schema"
    OTHER = "object"


class ObjectName(NamedTuple):
    """An object's kind, its schema as written, and its name. Functions are identified without their arguments."""

    kind: ObjectKind
    schema: str | None
    name: str


def created_objects(kind: str, node: Any) -> Iterator[ObjectName]:
    """Return the objects that a statement creates. `kind` is the parser's name for the statement."""
    reader = _READERS.get(kind)
    if reader:
        yield from reader(node)


def _relation(field: str) -> Callable[[Any], Iterator[ObjectName]]:
    def read(node: Any) -> Iterator[ObjectName]:
        relation = getattr(node, field)
        yield ObjectName(ObjectKind.RELATION, relation.schemaname or None, relation.relname)

    return read


def _named(kind: ObjectKind, field: str) -> Callable[[Any], Iterator[ObjectName]]:
    def read(node: Any) -> Iterator[ObjectName]:
        yield ObjectName(kind, *schema_and_name(getattr(node, field)))

    return read


def _plain(kind: ObjectKind, field: str) -> Callable[[Any], Iterator[ObjectName]]:
    def read(node: Any) -> Iterator[ObjectName]:
        name = getattr(node, field)
        if name:
            yield ObjectName(kind, None, name)

    return read


def _foreign_table(node: Any) -> Iterator[ObjectName]:
    return _relation("relation")(node.base_stmt)


def _table_as(node: Any) -> Iterator[ObjectName]:
    return _relation("rel")(node.into)


def _index(node: Any) -> Iterator[ObjectName]:
    if node.idxname:
        yield ObjectName(ObjectKind.RELATION, node.relation.schemaname or None, node.idxname)


def _schema(node: Any) -> Iterator[ObjectName]:
    name = node.schemaname or node.authrole.rolename
    yield ObjectName(ObjectKind.SCHEMA, None, name)
    for element in node.schema_elts:
        kind = element.WhichOneof("node")
        for created in created_objects(kind, getattr(element, kind)):
            yield created._replace(schema=created.schema or name)


_DEFINED = {
    pb.OBJECT_AGGREGATE: ObjectKind.FUNCTION,
    pb.OBJECT_OPERATOR: ObjectKind.OPERATOR,
    pb.OBJECT_TYPE: ObjectKind.TYPE,
}


def _define(node: Any) -> Iterator[ObjectName]:
    yield ObjectName(_DEFINED.get(node.kind, ObjectKind.OTHER), *schema_and_name(node.defnames))


_READERS: Mapping[str, Callable[[Any], Iterator[ObjectName]]] = {
    "create_stmt": _relation("relation"),
    "create_foreign_table_stmt": _foreign_table,
    "create_table_as_stmt": _table_as,
    "view_stmt": _relation("view"),
    "create_seq_stmt": _relation("sequence"),
    "index_stmt": _index,
    "composite_type_stmt": _relation("typevar"),
    "create_enum_stmt": _named(ObjectKind.TYPE, "type_name"),
    "create_range_stmt": _named(ObjectKind.TYPE, "type_name"),
    "create_domain_stmt": _named(ObjectKind.TYPE, "domainname"),
    "create_function_stmt": _named(ObjectKind.FUNCTION, "funcname"),
    "create_schema_stmt": _schema,
    "define_stmt": _define,
    "create_stats_stmt": _named(ObjectKind.OTHER, "defnames"),
    "create_conversion_stmt": _named(ObjectKind.OTHER, "conversion_name"),
    "create_op_class_stmt": _named(ObjectKind.OTHER, "opclassname"),
    "create_op_family_stmt": _named(ObjectKind.OTHER, "opfamilyname"),
    "create_extension_stmt": _plain(ObjectKind.OTHER, "extname"),
    "create_fdw_stmt": _plain(ObjectKind.OTHER, "fdwname"),
    "create_foreign_server_stmt": _plain(ObjectKind.OTHER, "servername"),
    "create_plang_stmt": _plain(ObjectKind.OTHER, "plname"),
    "create_publication_stmt": _plain(ObjectKind.OTHER, "pubname"),
    "create_am_stmt": _plain(ObjectKind.OTHER, "amname"),
}
