"""What the names of types mean."""

from __future__ import annotations

import re
from typing import Any

from confiture.models.catalog import PUBLIC, QualifiedName, Table, UserType
from confiture.sql.catalog import types
from confiture.sql.catalog.issues import SYSTEM
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.parse_tree import quote_identifier, schema_and_name, strings


def format_type_node(state: CatalogState, node: Any, *, bare: bool = False) -> str:
    """The spelling of a type; what is neither PostgreSQL's own nor in the catalog is noted as missing.

    `bare` is without modifiers, as functions have their types.
    """
    known = types.built_in_type(node, bare=bare)
    if known:
        return known
    if not node.names:
        return ""
    if node.pct_type:
        return _column_type(state, node)
    schema, name = schema_and_name(node.names)
    arrays = "[]" * bool(node.array_bounds)
    if schema is None and name in types.SERIALS:
        return name
    found = find_user_type(state, schema, name)
    if found is None and name.startswith("_") and not arrays:
        element = find_user_type(state, schema, name[1:])
        if element or name[1:] in types.BUILT_IN:
            return f"{format_type(element) if element else types.format_with_modifiers(name[1:], ())}[]"
    if found is None:
        if not state.issues.has_unknown_extension and schema not in SYSTEM:
            state.issues.report_missing("type", f"{schema}.{name}" if schema else name, node.location, once=True)
        found = QualifiedName(schema or PUBLIC, name)
    return types.format_with_modifiers(format_type(found), () if bare else node.typmods) + arrays


def format_argument_type(state: CatalogState, node: Any) -> str:
    """The spelling of a type of a function's argument or result."""
    return format_type_node(state, node, bare=True)


def format_column_type(state: CatalogState, draft: TableBuilder, node: Any) -> str:
    """The spelling of a column's type; the table depends on it where it is a user's type."""
    known = types.built_in_type(node)
    if known:
        return known
    text = format_type_node(state, node)
    if node.names:
        found = find_user_type(state, *schema_and_name(node.names))
        if found:
            state.dependencies.add(draft.name, (found,))
    return text


def format_type(name: QualifiedName) -> str:
    """The name of a user's type as `format_type` writes it."""
    text = quote_identifier(name.name)
    return text if name.schema == PUBLIC else f"{quote_identifier(name.schema)}.{text}"


def parse_type_name(text: str) -> QualifiedName:
    """The name of a user's type that `written` wrote."""
    parts = [quoted.replace('""', '"') or bare for quoted, bare in _PARTS.findall(text)]
    return QualifiedName(parts[-2] if len(parts) > 1 else PUBLIC, parts[-1] if parts else "")


_PARTS = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


def find_user_types(text: str) -> tuple[QualifiedName, ...]:
    """The user's type that a column's type is, or is an array of; none for what is written in quotes."""
    base = text.removesuffix("[]")
    schema, _, name = base.rpartition(".")
    return () if " " in base or '"' in base or "(" in base else (QualifiedName(schema or PUBLIC, name),)


def find_user_type(state: CatalogState, schema: str | None, name: str) -> QualifiedName | None:
    """The type, or the relation whose rows are one, that a name means."""
    for candidate in (schema,) if schema else state.search_path:
        key = QualifiedName(candidate, name)
        if key in state.types or key in state.tables or key in state.views or key in state.other_types:
            return key
    return None if schema else state.extension_types.get(name)


def resolve_type(state: CatalogState, nodes: Any, *, missing_ok: bool = False) -> UserType | None:
    """The type in the catalog that a list of strings names, noted as missing where there is none."""
    schema, name = schema_and_name(nodes)
    found = find_user_type(state, schema, name)
    if found is None and not missing_ok and not state.issues.has_unknown_extension:
        state.issues.report_missing("type", f"{schema}.{name}" if schema else name)
    return state.types.get(found) if found else None


def _column_type(state: CatalogState, node: Any) -> str:
    """The type of `table.column%TYPE`."""
    parts = strings(node.names)
    table = state.catalog.relation(parts[-3] if len(parts) > 2 else None, parts[-2]) if len(parts) > 1 else None
    column = table.column(parts[-1]) if isinstance(table, Table) else None
    return column.type if column else ""
