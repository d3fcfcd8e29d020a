"""What the names of types mean."""

from __future__ import annotations

import re
from typing import Any

from confiture.models.catalog import PUBLIC, Name, Table, UserType
from confiture.sql.catalog import types
from confiture.sql.catalog.issues import SYSTEM
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.tree import identifier, names, strings


def type_text(state: CatalogState, node: Any, *, bare: bool = False) -> str:
    """The spelling of a type; what is neither PostgreSQL's own nor in the catalog is noted as missing.

    `bare` is without modifiers, as functions have their types.
    """
    known = types.built_in_type(node, bare=bare)
    if known:
        return known
    if not node.names:
        return ""
    if node.pct_type:
        return _of_column(state, node)
    schema, name = names(node.names)
    arrays = "[]" * bool(node.array_bounds)
    if schema is None and name in types.SERIALS:
        return name
    found = user_type(state, schema, name)
    if found is None and name.startswith("_") and not arrays:
        element = user_type(state, schema, name[1:])
        if element or name[1:] in types.BUILT_IN:
            return f"{written(element) if element else types.with_modifiers(name[1:], ())}[]"
    if found is None:
        if not state.issues.has_unknown_extension and schema not in SYSTEM:
            state.issues.report_missing("type", f"{schema}.{name}" if schema else name, node.location, once=True)
        found = Name(schema or PUBLIC, name)
    return types.with_modifiers(written(found), () if bare else node.typmods) + arrays


def bare_type(state: CatalogState, node: Any) -> str:
    """The spelling of a type of a function's argument or result."""
    return type_text(state, node, bare=True)


def dependent_type_text(state: CatalogState, draft: TableBuilder, node: Any) -> str:
    """The spelling of a column's type; the table depends on it where it is a user's type."""
    known = types.built_in_type(node)
    if known:
        return known
    text = type_text(state, node)
    if node.names:
        found = user_type(state, *names(node.names))
        if found:
            state.dependencies.add(draft.name, (found,))
    return text


def written(name: Name) -> str:
    """The name of a user's type as `format_type` writes it."""
    text = quoted(name.name)
    return text if name.schema == PUBLIC else f"{quoted(name.schema)}.{text}"


def name_of_type(text: str) -> Name:
    """The name of a user's type that `written` wrote."""
    parts = [quoted.replace('""', '"') or bare for quoted, bare in _PARTS.findall(text)]
    return Name(parts[-2] if len(parts) > 1 else PUBLIC, parts[-1] if parts else "")


_PARTS = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


def type_names(text: str) -> tuple[Name, ...]:
    """The user's type that a column's type is, or is an array of; none for what is written in quotes."""
    base = text.removesuffix("[]")
    schema, _, name = base.rpartition(".")
    return () if " " in base or '"' in base or "(" in base else (Name(schema or PUBLIC, name),)


def quoted(name: str) -> str:
    """A name in quotes where it needs them."""
    return identifier(name)


def user_type(state: CatalogState, schema: str | None, name: str) -> Name | None:
    """The type, or the relation whose rows are one, that a name means."""
    for candidate in (schema,) if schema else state.search_path:
        key = Name(candidate, name)
        if key in state.types or key in state.tables or key in state.views or key in state.other_types:
            return key
    return None if schema else state.extension_types.get(name)


def named_type(state: CatalogState, nodes: Any, *, missing_ok: bool = False) -> UserType | None:
    """The type in the catalog that a list of strings names, noted as missing where there is none."""
    schema, name = names(nodes)
    found = user_type(state, schema, name)
    if found is None and not missing_ok and not state.issues.has_unknown_extension:
        state.issues.report_missing("type", f"{schema}.{name}" if schema else name)
    return state.types.get(found) if found else None


def _of_column(state: CatalogState, node: Any) -> str:
    """The type of `table.column%TYPE`."""
    parts = strings(node.names)
    table = state.catalog.relation(parts[-3] if len(parts) > 2 else None, parts[-2]) if len(parts) > 1 else None
    column = table.column(parts[-1]) if isinstance(table, Table) else None
    return column.type if column else ""
