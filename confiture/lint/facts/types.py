"""Column types as PostgreSQL resolves them."""

from __future__ import annotations

import re

from confiture.models.catalog import Catalog, DomainType, QualifiedName
from confiture.sql.catalog import types
from confiture.sql.catalog.type_names import parse_type_name
from confiture.sql.parse_tree import parse_expression
from confiture.sql.parser import postgast

_MODIFIER = re.compile(r"\([^)]*\)")


def without_typmod(type_: str) -> str:
    """Return a type without its length or precision."""
    return _MODIFIER.sub("", type_)


def base_type(catalog: Catalog, type_: str) -> str:
    """Return the base type of a domain, resolving nested domains; other types are returned unchanged."""
    visited: set[QualifiedName] = set()
    while True:
        key = parse_type_name(without_typmod(type_))
        domain = catalog.types.get(key)
        if not isinstance(domain, DomainType) or key in visited:
            return type_
        visited.add(key)
        type_ = domain.type


def canonical_type(text: str) -> str:
    """Return a type as the catalog spells it (`int8` becomes `bigint`); other text is returned unchanged."""
    try:
        node = parse_expression(f"NULL::{text}")
    except postgast.PgQueryError:
        return text
    if not node.HasField("type_cast"):
        return text
    return types.built_in_type(node.type_cast.type_name) or types.SERIALS.get(text.lower(), text)


def is_of_type(catalog: Catalog, type_: str, expected: str) -> bool:
    """Whether a column type is the expected type or a domain over that type.

    An expected type without a length or precision matches any length or precision.
    """
    expected_type = canonical_type(expected)
    spellings = {type_, base_type(catalog, type_)}
    if expected_type == without_typmod(expected_type):
        spellings |= {without_typmod(one) for one in spellings}
    return expected_type in spellings
