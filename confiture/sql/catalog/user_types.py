"""Enums, domains, composite and range types."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Composite, Domain, Enum, Name, Range, UserType
from confiture.models.values import replace
from confiture.sql.catalog.resolving import named_type, type_text
from confiture.sql.catalog.state import CatalogState
from confiture.sql.tree import definition, expression_text, names, pb, strings

# AlterDomainStmt.subtype
_DEFAULT, _SET_NOT_NULL, _DROP_NOT_NULL, _ADD, _DROP, _VALIDATE = "T", "O", "N", "C", "X", "V"


def _new(state: CatalogState, nodes: Any, location: int = -1) -> Name | None:
    """The name of a type to make, None (noted as a duplicate) where there is one."""
    schema, text = names(nodes)
    name = Name(schema or state.names.creation_schema, text)
    found = state.types.get(name) or state.tables.get(name) or state.views.get(name)
    if found:
        state.issues.report_duplicate("type", name, found.place, location)
        return None
    state.names.require_schema(name.schema)
    state.other_types.discard(name)  # a shell type becomes a real one
    return name


def _put(state: CatalogState, type_: UserType) -> None:
    state.types[type_.name] = type_


def create_enum(state: CatalogState, node: Any) -> None:
    """CREATE TYPE ... AS ENUM."""
    name = _new(state, node.type_name)
    if name:
        _put(state, Enum(name=name, labels=strings(node.vals), place=state.issues.location(-1)))


def alter_enum(state: CatalogState, node: Any) -> None:
    """ALTER TYPE ... ADD VALUE and RENAME VALUE."""
    found = named_type(state, node.type_name)
    if not isinstance(found, Enum):
        return
    labels = list(found.labels)
    if node.old_val:
        if node.old_val in labels:
            labels[labels.index(node.old_val)] = node.new_val
        else:
            state.issues.report_missing("label", f"{node.old_val} of {found.name}")
    elif node.new_val in labels:
        if not node.skip_if_new_val_exists:
            state.issues.report_duplicate("label", f"{node.new_val} of {found.name}", found.place)
    elif node.new_val_neighbor in labels:
        labels.insert(labels.index(node.new_val_neighbor) + node.new_val_is_after, node.new_val)
    else:
        labels.append(node.new_val)
    _put(state, replace(found, labels=tuple(labels)))


def create_domain(state: CatalogState, node: Any) -> None:
    """CREATE DOMAIN."""
    name = _new(state, node.domainname)
    if name is None:
        return
    domain = Domain(name=name, type=type_text(state, node.type_name), place=state.issues.location(-1))
    for item in node.constraints:
        domain = _constrained(state, domain, item.constraint)
    _put(state, domain)


def alter_domain(state: CatalogState, node: Any) -> None:
    """ALTER DOMAIN."""
    found = named_type(state, node.type_name)
    if not isinstance(found, Domain):
        return
    if node.subtype == _DEFAULT:
        found = replace(found, default=expression_text(definition(node)) if node.HasField("def") else None)
    elif node.subtype in (_SET_NOT_NULL, _DROP_NOT_NULL):
        found = replace(found, not_null=node.subtype == _SET_NOT_NULL)
    elif node.subtype == _ADD:
        found = _constrained(state, found, definition(node).constraint)
    elif node.subtype == _DROP:
        found = _without(state, found, node)
    elif node.subtype == _VALIDATE:
        checks = tuple((one, text, proven or one == node.name) for one, text, proven in found.checks)
        found = replace(found, checks=checks)
    _put(state, found)


def _without(state: CatalogState, domain: Domain, node: Any) -> Domain:
    left = tuple(check for check in domain.checks if check[0] != node.name)
    if len(left) < len(domain.checks):
        state.constraints.release(domain.name.schema, node.name)
    elif node.name == f"{domain.name.name}_not_null":
        return replace(domain, not_null=False)
    elif not node.missing_ok:
        state.issues.report_missing("constraint", node.name)
    return replace(domain, checks=left)


def _constrained(state: CatalogState, domain: Domain, node: Any) -> Domain:
    if node.contype == pb.CONSTR_NOTNULL:
        return replace(domain, not_null=True)
    if node.contype == pb.CONSTR_DEFAULT:
        return replace(domain, default=expression_text(node.raw_expr))
    if node.contype != pb.CONSTR_CHECK:
        return domain
    schema = domain.name.schema
    name = node.conname or state.constraints.free_name(schema, domain.name.name, None, "check")
    if any(check[0] == name for check in domain.checks):
        state.issues.report_duplicate("constraint", name, domain.place, node.location)
        return domain
    state.constraints.reserve(schema, name)
    check = (name, expression_text(node.raw_expr), not node.skip_validation)
    return replace(domain, checks=(*domain.checks, check))


def create_composite(state: CatalogState, node: Any) -> None:
    """CREATE TYPE ... AS (...)."""
    schema, text = node.typevar.schemaname or state.names.creation_schema, node.typevar.relname
    name = Name(schema, text)
    found = state.types.get(name)
    if found or state.names.is_taken(name):
        state.issues.report_duplicate("type", name, found.place if found else state.names.defined_at(name))
        return
    state.names.require_schema(schema)
    attributes = tuple((one.column_def.colname, type_text(state, one.column_def.type_name)) for one in node.coldeflist)
    _put(state, Composite(name=name, attributes=attributes, place=state.issues.location(-1)))


def alter_composite(state: CatalogState, node: Any) -> None:
    """ALTER TYPE ... ADD, DROP and ALTER ATTRIBUTE."""
    relation = node.relation
    found = named_type(state, [*_parts(relation)])
    if not isinstance(found, Composite):
        return
    attributes = dict(found.attributes)
    for item in node.cmds:
        command = item.alter_table_cmd
        column = definition(command).column_def
        if command.subtype == pb.AT_AddColumn:
            attributes[column.colname] = type_text(state, column.type_name)
        elif command.subtype == pb.AT_DropColumn:
            attributes.pop(command.name, None)
        elif command.subtype == pb.AT_AlterColumnType and command.name in attributes:
            attributes[command.name] = type_text(state, column.type_name)
    _put(state, replace(found, attributes=tuple(attributes.items())))


def _parts(relation: Any) -> list[Any]:
    return [pb.Node(string=pb.String(sval=one)) for one in (relation.schemaname, relation.relname) if one]


def create_range(state: CatalogState, node: Any) -> None:
    """CREATE TYPE ... AS RANGE, with its multirange type."""
    name = _new(state, node.type_name)
    if name is None:
        return
    arguments = [one.def_elem for one in node.params]
    parameters = {one.defname: one.arg.type_name for one in arguments if one.arg.HasField("type_name")}
    subtype = type_text(state, parameters["subtype"]) if "subtype" in parameters else ""
    _put(state, Range(name=name, subtype=subtype, place=state.issues.location(-1)))
    if "multirange_type_name" in parameters:
        schema, multirange = names(parameters["multirange_type_name"].names)
        state.other_types.add(Name(schema or name.schema, multirange))
    elif "range" in name.name:
        state.other_types.add(Name(name.schema, name.name.replace("range", "multirange", 1)))
    else:
        state.other_types.add(Name(name.schema, f"{name.name}_multirange"))


def define(state: CatalogState, node: Any) -> None:
    """CREATE TYPE of a base or shell type; what else DefineStmt makes is not held."""
    if node.kind == pb.OBJECT_TYPE:
        schema, name = names(node.defnames)
        state.other_types.add(Name(schema or state.names.creation_schema, name))
