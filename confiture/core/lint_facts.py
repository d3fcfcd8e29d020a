"""What a database tells lint, and what is the same for all that one run of lint judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from confiture.lint.subjects import Surroundings
from confiture.models.catalog import Catalog, Name
from confiture.models.settings import NEWEST_LINTED, Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseFacts:
    """What a database says that files do not.

    Its major version, the estimated row counts of its tables, and for `confiture lint --live` its schema, the
    versions of the migrations that it has, and how people call it.
    """

    version: int
    table_rows: Mapping[Name, int] = field(default_factory=dict)
    catalog: Catalog | None = None
    applied: frozenset[str] = frozenset()
    label: str = ""


def surroundings(settings: Settings, facts: DatabaseFacts | None) -> Surroundings:
    """What rules know besides the SQL. The version is that of the settings, or the server's, or the newest known."""
    version = settings.linting.postgres_version or (facts.version if facts else NEWEST_LINTED)
    return Surroundings(settings=settings, postgres_version=version, table_rows=facts.table_rows if facts else {})
