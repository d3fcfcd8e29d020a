"""Sets of versions as commands accept them: `014`, `001:014`, `001:014,016`."""

from __future__ import annotations

from collections.abc import Sequence

from confiture.errors import Diagnostic, InputError
from confiture.models.migration import MigrationFile
from confiture.plan.migration_order import find_version

_HINT = "write versions and ranges of versions, for example 001:014,016"


def is_exact(text: str) -> bool:
    """Whether the text names exact versions. A single version stands for all versions up to and including it."""
    return "," in text or ":" in text


def parse_version_set(text: str, migrations: Sequence[MigrationFile]) -> tuple[int, ...]:
    """Return the positions of the versions in `migrations`, in ascending order.

    A range includes both ends; an open end stands for the first or last migration. Raise InputError if the text is
    invalid.
    """
    positions: set[int] = set()
    for item in text.split(","):
        first, colon, last = (part.strip() for part in item.partition(":"))
        if not first and not last:
            raise _bad_set(f"{text!r} is not a set of versions")
        end = find_version(last, migrations) if last else len(migrations) - 1
        begin = find_version(first, migrations) if first else 0
        end = end if colon else begin
        if begin > end:
            raise _bad_set(f"{item.strip()} is an empty range: {last} comes before {first}")
        positions.update(range(begin, end + 1))
    return tuple(sorted(positions))


def _bad_set(message: str) -> InputError:
    return InputError(Diagnostic(code="bad-version-set", message=message, hint=_HINT))
