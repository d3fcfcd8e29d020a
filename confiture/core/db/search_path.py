"""Where names without a schema are looked up, and where what has none is made."""

from __future__ import annotations

import re
from collections.abc import Sequence

SCHEMA = "confiture"
"""The schema of our own tables."""

_USER = "$user"
_ENTRY = re.compile(r'"((?:[^"]|"")*)"|([^,"\s]+)')


def schemas_on_path(search_path: str, role: str) -> Sequence[str]:
    """The names on a search path, as the setting is written, with the role in place of `$user`. There may be no such
    schemas.
    """
    names = [quoted.replace('""', '"') if quoted else bare.lower() for quoted, bare in _ENTRY.findall(search_path)]
    return [role if name == _USER else name for name in names]
