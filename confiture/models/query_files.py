"""Files of Confiture's own SQL: statements below headings (`-- name: history`), and the qualified text next to them."""

from __future__ import annotations

import re
from collections.abc import Mapping

QUALIFIED = ".qualified.sql"
"""The suffix of the file whose text runs; `confiture.sql.qualification` generates it from the `.sql` file next to it.
"""
_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def parse_query_file(text: str) -> Mapping[str, str]:
    """Return the statements of a file by name. A file without headings is one text with an empty name."""
    first, *parts = _HEADING.split(text)
    if not parts:
        return {"": first.strip()}
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
