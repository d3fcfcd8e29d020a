"""Enums, domains, composite types, and range types."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import CompositeType, DomainType, EnumType, QualifiedName, RangeType, UserType
from confiture.models.records import replace
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.type_names import format_type_node, resolve_type
from confiture.sql.parse_tree import format_expression, get_definition, pb, schema_and_name, strings

# AlterDomainStmt.subtype
_DEFAULT, _SET_NOT_NULL, _DROP_NOT_NULL, _ADD, _DROP, _VALIDATE = "T", "O", "N", "C", "X", "V"


def _choose_type_name(state: CatalogState, nodes: Any, location: int = -1) -> QualifiedName | None:
    """Return the name of a type to create; None if the type exists, which is reported as a duplicate."""
    schema, text = schema_and_name(nodes)
    name = QualifiedName(schema or state.names.creation_schema, text)
    existing = state.types.get(name) or state.tables.get(name) or state.views.get(name)
    if existing:
        state.issues.report_duplicate("type", name, existing.location, location)
        return None
    state.names.require_schema(name.schema)
    state.other_types.discard(name)  # a shell type becomes a real one
    return name


def _put_type(state: CatalogState, type_: UserType) -> None:
    state.types[type_.name] = type_


def create_enum(state: CatalogState, node: Any) -> None:
    """Apply CREATE TYPE ... AS ENUM."""
    name = _choose_type_name(state, node.type_name)
    if name:
        _put_type(state, EnumType(name=name, labels=strings(node.vals), location=state.issues.location(-1)))


def alter_enum(state: CatalogState, node: Any) -> None:
    """Apply ALTER TYPE ... ADD VALUE and RENAME VALUE."""
    enum = resolve_type(state, node.type_name)
    if not isinstance(enum, EnumType):
        return
    labels = list(enum.labels)
    if node.old_val:
        if node.old_val in labels:
            labels[labels.index(node.old_val)] = node.new_val
        else:
            state.issues.report_missing("label", f"{node.old_val} of {enum.name}")
    elif node.new_val in labels:
        if not node.skip_if_new_val_exists:
            state.issues.report_duplicate("label", f"{node.new_val} of {enum.name}", enum.location)
    elif node.new_val_neighbor in labels:
        labels.insert(labels.index(node.new_val_neighbor) + node.new_val_is_after, node.new_val)
    else:
        labels.append(node.new_val)
    _put_type(state, replace(enum, labels=tuple(labels)))


def create_domain(state: CatalogState, node: Any) -> None:
    """Apply CREATE DOMAIN."""
    name = _choose_type_name(state, node.domainname)
    if name is None:
        return
    domain = DomainType(name=name, type=format_type_node(state, node.type_name), location=state.issues.location(-1))
    for item in node.constraints:
        domain = _add_domain_constraint(state, domain, item.constraint)
    _put_type(state, domain)


def alter_domain(state: CatalogState, node: Any) -> None:
    """Apply ALTER DOMAIN."""
    domain = resolve_type(state, node.type_name)
    if not isinstance(domain, DomainType):
        return
    if node.subtype == _DEFAULT:
        domain = replace(domain, default=format_expression(get_definition(node)) if node.HasField("def") else None)
    elif node.subtype in (_SET_NOT_NULL, _DROP_NOT_NULL):
        domain = replace(domain, not_null=node.subtype == _SET_NOT_NULL)
    elif node.subtype == _ADD:
        domain = _add_domain_constraint(state, domain, get_definition(node).constraint)
    elif node.subtype == _DROP:
        domain = _drop_domain_constraint(state, domain, node)
    elif node.subtype == _VALIDATE:
        checks = tuple((one, text, proven or one == node.name) for one, text, proven in domain.checks)
        domain = replace(domain, checks=checks)
    _put_type(state, domain)


def _drop_domain_constraint(state: CatalogState, domain: DomainType, node: Any) -> DomainType:
    checks = tuple(check for check in domain.checks if check[0] != node.name)
    if len(checks) < len(domain.checks):
        state.constraints.release(domain.name.schema, node.name)
    elif node.name == f"{domain.name.name}_not_null":
        return replace(domain, not_null=False)
    elif not node.missing_ok:
        state.issues.report_missing("constraint", node.name)
    return replace(domain, checks=checks)


def _add_domain_constraint(state: CatalogState, domain: DomainType, node: Any) -> DomainType:
    if node.contype == pb.CONSTR_NOTNULL:
        return replace(domain, not_null=True)
    if node.contype == pb.CONSTR_DEFAULT:
        return replace(domain, default=format_expression(node.raw_expr))
    if node.contype != pb.CONSTR_CHECK:
        return domain
    schema = domain.name.schema
    name = node.conname or state.constraints.free_name(schema, domain.name.name, None, "check")
    if any(check[0] == name for check in domain.checks):
        state.issues.report_duplicate("constraint", name, domain.location, node.location)
        return domain
    state.constraints.reserve(schema, name)
    check = (name, format_expression(node.raw_expr), not node.skip_validation)
    return replace(domain, checks=(*domain.checks, check))


def create_composite(state: CatalogState, node: Any) -> None:
    """Apply CREATE TYPE ... AS (...)."""
    schema, text = node.typevar.schemaname or state.names.creation_schema, node.typevar.relname
    name = QualifiedName(schema, text)
    existing = state.types.get(name)
    if existing or state.names.is_taken(name):
        state.issues.report_duplicate(
            "type", name, existing.location if existing else state.names.find_definition(name)
        )
        return
    state.names.require_schema(schema)
    attributes = tuple(
        (one.column_def.colname, format_type_node(state, one.column_def.type_name)) for one in node.coldeflist
    )
    _put_type(state, CompositeType(name=name, attributes=attributes, location=state.issues.location(-1)))


def alter_composite(state: CatalogState, node: Any) -> None:
    """Apply ALTER TYPE ... ADD, DROP, and ALTER ATTRIBUTE."""
    relation = node.relation
    composite = resolve_type(state, [*_name_nodes(relation)])
    if not isinstance(composite, CompositeType):
        return
    attributes = dict(composite.attributes)
    for item in node.cmds:
        command = item.alter_table_cmd
        column = get_definition(command).column_def
        if command.subtype == pb.AT_AddColumn:
            attributes[column.colname] = format_type_node(state, column.type_name)
        elif command.subtype == pb.AT_DropColumn:
            attributes.pop(command.name, None)
        elif command.subtype == pb.AT_AlterColumnType and command.name in attributes:
            attributes[command.name] = format_type_node(state, column.type_name)
    _put_type(state, replace(composite, attributes=tuple(attributes.items())))


def _name_nodes(relation: Any) -> list[Any]:
    return [pb.Node(string=pb.String(sval=one)) for one in (relation.schemaname, relation.relname) if one]


def create_range(state: CatalogState, node: Any) -> None:
    """Apply CREATE TYPE ... AS RANGE, which also creates a multirange type."""
    name = _choose_type_name(state, node.type_name)
    if name is None:
        return
    arguments = [one.def_elem for one in node.params]
    parameters = {one.defname: one.arg.type_name for one in arguments if one.arg.HasField("type_name")}
    subtype = format_type_node(state, parameters["subtype"]) if "subtype" in parameters else ""
    _put_type(state, RangeType(name=name, subtype=subtype, location=state.issues.location(-1)))
    if "multirange_type_name" in parameters:
        schema, multirange = schema_and_name(parameters["multirange_type_name"].names)
        state.other_types.add(QualifiedName(schema or name.schema, multirange))
    elif "range" in name.name:
        state.other_types.add(QualifiedName(name.schema, name.name.replace("range", "multirange", 1)))
    else:
        state.other_types.add(QualifiedName(name.schema, f"{name.name}_multirange"))


def create_base_type(state: CatalogState, node: Any) -> None:
    """Apply CREATE TYPE for a base or shell type.

    The catalog does not contain the other objects that DefineStmt creates.
    """
    if node.kind == pb.OBJECT_TYPE:
        schema, name = schema_and_name(node.defnames)
        state.other_types.add(QualifiedName(schema or state.names.creation_schema, name))
