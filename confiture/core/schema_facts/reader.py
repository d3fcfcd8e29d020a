"""Read the schema of a database as facts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from sys import intern
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from confiture.core.db.connection import READ_LOCK_TIMEOUT_MS, set_lock_timeout
from confiture.core.db.queries import query
from confiture.core.db.retry import RetryPolicy
from confiture.errors import DatabaseUnavailable, Diagnostic
from confiture.models.schema_facts import INHERITED_FROM, SchemaFacts, SchemaObject

READER_VERSION = 1
"""Increased with every change to the facts, so that stored facts of another version are read again."""

_SETTINGS = (
    ("search_path", "''"),
    ("jit", "off"),  # compiling the query takes longer than running it
    # the settings that change how PostgreSQL prints definitions
    ("quote_all_identifiers", "off"),
    ("timezone", "'UTC'"),
    ("datestyle", "'ISO, YMD'"),
    ("intervalstyle", "'postgres'"),
    ("extra_float_digits", "1"),
    ("bytea_output", "'hex'"),
)
_UNREADABLE = "\x01unreadable"
"""The value that the query returns for a definition that vanished while it was read."""
_RETRIES = 2
_CONCURRENT_DDL = frozenset({"XX000", "42P01", "42703", "42704", "42883", "3F000"})
"""The errors of deparse functions for an object that was dropped after the query's snapshot: `cache lookup failed`, or
an undefined table, column, object, function, or schema."""

_ObjectKey = tuple[int, int, int]
"""The catalog's OID, the object's OID, and the column number."""


class _ConcurrentChange(psycopg.errors.InternalError_):
    """An object was dropped while its facts were read."""

    sqlstate = "XX000"


def read_schema_facts(
    connection: psycopg.Connection[Any], *, salt: str | None = None, with_dependencies: bool = False
) -> SchemaFacts:
    """Return the facts about the connected database. Only reads, in a transaction that is rolled back.

    `salt` is the secret text in digests of options of foreign objects; facts with different salts are not comparable.
    By default, it is random per process. Concurrent DDL can make the result incomplete; the facts are then read again,
    at most twice. Raise DatabaseUnavailable if that does not help, psycopg.Error for other failures.

    Example::

        facts = read_schema_facts(connection)
        facts.objects["view public.r_totals"].facts["query"]
    """
    parameters = {"salt": PROCESS_SALT if salt is None else salt, "unreadable": _UNREADABLE}
    policy = RetryPolicy(sqlstates=_CONCURRENT_DDL, retries=_RETRIES)
    try:
        return policy.run(lambda: _read(connection, parameters, with_dependencies))
    except psycopg.Error as error:
        if error.sqlstate not in _CONCURRENT_DDL:
            raise
        raise DatabaseUnavailable(
            Diagnostic(
                code="concurrent-ddl",
                message=f"the schema changed each of the {_RETRIES + 1} times that it was read",
                detail=tuple(str(error).splitlines()[:1]),
                hint="run the command again when no session changes the schema",
            )
        ) from error


PROCESS_SALT = secrets.token_hex(16)
"""The default salt."""


def _read(connection: psycopg.Connection[Any], parameters: dict[str, str], with_dependencies: bool) -> SchemaFacts:
    keys: dict[_ObjectKey, tuple[str, str]] = {}
    parents: dict[_ObjectKey, _ObjectKey] = {}
    facts: dict[_ObjectKey, dict[str, str]] = {}
    dependencies: dict[str, frozenset[str]] = {}
    with comparable_session(connection) as cursor:
        cursor.execute(query("schema_facts"), parameters)
        for class_id, number, column, kind, identity, parent_class, parent, fact, value in cursor:
            if identity is None or _UNREADABLE in value:
                raise _ConcurrentChange(f"a {kind} was dropped meanwhile")
            key = class_id, number, column
            if key not in keys:
                keys[key] = intern(kind), identity
                facts[key] = {}
            facts[key][intern(fact)] = value if len(value) > _LONGEST_INTERNED else intern(value)
            if parent:
                parents[key] = parent_class, parent, 0
            elif column and key not in parents:
                parents[key] = class_id, number, 0
        names = {key: f"{kind} {identity}" for key, (kind, identity) in keys.items()}
        if with_dependencies:
            cursor.execute(query("schema_dependencies"))
            dependencies = _resolve_dependencies(cursor, names)
    for key, object_facts in facts.items():
        _resolve_inheritance(key, object_facts, names)
    return SchemaFacts(
        objects={
            names[key]: SchemaObject(
                kind=kind,
                identity=identity,
                parent=names.get(parents.get(key, key), "") if key in parents else "",
                facts=facts[key],
            )
            for key, (kind, identity) in keys.items()
        },
        server_version=connection.info.server_version,
        dependencies=dependencies,
    )


_LONGEST_INTERNED = 40


@contextmanager
def comparable_session(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """Open a transaction with the settings that make texts comparable; roll it back on exit."""
    with connection.transaction(force_rollback=True), connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute("; ".join(f"SET LOCAL {name} = {value}" for name, value in _SETTINGS).encode())
        set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS, local=True)
        yield cursor


def _resolve_inheritance(key: _ObjectKey, facts: dict[str, str], names: dict[_ObjectKey, str]) -> None:
    """Replace the numbers of the object that a part is inherited from by its name."""
    if INHERITED_FROM in facts:
        number, _, column = facts[INHERITED_FROM].partition(".")
        origin = names.get((key[0], int(number), int(column)))
        if origin is None:
            del facts[INHERITED_FROM]
        else:
            facts[INHERITED_FROM] = origin


def _resolve_dependencies(
    cursor: psycopg.Cursor[tuple[Any, ...]], names: dict[_ObjectKey, str]
) -> dict[str, frozenset[str]]:
    """Return the names of the objects that each object depends on. An unknown part stands for its object."""
    edges: dict[str, set[str]] = {}
    for class_id, number, column, to_class, to_number, to_column in cursor:
        source = names.get((class_id, number, column)) or names.get((class_id, number, 0))
        target = names.get((to_class, to_number, to_column)) or names.get((to_class, to_number, 0))
        if source and target and source != target:
            edges.setdefault(source, set()).add(target)
    return {name: frozenset(targets) for name, targets in edges.items()}
