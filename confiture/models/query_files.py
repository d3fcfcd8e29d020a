"""Files of our own SQL: statements below headings (`-- name: history`), and the qualified text beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping

QUALIFIED = ".qualified.sql"
"""How the file ends whose text runs; `confiture.sql.qualification` writes it from the `.sql` file beside it."""
_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def parse_query_file(text: str) -> Mapping[str, str]:
    """The statements of a file by name. A file without headings is one text without a name."""
    first, *parts = _HEADING.split(text)
    if not parts:
        return {"": first.strip()}
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
