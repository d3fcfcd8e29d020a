"""Applies statements to a catalog, as PostgreSQL would."""

from __future__ import annotations

from dataclasses import dataclass

from confiture.models.catalog import Catalog, Name
from confiture.models.source import Place
from confiture.sql.tree import ParsedStatement


@dataclass(frozen=True, kw_only=True, slots=True)
class Misfit:
    """A statement that does not fit the catalog. `code` is `duplicate-object`, `missing-object` or `opaque`."""

    code: str
    place: Place
    message: str
    object: str


class CatalogBuilder:
    """Builds a catalog statement by statement. `catalog` shows what is there at the moment."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.misfits: list[Misfit] = []
        """What did not fit, in order: made twice, or named and not there."""

    def apply(self, statement: ParsedStatement) -> frozenset[Name]:
        """Applies a statement, and returns the relations that it made."""
        return frozenset()

    def begin_file(self) -> None:
        """Forgets what lasts for a session: each file begins with the search path of the server."""
