"""Parse a search_path setting."""

from __future__ import annotations

import re
from collections.abc import Sequence

from confiture.sql.expressions import quote_identifier

SCHEMA = "confiture"
"""The schema that contains the history tables."""

_USER = "$user"
_ENTRY = re.compile(r'"((?:[^"]|"")*)"|([^,"\s]+)')


def path_without_history(search_path: str, role: str) -> str:
    """Return the search path without the history schema, in the form that SET accepts."""
    names = [name for name in _entries(search_path) if (role if name == _USER else name) != SCHEMA]
    return ", ".join(quote_identifier(name) for name in names) or "public"


def schemas_on_path(search_path: str, role: str) -> Sequence[str]:
    """Return the schema names on a search path, with the role in place of `$user`. The schemas need not exist."""
    return [role if name == _USER else name for name in _entries(search_path)]


def _entries(search_path: str) -> list[str]:
    return [quoted.replace('""', '"') if quoted else bare.lower() for quoted, bare in _ENTRY.findall(search_path)]
