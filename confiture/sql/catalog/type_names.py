"""Resolution of type names."""

from __future__ import annotations

import re
from typing import Any

from confiture.models.catalog import PUBLIC, QualifiedName, Table, UserType
from confiture.sql.catalog import types
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.parse_tree import quote_identifier, schema_and_name, strings
from confiture.sql.search_paths import SYSTEM


def format_type_node(state: CatalogState, node: Any, *, bare: bool = False) -> str:
    """Return the name of a type; report the type as missing if it is neither built-in nor in the catalog.

    `bare` omits modifiers, as in the types of function arguments.
    """
    built_in = types.built_in_type(node, bare=bare)
    if built_in:
        return built_in
    if not node.names:
        return ""
    if node.pct_type:
        return _column_type(state, node)
    schema, name = schema_and_name(node.names)
    arrays = "[]" * bool(node.array_bounds)
    if schema is None and name in types.SERIALS:
        return name
    type_name = find_user_type(state, schema, name)
    if type_name is None and name.startswith("_") and not arrays:
        element = find_user_type(state, schema, name[1:])
        if element or name[1:] in types.BUILT_IN:
            return f"{format_type(element) if element else types.format_with_modifiers(name[1:], ())}[]"
    if type_name is None:
        if not state.issues.has_unknown_extension and schema not in SYSTEM:
            state.issues.report_missing("type", f"{schema}.{name}" if schema else name, node.location, once=True)
        type_name = QualifiedName(schema or PUBLIC, name)
    return types.format_with_modifiers(format_type(type_name), () if bare else node.typmods) + arrays


def format_argument_type(state: CatalogState, node: Any) -> str:
    """Return the type name of a function argument or result."""
    return format_type_node(state, node, bare=True)


def format_column_type(state: CatalogState, draft: TableBuilder, node: Any) -> str:
    """Return the name of a column's type. If the type is user-defined, record that the table depends on it."""
    built_in = types.built_in_type(node)
    if built_in:
        return built_in
    text = format_type_node(state, node)
    if node.names:
        type_name = find_user_type(state, *schema_and_name(node.names))
        if type_name:
            state.dependencies.add(draft.name, (type_name,))
    return text


def format_type(name: QualifiedName) -> str:
    """Format the name of a user-defined type like PostgreSQL's `format_type`."""
    text = quote_identifier(name.name)
    return text if name.schema == PUBLIC else f"{quote_identifier(name.schema)}.{text}"


def parse_type_name(text: str) -> QualifiedName:
    """Parse the name of a user-defined type that `format_type` returned."""
    parts = [quoted.replace('""', '"') or bare for quoted, bare in _PARTS.findall(text)]
    return QualifiedName(parts[-2] if len(parts) > 1 else PUBLIC, parts[-1] if parts else "")


_PARTS = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


def find_user_types(text: str) -> tuple[QualifiedName, ...]:
    """Return the user-defined types in a column type, including array elements; none for quoted names."""
    base = text.removesuffix("[]")
    schema, _, name = base.rpartition(".")
    return () if " " in base or '"' in base or "(" in base else (QualifiedName(schema or PUBLIC, name),)


def find_user_type(state: CatalogState, schema: str | None, name: str) -> QualifiedName | None:
    """Return the type that a name refers to, or the relation if the name refers to a row type."""
    for candidate in (schema,) if schema else state.search_path:
        key = QualifiedName(candidate, name)
        if key in state.types or key in state.tables or key in state.views or key in state.other_types:
            return key
    return None if schema else state.extension_types.get(name)


def resolve_type(state: CatalogState, nodes: Any, *, missing_ok: bool = False) -> UserType | None:
    """Return the catalog type that a list of strings names; report the type if it does not exist."""
    schema, name = schema_and_name(nodes)
    name_in_catalog = find_user_type(state, schema, name)
    if name_in_catalog is None and not missing_ok and not state.issues.has_unknown_extension:
        state.issues.report_missing("type", f"{schema}.{name}" if schema else name)
    return state.types.get(name_in_catalog) if name_in_catalog else None


def _column_type(state: CatalogState, node: Any) -> str:
    """Return the type of `table.column%TYPE`."""
    parts = strings(node.names)
    table = state.catalog.relation(parts[-3] if len(parts) > 2 else None, parts[-2]) if len(parts) > 1 else None
    column = table.column(parts[-1]) if isinstance(table, Table) else None
    return column.type if column else ""
