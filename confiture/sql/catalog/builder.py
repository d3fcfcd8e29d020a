"""Application of statements to a catalog, as PostgreSQL would apply them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

from confiture.models.catalog import PUBLIC, Catalog, QualifiedName, Table
from confiture.sql.catalog.alter_table import alter_table
from confiture.sql.catalog.comments import comment
from confiture.sql.catalog.drop import drop, drop_owned
from confiture.sql.catalog.dynamic_sql import apply_call, apply_select, do_block, import_foreign_schema
from confiture.sql.catalog.functions import alter_function, create_function
from confiture.sql.catalog.indexes import create_index
from confiture.sql.catalog.issues import CatalogIssue
from confiture.sql.catalog.rename import rename
from confiture.sql.catalog.schemas import create_extension, create_schema, set_variable
from confiture.sql.catalog.security import alter_default_privileges, alter_policy, create_policy, grant
from confiture.sql.catalog.sequences import alter_sequence, create_sequence
from confiture.sql.catalog.set_schema import set_schema
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.tables import create_foreign_table, create_table, create_table_as
from confiture.sql.catalog.triggers import create_rule, create_statistics, create_trigger
from confiture.sql.catalog.type_names import find_user_types
from confiture.sql.catalog.user_types import (
    alter_domain,
    alter_enum,
    create_base_type,
    create_composite,
    create_domain,
    create_enum,
    create_range,
)
from confiture.sql.catalog.views import create_view, refresh_view
from confiture.sql.parse_tree import ParsedStatement

__all__ = ["CatalogBuilder", "CatalogIssue"]

_NONE: frozenset[QualifiedName] = frozenset()


def _write(state: CatalogState, node: Any) -> None:
    """Check INSERT, UPDATE, DELETE, MERGE, and COPY.

    The catalog does not change, but the relations that they name must exist.
    """
    if not node.HasField("relation"):
        return  # COPY of a query
    relation = state.names.relation(node.relation)
    if relation is None:
        state.names.report_missing(node.relation)


def _insert(state: CatalogState, node: Any) -> None:
    _write(state, node)
    _require_columns(state, node.relation, node.cols)


def _update(state: CatalogState, node: Any) -> None:
    _write(state, node)
    _require_columns(state, node.relation, node.target_list)


def _truncate(state: CatalogState, node: Any) -> None:
    for one in node.relations:
        if state.names.relation(one.range_var) is None:
            state.names.report_missing(one.range_var)


def _require_columns(state: CatalogState, range_var: Any, targets: Any) -> None:
    table = state.names.relation(range_var)
    if not isinstance(table, Table):
        return
    names = {column.name for column in table.columns}
    for one in targets:
        target = one.res_target
        if target.name and target.name not in names:
            state.issues.report_missing_column(table.name, target.name, target.location)


_HANDLERS: Mapping[str, Callable[[CatalogState, Any], None]] = {
    "alter_default_privileges_stmt": alter_default_privileges,
    "alter_domain_stmt": alter_domain,
    "alter_enum_stmt": alter_enum,
    "alter_function_stmt": alter_function,
    "alter_object_schema_stmt": set_schema,
    "alter_policy_stmt": alter_policy,
    "alter_seq_stmt": alter_sequence,
    "alter_table_stmt": alter_table,
    "call_stmt": apply_call,
    "comment_stmt": comment,
    "copy_stmt": _write,
    "composite_type_stmt": create_composite,
    "create_domain_stmt": create_domain,
    "create_enum_stmt": create_enum,
    "create_extension_stmt": create_extension,
    "create_foreign_table_stmt": create_foreign_table,
    "create_function_stmt": create_function,
    "create_policy_stmt": create_policy,
    "create_range_stmt": create_range,
    "create_schema_stmt": create_schema,
    "create_seq_stmt": create_sequence,
    "create_stats_stmt": create_statistics,
    "create_stmt": create_table,
    "create_table_as_stmt": create_table_as,
    "create_trig_stmt": create_trigger,
    "define_stmt": create_base_type,
    "delete_stmt": _write,
    "do_stmt": do_block,
    "drop_owned_stmt": drop_owned,
    "drop_stmt": drop,
    "grant_stmt": grant,
    "import_foreign_schema_stmt": import_foreign_schema,
    "index_stmt": create_index,
    "insert_stmt": _insert,
    "merge_stmt": _write,
    "refresh_mat_view_stmt": refresh_view,
    "rename_stmt": rename,
    "rule_stmt": create_rule,
    "select_stmt": apply_select,
    "truncate_stmt": _truncate,
    "update_stmt": _update,
    "variable_set_stmt": set_variable,
    "view_stmt": create_view,
}


class CatalogBuilder:
    """Builds a catalog statement by statement, starting empty or from a database's catalog.

    `catalog` is the current state.
    """

    def __init__(self, start: Catalog | None = None) -> None:
        self._state = CatalogState(_dispatch)
        if start is not None:
            _load(self._state, start)
        self.catalog = self._state.catalog

    @property
    def issues(self) -> list[CatalogIssue]:
        """The issues in order: duplicate objects, missing objects, and statements with unknown effects."""
        return self._state.issues.issues

    @property
    def partial_tables(self) -> Set[QualifiedName]:
        """The tables that can have columns missing from the catalog."""
        return self._state.issues.partial

    def put_table(self, table: Table) -> None:
        """Replace a table by one with the same columns, constraints, and indexes, but other properties."""
        self._state.tables[table.name] = table

    def apply(self, statement: ParsedStatement) -> frozenset[QualifiedName]:
        """Apply a statement, and return the relations (including indexes) that it created."""
        handler = _HANDLERS.get(statement.kind)
        if handler is None:
            return _NONE
        state = self._state
        state.issues.statement = statement
        if state.created:
            state.created.clear()
        handler(state, statement.node)
        del state.issues.statement  # otherwise the parse tree of the whole file would stay in memory
        return frozenset(state.created) if state.created else _NONE

    def reset_session(self) -> None:
        """Reset session settings, because each file starts with the server's default search path."""
        self._state.search_path[:] = [PUBLIC]


def _dispatch(state: CatalogState, kind: str, node: Any) -> None:
    handler = _HANDLERS.get(kind)
    if handler:
        handler(state, node)


def _load(state: CatalogState, catalog: Catalog) -> None:
    """Start from a database's catalog. Objects that are missing from the catalog can still exist."""
    state.schemas |= catalog.schemas
    state.types |= catalog.types
    state.extensions |= catalog.extensions
    state.indexes.owners |= catalog.index_owners
    for table in catalog.tables.values():
        _load_table(state, table)
    for view in catalog.views.values():
        state.views[view.name] = view
        state.dependencies.add(view.name, view.relations)
    for sequence in catalog.sequences.values():
        state.sequences.add(sequence)
    for function in catalog.functions.values():
        state.functions.put(function)
        state.functions.add_types(function)
    for grant_ in catalog.grants:
        state.grants.add(grant_)
    state.issues.has_unknown_objects = True


def _load_table(state: CatalogState, table: Table) -> None:
    state.tables[table.name] = table
    state.dependencies.add(
        table.name, [one.target for one in table.constraints if one.target and one.target != table.name]
    )
    state.dependencies.add(table.name, table.parents)
    names = [one.name for one in table.constraints]
    names += [column.not_null_constraint for column in table.columns if column.not_null_constraint]
    for name in names:
        state.constraints.reserve(table.name.schema, name)
    for column in table.columns:
        state.dependencies.add(table.name, [one for one in find_user_types(column.type) if one in state.types])
    for trigger in table.triggers:
        state.dependencies.add_trigger(trigger.function, table.name)
