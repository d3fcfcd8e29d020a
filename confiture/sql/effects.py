"""What a statement locks, scans and rewrites, as far as its text and the catalog tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from confiture.models.catalog import Catalog, Name
from confiture.models.trace import LockMode
from confiture.sql.tree import ParsedStatement


@dataclass(frozen=True, kw_only=True, slots=True)
class Effects:
    """Of relations that existed before: the strongest lock on each, those read from end to end, those rewritten."""

    locks: Mapping[Name, LockMode] = field(default_factory=dict)
    scans: frozenset[Name] = frozenset()
    rewrites: frozenset[Name] = frozenset()


def effects_of(statement: ParsedStatement, catalog: Catalog, version: int) -> Effects:
    """The effects of a statement on a server of that major version, with the catalog as it is before."""
    return Effects()
