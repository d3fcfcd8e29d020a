"""Where names without a schema are looked up, and where what has none is made."""

from __future__ import annotations

import re
from collections.abc import Sequence

from confiture.sql.expressions import quote_identifier

SCHEMA = "confiture"
"""The schema of our own tables."""

_USER = "$user"
_ENTRY = re.compile(r'"((?:[^"]|"")*)"|([^,"\s]+)')


def path_without_history(search_path: str, role: str) -> str:
    """The same search path, as SET takes it, without the schema of our tables."""
    kept = [name for name in _entries(search_path) if (role if name == _USER else name) != SCHEMA]
    return ", ".join(quote_identifier(name) for name in kept) or "public"


def schemas_on_path(search_path: str, role: str) -> Sequence[str]:
    """The names on a search path, as the setting is written, with the role in place of `$user`. There may be no such
    schemas.
    """
    return [role if name == _USER else name for name in _entries(search_path)]


def _entries(search_path: str) -> list[str]:
    return [quoted.replace('""', '"') if quoted else bare.lower() for quoted, bare in _ENTRY.findall(search_path)]
