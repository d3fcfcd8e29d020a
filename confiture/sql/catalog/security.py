"""Policies and privileges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.models.catalog import Function, Policy, QualifiedName, Sequence, Table
from confiture.models.records import replace
from confiture.sql.catalog.constraints import SYSTEM_COLUMNS
from confiture.sql.catalog.functions import find_function, format_function
from confiture.sql.catalog.grants import DefaultGrant
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.type_names import find_user_type, format_type
from confiture.sql.parse_tree import format_expression, pb, schema_and_name
from confiture.sql.traversal import column_names, find_nodes

_ALL_PRIVILEGES = {
    "table": ("select", "insert", "update", "delete", "truncate", "references", "trigger", "maintain"),
    "sequence": ("usage", "select", "update"),
    "function": ("execute",),
    "schema": ("usage", "create"),
    "type": ("usage",),
    "database": ("create", "temporary", "connect"),
}
_COLUMN_PRIVILEGES = ("select", "insert", "update", "references")
_OBJECT_KINDS = {
    pb.OBJECT_TABLE: "table",
    pb.OBJECT_SEQUENCE: "sequence",
    pb.OBJECT_FUNCTION: "function",
    pb.OBJECT_PROCEDURE: "function",
    pb.OBJECT_ROUTINE: "function",
    pb.OBJECT_SCHEMA: "schema",
    pb.OBJECT_TYPE: "type",
    pb.OBJECT_DOMAIN: "type",
    pb.OBJECT_DATABASE: "database",
}


def create_policy(state: CatalogState, node: Any) -> None:
    """Apply CREATE POLICY."""
    table = state.names.table(node.table)
    if table is None:
        return
    old = next((one for one in table.policies if one.name == node.policy_name), None)
    if old:
        state.issues.report_duplicate("policy", f"{node.policy_name} of {table.name}", old.location)
        return
    _require_columns(state, table, node)
    policy = Policy(
        name=node.policy_name,
        command=node.cmd_name or "all",
        permissive=node.permissive,
        roles=_role_names(node.roles),
        using=format_expression(node.qual) if node.HasField("qual") else None,
        with_check=format_expression(node.with_check) if node.HasField("with_check") else None,
        location=state.issues.location(-1),
    )
    state.tables[table.name] = replace(table, policies=(*table.policies, policy))


def alter_policy(state: CatalogState, node: Any) -> None:
    """Apply ALTER POLICY."""
    table = state.names.table(node.table)
    if table is None:
        return
    policy = next((one for one in table.policies if one.name == node.policy_name), None)
    if policy is None:
        state.issues.report_missing("policy", f"{node.policy_name} of {table.name}")
        return
    _require_columns(state, table, node)
    altered = replace(
        policy,
        roles=_role_names(node.roles) if node.roles else policy.roles,
        using=format_expression(node.qual) if node.HasField("qual") else policy.using,
        with_check=format_expression(node.with_check) if node.HasField("with_check") else policy.with_check,
    )
    policies = tuple(altered if one is policy else one for one in table.policies)
    state.tables[table.name] = replace(table, policies=policies)


def _require_columns(state: CatalogState, table: Table, node: Any) -> None:
    """Report columns that do not exist, unless the expression contains subqueries, which have their own columns."""
    names = {table.name.name, *(column.name for column in table.columns), *SYSTEM_COLUMNS}
    for expression in [getattr(node, name) for name in ("qual", "with_check") if node.HasField(name)]:
        unknown = [column for column in column_names(expression) if column not in names]
        if unknown and not any(True for _ in find_nodes(expression, pb.SubLink)):
            for column in unknown:
                state.issues.report_missing_column(table.name, column)


def _role_names(nodes: Any) -> tuple[str, ...]:
    """Return the role names; none if PUBLIC is among them."""
    names = [_role_name(one.role_spec) for one in nodes]
    return () if "public" in names else tuple(names)


def _role_name(node: Any) -> str:
    fixed = {
        pb.ROLESPEC_PUBLIC: "public",
        pb.ROLESPEC_CURRENT_USER: "current_user",
        pb.ROLESPEC_CURRENT_ROLE: "current_user",
        pb.ROLESPEC_SESSION_USER: "session_user",
    }
    return fixed.get(node.roletype) or str(node.rolename)


def grant(state: CatalogState, node: Any) -> None:
    """Apply GRANT and REVOKE on objects."""
    kind = _OBJECT_KINDS.get(node.objtype)
    if kind is None or node.targtype == pb.ACL_TARGET_DEFAULTS:
        return
    grantees = [_role_name(one.role_spec) for one in node.grantees]
    for actual, text, function in _find_objects(state, node, kind):
        for privilege in _find_privileges(node, actual):
            for grantee in grantees:
                _grant_or_revoke(
                    state, node.is_grant and not _is_grant_option_only(node), actual, text, grantee, privilege, node
                )
        if function and "public" in grantees and not _is_grant_option_only(node):
            state.functions.all[function.signature] = replace(function, public_execute=node.is_grant)


def _is_grant_option_only(node: Any) -> bool:
    """Whether only the grant option is revoked."""
    return not node.is_grant and node.grant_option


def _grant_or_revoke(
    state: CatalogState, is_grant: bool, kind: str, text: str, grantee: str, privilege: str, node: Any
) -> None:
    if is_grant:
        state.grants.grant(kind, text, grantee, privilege)
    elif not _is_grant_option_only(node):
        state.grants.revoke(kind, text, grantee, privilege)


def _find_objects(state: CatalogState, node: Any, kind: str) -> Iterator[tuple[str, str, Function | None]]:
    """Return the kind and name of each object, and the function if the object is a function."""
    if node.targtype == pb.ACL_TARGET_ALL_IN_SCHEMA:
        for item in node.objects:
            yield from _find_all_in_schema(state, kind, item.string.sval)
        return
    for item in node.objects:
        if kind in ("table", "sequence"):
            yield from _find_relation(state, item.range_var)
        elif kind == "function":
            function = find_function(state, item.object_with_args)
            if function:
                yield kind, format_function(function.signature), function
        elif kind == "type":
            parts = item.list.items if item.WhichOneof("node") == "list" else item.type_name.names
            type_name = find_user_type(state, *schema_and_name(parts))
            if type_name:
                yield kind, format_type(type_name), None
        else:
            if kind == "schema":
                state.names.require_schema(item.string.sval)
            yield kind, item.string.sval, None


def _find_relation(state: CatalogState, node: Any) -> Iterator[tuple[str, str, None]]:
    relation = state.names.relation(node)
    if relation is None:
        state.names.report_missing(node)
        return
    yield "sequence" if isinstance(relation, Sequence) else "table", str(relation.name), None


def _find_all_in_schema(state: CatalogState, kind: str, schema: str) -> Iterator[tuple[str, str, Function | None]]:
    state.names.require_schema(schema)
    if kind == "function":
        for function in list(state.functions.all.values()):
            if function.signature.name.schema == schema:
                yield kind, format_function(function.signature), function
        return
    relations: Iterable[QualifiedName] = state.sequences.all if kind == "sequence" else (*state.tables, *state.views)
    for name in list(relations):
        if name.schema == schema:
            yield kind, str(name), None


def _find_privileges(node: Any, kind: str) -> Iterator[str]:
    if not node.privileges:
        yield from _ALL_PRIVILEGES[kind]
    for item in node.privileges:
        columns = [one.string.sval for one in item.access_priv.cols]
        names_of = (
            (item.access_priv.priv_name,)
            if item.access_priv.priv_name
            else _COLUMN_PRIVILEGES
            if columns
            else _ALL_PRIVILEGES[kind]
        )
        for name in names_of:
            if columns:
                yield from (f"{name} ({column})" for column in columns)
            else:
                yield "temporary" if name == "temp" else name


def alter_default_privileges(state: CatalogState, node: Any) -> None:
    """Apply ALTER DEFAULT PRIVILEGES. Entries FOR another role do not apply to objects that the files create."""
    options = {one.def_elem.defname: one.def_elem.arg for one in node.options}
    if "roles" in options:
        return
    kind = _OBJECT_KINDS.get(node.action.objtype)
    if kind is None:
        return
    schemas = [one.string.sval for one in options["schemas"].list.items] if "schemas" in options else [None]
    for schema in schemas:
        for item in node.action.grantees:
            for privilege in _find_privileges(node.action, kind):
                one = DefaultGrant(schema, kind, _role_name(item.role_spec), privilege)
                if node.action.is_grant:
                    state.grants.defaults.add(one)
                else:
                    state.grants.defaults.discard(one)
