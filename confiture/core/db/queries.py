"""Internal SQL: named statements, the history table definitions, and quoted relation names."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from confiture.models.catalog import QualifiedName
from confiture.models.plan import TableRef
from confiture.models.query_files import QUALIFIED, parse_query_file
from confiture.sql.parse_tree import quote_names

_FILES = (
    "db/queries",
    "db/catalog",
    "dry_run/trace",
    "backfill/backfill",
    "reconcile/reconcile",
    "review/review",
    "tenancy/tenancy",
    "run/session",
    "schema_facts/facts",
    "throwaway/throwaway",
    "build/build",
    "diff/definition_texts",
)
FORMAT = 4
"""The history table format that this version writes. Each format has a file in formats/ with its additions."""
FIRST_WITH_EVENTS = 4
"""The first format with the database's identity and the append-only table of events."""


@cache
def _load_queries() -> dict[str, bytes]:
    return {
        name: body.encode()
        for file in _FILES
        for name, body in parse_query_file(_read_sql(file).decode("utf-8")).items()
    }


def _read_sql(file: str) -> bytes:
    return (files("confiture.core") / f"{file}{QUALIFIED}").read_bytes()


def query(name: str) -> bytes:
    """Return the statement with that name in the SQL files. Raise KeyError if there is none."""
    return _load_queries()[name]


def history_schema_sql(from_format: int) -> bytes:
    """Return the statements that upgrade the tables from `from_format` (0: no tables exist) to the current format."""
    parts = [_read_sql(f"db/formats/{number}") for number in range(from_format + 1, FORMAT + 1)]
    if from_format < FIRST_WITH_EVENTS:
        parts.append(query("append_only"))
    return b"\n".join(parts)


def quote_table(table: TableRef | QualifiedName) -> str:
    """Return a relation name, quoted if needed, with the schema if one is given. It is also valid for `to_regclass`."""
    return quote_names(table)
