"""Schemas, extensions, and the search path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confiture.models.catalog import QualifiedName
from confiture.sql.catalog.state import CatalogState
from confiture.sql.search_paths import path_from_set

_NO_TYPES: tuple[str, ...] = ()
_EXTENSION_TYPES: Mapping[str, tuple[str, ...]] = {
    "plpgsql": _NO_TYPES,
    "pgcrypto": _NO_TYPES,
    "uuid-ossp": _NO_TYPES,
    "unaccent": _NO_TYPES,
    "fuzzystrmatch": _NO_TYPES,
    "btree_gin": _NO_TYPES,
    "btree_gist": _NO_TYPES,
    "pg_trgm": ("gtrgm",),
    "citext": ("citext",),
    "hstore": ("hstore", "ghstore"),
    "ltree": ("ltree", "lquery", "ltxtquery", "ltree_gist"),
    "cube": ("cube",),
    "intarray": ("query_int", "intbig_gkey"),
    "isn": ("ean13", "isbn13", "ismn13", "issn13", "isbn", "ismn", "issn", "upc"),
    "seg": ("seg",),
    "vector": ("vector", "halfvec", "sparsevec"),
    "tablefunc": ("tablefunc_crosstab_2", "tablefunc_crosstab_3", "tablefunc_crosstab_4"),
    "pg_stat_statements": _NO_TYPES,
    "bloom": _NO_TYPES,
    "pg_prewarm": _NO_TYPES,
    "pg_buffercache": _NO_TYPES,
    "pgstattuple": _NO_TYPES,
}
"""The types of known extensions that create neither tables nor trigger functions."""
_ELEMENT_ORDER = {"create_stmt": 1, "view_stmt": 2, "index_stmt": 3, "create_trig_stmt": 4, "grant_stmt": 5}
"""The order in which PostgreSQL creates the elements of CREATE SCHEMA, sequences first."""
EXTENSIONS_WITHOUT_FUNCTIONS = frozenset({"plpgsql"})
"""Extensions without any functions that users would name in DDL."""


def create_schema(state: CatalogState, node: Any) -> None:
    """Apply CREATE SCHEMA, including the objects that it creates in the schema."""
    name = node.schemaname or node.authrole.rolename
    if name in state.schemas and not node.if_not_exists and state.schemas[name] is not None:
        state.issues.report_duplicate("schema", name, state.schemas[name])
        return
    state.schemas.setdefault(name, state.issues.location(-1))
    if not node.schema_elts:
        return
    before = state.search_path[:]
    state.search_path[:] = [name, *before]
    for element in sorted(node.schema_elts, key=lambda one: _ELEMENT_ORDER.get(one.WhichOneof("node"), 0)):
        kind = element.WhichOneof("node")
        state.nested(kind, getattr(element, kind))
    state.search_path[:] = before


def create_extension(state: CatalogState, node: Any) -> None:
    """Apply CREATE EXTENSION, including the types of widely used extensions."""
    name = node.extname
    if name in state.extensions:
        if not node.if_not_exists:
            state.issues.report_duplicate("extension", name, state.extensions[name])
        return
    options = {one.def_elem.defname: one.def_elem.arg for one in node.options}
    schema = options["schema"].string.sval if "schema" in options else state.names.creation_schema
    state.extensions[name] = state.issues.location(-1)
    if name in _EXTENSION_TYPES:
        state.other_types.update(QualifiedName(schema, one) for one in _EXTENSION_TYPES[name])
        state.extension_types.update({one: QualifiedName(schema, one) for one in _EXTENSION_TYPES[name]})
    else:
        state.issues.has_unknown_extension = True
    if "cascade" in options:
        state.issues.has_unknown_extension = True


def can_have_unknown_functions(state: CatalogState) -> bool:
    """Whether there may be functions that no statement created."""
    return state.issues.has_unknown_extension or any(
        name not in EXTENSIONS_WITHOUT_FUNCTIONS for name in state.extensions
    )


def set_variable(state: CatalogState, node: Any) -> None:
    """Apply SET search_path and SET SCHEMA; ignore other settings."""
    path = path_from_set(node)
    if path is not None:
        state.search_path[:] = path
