"""Our own SQL: named statements, the definitions of our tables, and names of relations as SQL has them."""

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
    "tenancy/tenancy",
)
FORMAT = 3
"""The format of our tables that this program writes. Each has a file in formats/, which says what it added."""


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
    """The statement of that name in our SQL files. Raises KeyError where there is none."""
    return _load_queries()[name]


def history_schema_sql(from_format: int) -> bytes:
    """The statements that turn our tables of the format `from_format`, 0 where there are none, into those of today."""
    return b"\n".join(_read_sql(f"db/formats/{number}") for number in range(from_format + 1, FORMAT + 1))


def quote_table(table: TableRef | QualifiedName) -> str:
    """A relation's name, quoted where it must be, behind its schema's where that is said: also for `to_regclass`."""
    return quote_names(table)
