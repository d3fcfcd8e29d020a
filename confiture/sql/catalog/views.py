"""Views, materialized views, and the queries that define them or CREATE TABLE AS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confiture.models.catalog import QualifiedName, View, ViewQuery
from confiture.models.records import replace
from confiture.sql.catalog.column_checks import column_checks
from confiture.sql.catalog.queries import QueryColumn, find_query_columns, resolve_relations
from confiture.sql.catalog.state import CatalogState
from confiture.sql.options import is_option_enabled, is_true
from confiture.sql.parse_tree import format_statement, get_definition, pb, strings
from confiture.sql.traversal import find_relations_read


def create_view(state: CatalogState, node: Any) -> None:
    """Apply CREATE VIEW."""
    name = state.names.new_name(node.view)
    old = state.views.get(name)
    if state.names.is_taken(name) and not (node.replace and old and not old.materialized):
        state.issues.report_duplicate("relation", name, state.names.find_definition(name), node.view.location)
        return
    state.names.require_schema(name.schema, node.view.location)
    put_view(state, name, node.query, strings(node.aliases), node.options, comment=old.comment if old else None)
    if not old:
        state.created.add(name)
        state.grants.grant_defaults("table", name)


def put_view(
    state: CatalogState,
    name: QualifiedName,
    query: Any,
    aliases: Sequence[str],
    options: Any = (),
    *,
    materialized: bool = False,
    comment: str | None = None,
) -> None:
    """Store a view with its query in the catalog."""
    column_checks(state, query)
    columns = rename_columns(find_query_columns(state, query), aliases)
    relations = tuple(one for one in resolve_relations(state, find_relations_read(query)) if one != name)
    state.views[name] = View(
        name=name,
        query=_view_query(query),
        columns=tuple(one.name for one in columns),
        relations=relations,
        materialized=materialized,
        security_invoker=is_option_enabled(options, "security_invoker"),
        comment=comment,
        location=state.issues.location(-1),
    )
    state.view_types[name] = tuple(one.type for one in columns)
    state.dependencies.add(name, relations)


def _view_query(node: Any) -> ViewQuery:
    kind = node.WhichOneof("node")
    tree = getattr(node, kind)
    return ViewQuery(lambda: format_statement(kind, tree), tree if kind == "select_stmt" else None)


def rename_columns(columns: Sequence[QueryColumn] | None, names: Sequence[str]) -> list[QueryColumn]:
    """Rename a query's columns; return none if they are unknown."""
    if columns is None:
        return []
    return [QueryColumn(names[number], one.type) if number < len(names) else one for number, one in enumerate(columns)]


def refresh_view(state: CatalogState, node: Any) -> None:
    """Apply REFRESH MATERIALIZED VIEW."""
    if state.names.relation(node.relation) is None:
        state.names.report_missing(node.relation, "materialized view")


def alter_view(state: CatalogState, view: View, node: Any) -> View:
    """Apply ALTER VIEW ... SET and RESET for security_invoker."""
    invoker = view.security_invoker
    for item in node.cmds:
        command = item.alter_table_cmd
        for option in get_definition(command).list.items:
            if option.WhichOneof("node") == "def_elem" and option.def_elem.defname == "security_invoker":
                invoker = command.subtype == pb.AT_SetRelOptions and is_true(option.def_elem)
    return replace(view, security_invoker=invoker)
