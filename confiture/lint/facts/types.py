"""Types of columns, as PostgreSQL means them."""

from __future__ import annotations

import re

from confiture.models.catalog import Catalog, DomainType, QualifiedName
from confiture.sql.catalog import types
from confiture.sql.catalog.type_names import parse_type_name
from confiture.sql.parse_tree import parse_expression
from confiture.sql.parser import postgast

_MODIFIER = re.compile(r"\([^)]*\)")


def without_typmod(type_: str) -> str:
    """A type without its length or precision."""
    return _MODIFIER.sub("", type_)


def base_type(catalog: Catalog, type_: str) -> str:
    """The type that a domain is over, however many lie between; any other type as it is."""
    seen: set[QualifiedName] = set()
    while True:
        key = parse_type_name(without_typmod(type_))
        domain = catalog.types.get(key)
        if not isinstance(domain, DomainType) or key in seen:
            return type_
        seen.add(key)
        type_ = domain.type


def canonical_type(text: str) -> str:
    """A type as people write it, spelled as the catalog has it (`int8` is `bigint`); what is no type stays as it is."""
    try:
        node = parse_expression(f"NULL::{text}")
    except postgast.PgQueryError:
        return text
    if not node.HasField("type_cast"):
        return text
    return types.built_in_type(node.type_cast.type_name) or types.SERIALS.get(text.lower(), text)


def is_of_type(catalog: Catalog, type_: str, expected: str) -> bool:
    """Whether a column of a type is what is wanted: the same type, or a domain over it.

    What is wanted without length or precision, any length will do for.
    """
    asked = canonical_type(expected)
    found = {type_, base_type(catalog, type_)}
    if asked == without_typmod(asked):
        found |= {without_typmod(one) for one in found}
    return asked in found
