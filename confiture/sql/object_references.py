"""The objects that a statement refers to, by name, for ordering files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from confiture.sql.created_objects import ObjectKind, ObjectName
from confiture.sql.parse_tree import parse_table_ref, schema_and_name, strings
from confiture.sql.parser import parse_sql, pb, postgast
from confiture.sql.traversal import child_nodes

_SEQUENCE_FUNCTIONS = frozenset({"nextval", "currval", "setval"})
_REGCLASS = re.compile("regclass|regtype|regproc(edure)?")
_CATALOG = "pg_catalog"
_RELATION_OBJECTS = frozenset(
    {
        pb.OBJECT_TABLE,
        pb.OBJECT_VIEW,
        pb.OBJECT_MATVIEW,
        pb.OBJECT_FOREIGN_TABLE,
        pb.OBJECT_SEQUENCE,
        pb.OBJECT_INDEX,
    }
)
_PARTS_OF_RELATIONS = frozenset(
    {pb.OBJECT_COLUMN, pb.OBJECT_TABCONSTRAINT, pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE}
)


class ObjectReference(NamedTuple):
    """A name that a statement refers to. `location` is its byte offset in the text; -1 if it is unknown."""

    object: ObjectName
    location: int = -1


def referenced_objects(kind: str, node: Any) -> Iterator[ObjectReference]:
    """Return the objects that a statement refers to, also built-in ones and those that it creates itself.

    `kind` is the parser's name for the statement. References in the body of an SQL function are included, because
    PostgreSQL checks the body when it creates the function. Bodies in other languages are not analyzed.
    """
    reader = _READERS.get(kind)
    if reader:
        yield from reader(node)
    yield from _references_below(node)


def _references_below(root: Any) -> Iterator[ObjectReference]:
    """Return the references in expressions, queries, types, and lists of functions below a node."""
    local: set[str] = set()
    found: list[ObjectReference] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        kind = type(node)
        if kind is pb.Node:
            name = node.WhichOneof("node")
            if name is None or name in _SKIPPED:
                continue
            node = getattr(node, name)
            kind = type(node)
        reader = _NODES.get(kind)
        if reader:
            reader(node, found.append)
        elif kind is pb.CommonTableExpr:
            local.add(node.ctename)
        waiting += child_nodes(node)
    for reference in found:
        relation = reference.object
        if relation.schema is not None or relation.kind is not ObjectKind.RELATION or relation.name not in local:
            yield reference


_Add = Callable[[ObjectReference], None]
_SKIPPED = frozenset({"column_ref", "a_const", "string", "integer", "boolean", "float"})


def _add_table(node: Any, add: _Add) -> None:
    add(ObjectReference(ObjectName(ObjectKind.RELATION, node.schemaname or None, node.relname), node.location))


def _add_call(node: Any, add: _Add) -> None:
    _add_name(ObjectKind.FUNCTION, node.funcname, add, node.location)
    if strings(node.funcname)[-1] in _SEQUENCE_FUNCTIONS and node.args:
        value = node.args[0]
        while value.WhichOneof("node") == "type_cast":
            value = value.type_cast.arg
        _add_constant(value, add)


def _add_cast(node: Any, add: _Add) -> None:
    if node.arg.WhichOneof("node") == "a_const" and _REGCLASS.fullmatch(strings(node.type_name.names)[-1]):
        _add_constant(node.arg, add)


def _add_constant(node: Any, add: _Add) -> None:
    """Add the object that a string names: 'app.w_orders_id_seq'::regclass."""
    if not node.a_const.HasField("sval"):
        return
    table = parse_table_ref(node.a_const.sval.sval)
    if table:
        for kind in (ObjectKind.RELATION, ObjectKind.FUNCTION):
            add(ObjectReference(ObjectName(kind, table.schema, table.name), node.a_const.location))


def _add_type(node: Any, add: _Add) -> None:
    names = strings(node.names)
    if names and names[0] != _CATALOG:
        kind = ObjectKind.RELATION if node.pct_type else ObjectKind.TYPE
        _add_name(kind, node.names[:-1] if node.pct_type else node.names, add, node.location)


def _add_function(node: Any, add: _Add) -> None:
    _add_name(ObjectKind.FUNCTION, node.objname, add)
    _add_name(ObjectKind.OPERATOR, node.objname, add)


def _add_operator(node: Any, add: _Add) -> None:
    if node.name:
        _add_name(ObjectKind.OPERATOR, node.name, add, node.location)


def _add_collation(node: Any, add: _Add) -> None:
    _add_name(ObjectKind.OTHER, node.collname, add, node.location)


def _add_index_element(node: Any, add: _Add) -> None:
    for names in (node.opclass, node.collation):
        if names:
            _add_name(ObjectKind.OTHER, names, add)


def _add_name(kind: ObjectKind, nodes: Any, add: _Add, location: int = -1) -> None:
    if nodes and all(one.WhichOneof("node") == "string" for one in nodes):
        schema, name = schema_and_name(nodes)
        if schema != _CATALOG:
            add(ObjectReference(ObjectName(kind, schema, name), location))


_NODES: Mapping[type, Callable[[Any, _Add], None]] = {
    pb.RangeVar: _add_table,
    pb.FuncCall: _add_call,
    pb.TypeCast: _add_cast,
    pb.TypeName: _add_type,
    pb.ObjectWithArgs: _add_function,
    pb.A_Expr: _add_operator,
    pb.CollateClause: _add_collation,
    pb.IndexElem: _add_index_element,
}


def _named(kind: ObjectKind, field: str) -> Callable[[Any], Iterator[ObjectReference]]:
    """Return a reader for a field with a name, as a string or as a list of strings."""

    def read(node: Any) -> Iterator[ObjectReference]:
        value = getattr(node, field)
        if isinstance(value, str):
            if value:
                yield ObjectReference(ObjectName(kind, None, value))
        elif value:
            yield ObjectReference(ObjectName(kind, *schema_and_name(value)))

    return read


def _object_list(node: Any, object_type: int) -> Iterator[ObjectReference]:
    """Return the object in COMMENT, DROP, ALTER ... OWNER and similar statements, unless the tree names it directly."""
    kind = node.WhichOneof("node")
    if kind == "string":
        other = ObjectKind.SCHEMA if object_type == pb.OBJECT_SCHEMA else ObjectKind.OTHER
        yield ObjectReference(ObjectName(other, None, node.string.sval))
    elif kind == "list" and all(item.WhichOneof("node") == "string" for item in node.list.items):
        items = node.list.items
        if object_type in _RELATION_OBJECTS:
            yield ObjectReference(ObjectName(ObjectKind.RELATION, *schema_and_name(items)))
        elif object_type in _PARTS_OF_RELATIONS:
            if len(items) > 1:
                yield ObjectReference(ObjectName(ObjectKind.RELATION, *schema_and_name(items[:-1])))
        else:
            yield ObjectReference(ObjectName(ObjectKind.OTHER, *schema_and_name(items)))


def _commented(node: Any) -> Iterator[ObjectReference]:
    return _object_list(node.object, node.objtype)


def _renamed(node: Any) -> Iterator[ObjectReference]:
    return _object_list(node.object, node.rename_type)


def _owned(node: Any) -> Iterator[ObjectReference]:
    return _object_list(node.object, node.object_type)


def _dropped(node: Any) -> Iterator[ObjectReference]:
    for one in node.objects:
        yield from _object_list(one, node.remove_type)


def _granted(node: Any) -> Iterator[ObjectReference]:
    for one in node.objects:
        yield from _object_list(one, node.objtype)


def _sequence(node: Any) -> Iterator[ObjectReference]:
    for option in node.options:
        if option.def_elem.defname == "owned_by":
            items = option.def_elem.arg.list.items
            if len(items) > 1:
                yield ObjectReference(ObjectName(ObjectKind.RELATION, *schema_and_name(items[:-1])))


def _defined(node: Any) -> Iterator[ObjectReference]:
    """Return the functions in CREATE AGGREGATE, OPERATOR and TYPE, which the parser reads as types."""
    for option in node.definition:
        names = option.def_elem.arg.type_name.names
        if names:
            yield ObjectReference(ObjectName(ObjectKind.FUNCTION, *schema_and_name(names)))
        elif option.def_elem.arg.WhichOneof("node") == "list":
            yield from _object_list(option.def_elem.arg, node.kind)


def _function(node: Any) -> Iterator[ObjectReference]:
    options = {option.def_elem.defname: option.def_elem.arg for option in node.options}
    language = options.get("language")
    name = language.string.sval.lower() if language is not None else "sql"
    yield ObjectReference(ObjectName(ObjectKind.OTHER, None, name))
    body = options.get("as")
    if name != "sql" or body is None:
        return
    try:
        tree = parse_sql(body.list.items[0].string.sval)
    except (postgast.PgQueryError, DecodeError):
        return
    for statement in tree.stmts:
        yield from (reference._replace(location=-1) for reference in _references_below(statement.stmt))


def _schema_elements(node: Any) -> Iterator[ObjectReference]:
    for element in node.schema_elts:
        kind = element.WhichOneof("node")
        yield from referenced_objects(kind, getattr(element, kind))


_READERS: Mapping[str, Callable[[Any], Iterator[ObjectReference]]] = {
    "comment_stmt": _commented,
    "sec_label_stmt": _commented,
    "rename_stmt": _renamed,
    "alter_owner_stmt": _owned,
    "alter_object_schema_stmt": _owned,
    "alter_object_depends_stmt": _owned,
    "drop_stmt": _dropped,
    "grant_stmt": _granted,
    "create_seq_stmt": _sequence,
    "alter_seq_stmt": _sequence,
    "define_stmt": _defined,
    "create_function_stmt": _function,
    "create_schema_stmt": _schema_elements,
    "create_trig_stmt": _named(ObjectKind.FUNCTION, "funcname"),
    "create_event_trig_stmt": _named(ObjectKind.FUNCTION, "funcname"),
    "alter_enum_stmt": _named(ObjectKind.TYPE, "type_name"),
    "alter_domain_stmt": _named(ObjectKind.TYPE, "type_name"),
    "alter_type_stmt": _named(ObjectKind.TYPE, "type_name"),
    "create_extension_stmt": _named(ObjectKind.OTHER, "extname"),
    "alter_extension_stmt": _named(ObjectKind.OTHER, "extname"),
    "create_foreign_table_stmt": _named(ObjectKind.OTHER, "servername"),
    "create_user_mapping_stmt": _named(ObjectKind.OTHER, "servername"),
    "create_foreign_server_stmt": _named(ObjectKind.OTHER, "fdwname"),
    "alter_tsconfiguration_stmt": _named(ObjectKind.OTHER, "cfgname"),
    "alter_tsdictionary_stmt": _named(ObjectKind.OTHER, "dictname"),
    "alter_publication_stmt": _named(ObjectKind.OTHER, "pubname"),
    "alter_stats_stmt": _named(ObjectKind.OTHER, "defnames"),
}
