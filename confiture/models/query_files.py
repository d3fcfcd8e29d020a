"""Files with Confiture's own SQL: statements below headings (`-- name: history`), and their qualified versions."""

from __future__ import annotations

import re
from collections.abc import Mapping

QUALIFIED = ".qualified.sql"
"""The suffix of the files that are run. `confiture.sql.qualification` generates each from the `.sql` file beside it."""
_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def parse_query_file(text: str) -> Mapping[str, str]:
    """Return the statements in a file by name. A file without headings is a single entry with an empty name."""
    first, *parts = _HEADING.split(text)
    if not parts:
        return {"": first.strip()}
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
