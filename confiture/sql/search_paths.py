"""Statements that change the search path."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import PUBLIC, TEMPORARY
from confiture.sql.parser import pb

SYSTEM = frozenset({"pg_catalog", "information_schema", "pg_toast", TEMPORARY})


def path_from_set(node: Any) -> list[str] | None:
    """Return the search path that SET or RESET sets; None if the statement sets something else.

    The path omits `$user` and the system schemas, which are always searched.
    """
    if node.kind == pb.VAR_RESET_ALL:
        return [PUBLIC]
    if node.name != "search_path":
        return None
    if node.kind == pb.VAR_SET_VALUE:
        return _user_schemas([one.a_const.sval.sval for one in node.args])
    return [PUBLIC] if node.kind in (pb.VAR_SET_DEFAULT, pb.VAR_RESET) else None


def path_from_set_config(call: Any) -> list[str] | None:
    """Return the search path that a call of set_config() sets; None if it sets something else, or is not constant."""
    values = [one.a_const.sval.sval if one.WhichOneof("node") == "a_const" else None for one in call.args]
    if len(values) > 1 and values[0] == "search_path" and values[1] is not None:
        return _user_schemas([one.strip().strip('"') for one in values[1].split(",")])
    return None


def _user_schemas(names: list[str]) -> list[str]:
    return [name for name in names if name and name != "$user" and name not in SYSTEM]
