"""Statements that reach beyond the database in which they run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from confiture.sql.parser import pb, postgast
from confiture.sql.transactions import find_non_transactional_effects
from confiture.sql.traversal import find_nodes

_ROLE, _DATABASE, _TABLESPACE, _SERVER, _SUBSCRIPTION, _OWNERSHIP = (
    "roles",
    "other databases",
    "tablespaces",
    "the server's settings",
    "subscriptions",
    "the owners of databases and tablespaces, or privileges on them",
)
_KINDS = {
    "create_role_stmt": _ROLE,
    "alter_role_stmt": _ROLE,
    "alter_role_set_stmt": _ROLE,
    "drop_role_stmt": _ROLE,
    "grant_role_stmt": _ROLE,
    "createdb_stmt": _DATABASE,
    "dropdb_stmt": _DATABASE,
    "alter_database_stmt": _DATABASE,
    "alter_database_set_stmt": _DATABASE,
    "alter_database_refresh_coll_stmt": _DATABASE,
    "create_table_space_stmt": _TABLESPACE,
    "drop_table_space_stmt": _TABLESPACE,
    "alter_table_space_options_stmt": _TABLESPACE,
    "alter_system_stmt": _SERVER,
    "create_subscription_stmt": _SUBSCRIPTION,
    "alter_subscription_stmt": _SUBSCRIPTION,
    "drop_subscription_stmt": _SUBSCRIPTION,
    "reassign_owned_stmt": _OWNERSHIP,
    "drop_owned_stmt": _OWNERSHIP,
}
_OBJECTS = {
    pb.OBJECT_ROLE: _ROLE,
    pb.OBJECT_DATABASE: _DATABASE,
    pb.OBJECT_TABLESPACE: _TABLESPACE,
    pb.OBJECT_PARAMETER_ACL: _SERVER,
    pb.OBJECT_SUBSCRIPTION: _SUBSCRIPTION,
}
_OBJECT_TYPE_FIELDS = {
    "grant_stmt": "objtype",
    "comment_stmt": "objtype",
    "sec_label_stmt": "objtype",
    "alter_owner_stmt": "object_type",
    "rename_stmt": "rename_type",
}
_SERVER_FUNCTIONS = re.compile(
    r"(.*\.)?(pg_(create|drop|copy)_\w*replication_slot|pg_replication_\w+|pg_reload_conf|pg_rotate_logfile"
    r"|pg_(cancel|terminate)_backend|pg_switch_wal|pg_promote|pg_create_restore_point|lo_export)"
)
_POSSIBLE_CALL = re.compile(r"replication|pg_reload|pg_rotate|_backend|pg_switch|pg_promote|restore_point|lo_export")
_RUNS_CALLS = frozenset({"select_stmt", "call_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
_NAMES_ROLES = frozenset(
    {
        "grant_stmt",
        "alter_default_privileges_stmt",
        "alter_owner_stmt",
        "create_schema_stmt",
        "create_policy_stmt",
        "alter_policy_stmt",
        "reassign_owned_stmt",
        "drop_owned_stmt",
        "create_user_mapping_stmt",
        "alter_user_mapping_stmt",
    }
)


def find_outside_effect(kind: str, node: Any, text: str) -> str | None:
    """Describe what a statement changes outside its database; None if it changes nothing there.

    `kind` is the parser's name for the statement, `node` its parse tree, and `text` its SQL. Function bodies and DO
    blocks are not analyzed. A subscription connects to another server.
    """
    changed = _KINDS.get(kind)
    if changed is None and kind in _OBJECT_TYPE_FIELDS:
        changed = _OBJECTS.get(getattr(node, _OBJECT_TYPE_FIELDS[kind]))
    if changed is not None:
        return f"the statement changes {changed}"
    if kind == "copy_stmt" or kind in _RUNS_CALLS:
        effects = find_non_transactional_effects(text)
        if effects:
            return effects[0]
        if _POSSIBLE_CALL.search(text):
            return _server_function(text)
    return None


def _server_function(text: str) -> str | None:
    names = sorted(set(postgast.extract_functions(postgast.parse(text))))
    name = next((name for name in names if _SERVER_FUNCTIONS.fullmatch(name)), None)
    return f"{name}() acts on the server" if name else None


def find_roles(kind: str, node: Any) -> Iterator[str]:
    """Return the roles that a statement refers to by name."""
    if kind == "variable_set_stmt" and node.name in ("role", "session_authorization"):
        yield from (argument.a_const.sval.sval for argument in node.args if argument.a_const.sval.sval != "none")
    elif kind in _NAMES_ROLES or (
        kind == "alter_table_stmt" and any(one.alter_table_cmd.HasField("newowner") for one in node.cmds)
    ):
        for role in find_nodes(node, pb.RoleSpec):
            if role.roletype == pb.ROLESPEC_CSTRING:
                yield role.rolename
