"""Types of columns, as PostgreSQL means them."""

from __future__ import annotations

import re

from confiture.models.catalog import Catalog, Domain, Name
from confiture.sql.catalog import types
from confiture.sql.catalog.resolving import name_of_type
from confiture.sql.grammar import postgast
from confiture.sql.tree import expression_of

_MODIFIER = re.compile(r"\([^)]*\)")


def unmodified(type_: str) -> str:
    """A type without its length or precision."""
    return _MODIFIER.sub("", type_)


def underlying(catalog: Catalog, type_: str) -> str:
    """The type that a domain is over, however many lie between; any other type as it is."""
    seen: set[Name] = set()
    while True:
        key = name_of_type(unmodified(type_))
        domain = catalog.types.get(key)
        if not isinstance(domain, Domain) or key in seen:
            return type_
        seen.add(key)
        type_ = domain.type


def spelled(text: str) -> str:
    """A type as people write it, spelled as the catalog has it (`int8` is `bigint`); what is no type stays as it is."""
    try:
        node = expression_of(f"NULL::{text}")
    except postgast.PgQueryError:
        return text
    if not node.HasField("type_cast"):
        return text
    return types.built_in_type(node.type_cast.type_name) or types.SERIALS.get(text.lower(), text)


def is_of_type(catalog: Catalog, type_: str, wanted: str) -> bool:
    """Whether a column of a type is what is wanted: the same type, or a domain over it.

    What is wanted without length or precision, any length will do for.
    """
    asked = spelled(wanted)
    found = {type_, underlying(catalog, type_)}
    if asked == unmodified(asked):
        found |= {unmodified(one) for one in found}
    return asked in found
