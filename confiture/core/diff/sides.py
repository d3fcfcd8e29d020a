"""Read the two schemas of a comparison at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from confiture.core.db.connection import ConnectionTarget, connect_for_query
from confiture.core.schema_facts.reader import read_schema_facts
from confiture.models.schema_facts import SchemaFacts


def read_facts(target: ConnectionTarget, salt: str | None = None) -> SchemaFacts:
    """Return the facts about a database. Raise DatabaseUnavailable."""
    with connect_for_query(target, "diff", f"the schema of {target.label} cannot be read") as connection:
        return read_schema_facts(connection, salt=salt)


def read_both(before: ConnectionTarget, after: ConnectionTarget) -> tuple[SchemaFacts, SchemaFacts]:
    """Return the facts about two databases, which are read at the same time. Raise DatabaseUnavailable."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = [pool.submit(read_facts, target) for target in (before, after)]
        first, second = (future.result() for future in futures)
    return first, second
