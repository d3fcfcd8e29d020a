"""Find differences in texts only: definitions that PostgreSQL prints alike after it has read both.

The text that PostgreSQL prints for a definition is not always the text that it prints after reading that text, so a
database restored from a dump can differ from one built from the same files. Both texts are therefore created in a
throwaway database, in a transaction that is rolled back, and the results are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psycopg

from confiture.core.db.queries import query
from confiture.core.schema_facts.reader import comparable_session
from confiture.models.records import replace
from confiture.models.schema_changes import ChangeAction, FactChange, SchemaChange, SchemaComparison, UndecidedObject
from confiture.sql.expressions import quote_identifier

_PROBE = "confiture_probe"
_Cursor = psycopg.Cursor[tuple[Any, ...]]
_Probe = Callable[[_Cursor, SchemaChange, str], str]
"""A function that creates a definition in place of the object's own, and returns the text that PostgreSQL prints."""


Candidate = tuple[SchemaChange, FactChange]
"""A change, and one of its facts whose two texts may mean the same."""


def find_candidates(comparison: SchemaComparison) -> tuple[Candidate, ...]:
    """Return the differences that can be differences in texts only."""
    return tuple(
        (change, fact)
        for change in comparison.changes
        for fact in change.facts
        if fact.before is not None and fact.after is not None and _find_probe(change, fact)
    )


def compare_meanings(connection: psycopg.Connection[Any], candidates: Iterable[Candidate]) -> tuple[bool, ...]:
    """Return for each candidate whether PostgreSQL prints both texts alike after it has read them.

    `connection` is to a throwaway database with one of the two schemas. Everything in it is rolled back. Raise
    psycopg.Error if the connection fails.
    """
    with comparable_session(connection) as cursor:
        cursor.execute("SET LOCAL check_function_bodies = off")
        return tuple(_is_equal(connection, cursor, change, fact) for change, fact in candidates)


def move_spelling_changes(
    comparison: SchemaComparison, candidates: Iterable[Candidate], verdicts: Iterable[bool]
) -> SchemaComparison:
    """Return the comparison with the candidates whose verdict is true in `spelling_changes`."""
    equal: dict[str, list[FactChange]] = {}
    for (change, fact), verdict in zip(candidates, verdicts, strict=True):
        if verdict:
            equal.setdefault(change.name, []).append(fact)
    changes: list[SchemaChange] = []
    spellings: list[SchemaChange] = []
    for change in comparison.changes:
        same = equal.get(change.name, [])
        rest = tuple(fact for fact in change.facts if fact not in same)
        if same:
            spellings.append(replace(change, facts=tuple(same)))
        if rest or not same:
            changes.append(replace(change, facts=rest))
    return replace(comparison, changes=tuple(changes), spelling_changes=tuple(spellings))


def leave_undecided(comparison: SchemaComparison, cause: str) -> SchemaComparison:
    """Return the comparison with the candidates in `undecided`, because their meanings cannot be compared."""
    candidates = find_candidates(comparison)
    without = move_spelling_changes(comparison, candidates, (True for _ in candidates))
    undecided = tuple(
        UndecidedObject(
            kind=change.kind,
            identity=change.identity,
            reason=f"{', '.join(fact.fact for fact in change.facts)}: the texts differ, but may mean the same: {cause}",
        )
        for change in without.spelling_changes
    )
    return replace(without, spelling_changes=(), undecided=(*comparison.undecided, *undecided))


def _is_equal(connection: psycopg.Connection[Any], cursor: _Cursor, change: SchemaChange, fact: FactChange) -> bool:
    probe = _find_probe(change, fact)
    if probe is None:
        return False
    texts = []
    for text in (fact.before, fact.after):
        try:
            with connection.transaction(force_rollback=True):
                texts.append(probe(cursor, change, text or ""))
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            return False  # for example, the text refers to an object that only the other schema contains
    return texts[0] == texts[1]


def _find_probe(change: SchemaChange, fact: FactChange) -> _Probe | None:
    if change.action is not ChangeAction.ALTER:
        return None
    return _PROBES.get((change.kind, fact.fact))


def _probe_query(cursor: _Cursor, _: SchemaChange, text: str) -> str:
    cursor.execute(f"CREATE TEMPORARY VIEW {_PROBE} AS {text}".encode())
    return _print(cursor, "print_view", name=f"pg_temp.{_PROBE}")


def _probe_expression(cursor: _Cursor, change: SchemaChange, text: str) -> str:
    """Print an expression over the columns of the table that the object belongs to."""
    source = f" FROM {_parent_identity(change)}" if change.parent else ""
    return _probe_query(cursor, change, f"SELECT ({text}) AS value{source}")


def _probe_constraint(cursor: _Cursor, change: SchemaChange, text: str) -> str:
    command = "ALTER DOMAIN" if change.kind == "domain constraint" else "ALTER TABLE"
    cursor.execute(f"{command} {_parent_identity(change)} ADD CONSTRAINT {_PROBE} {text}".encode())
    return _print(cursor, "print_constraint", name=_PROBE)


def _probe_index(cursor: _Cursor, change: SchemaChange, text: str) -> str:
    cursor.execute(f"ALTER INDEX {change.identity} RENAME TO {_PROBE}".encode())
    cursor.execute(text.encode())
    return _print(cursor, "print_index", name=change.identity)


def _probe_trigger(cursor: _Cursor, change: SchemaChange, text: str) -> str:
    cursor.execute(f"ALTER TRIGGER {change.identity} RENAME TO {_PROBE}".encode())
    cursor.execute(text.encode())
    return _print(cursor, "print_trigger", table=_parent_identity(change), other=_PROBE)


def _probe_rule(cursor: _Cursor, change: SchemaChange, text: str) -> str:
    cursor.execute(f"ALTER RULE {change.identity} RENAME TO {_PROBE}".encode())
    cursor.execute(text.encode())
    return _print(cursor, "print_rule", table=_parent_identity(change), other=_PROBE)


def _probe_function(cursor: _Cursor, change: SchemaChange, text: str) -> str:
    cursor.execute(text.encode())
    return _print(cursor, "print_function", name=change.identity)


def _probe_statistics(cursor: _Cursor, change: SchemaChange, text: str) -> str:
    cursor.execute(f"ALTER STATISTICS {change.identity} RENAME TO {_PROBE}".encode())
    statement, _, target = text.partition(" target ")
    cursor.execute(statement.encode())
    return f"{_print(cursor, 'print_statistics', other=_PROBE)} {target}"


def _print(cursor: _Cursor, name: str, /, **parameters: str) -> str:
    row = cursor.execute(query(name), parameters).fetchone()
    if row is None or row[0] is None:
        raise psycopg.DataError("the definition was not created")
    return str(row[0])


def _parent_identity(change: SchemaChange) -> str:
    """Return the quoted name of the object that this one is a part of."""
    for kind in _PARENT_KINDS:
        if change.parent.startswith(f"{kind} "):
            return change.parent.removeprefix(f"{kind} ")
    return quote_identifier(change.parent)


_PARENT_KINDS = ("table", "foreign table", "materialized view", "view", "type", "composite type", "server")

_PROBES: Mapping[tuple[str, str], _Probe] = {
    ("view", "query"): _probe_query,
    ("materialized view", "query"): _probe_query,
    ("table column", "default"): _probe_expression,
    ("foreign table column", "default"): _probe_expression,
    ("view column", "default"): _probe_expression,
    ("policy", "using"): _probe_expression,
    ("policy", "with check"): _probe_expression,
    ("publication relation", "rows"): _probe_expression,
    ("type", "default"): _probe_expression,
    ("table constraint", "definition"): _probe_constraint,
    ("domain constraint", "definition"): _probe_constraint,
    ("index", "definition"): _probe_index,
    ("trigger", "definition"): _probe_trigger,
    ("rule", "definition"): _probe_rule,
    ("function", "definition"): _probe_function,
    ("procedure", "definition"): _probe_function,
    ("statistics object", "definition"): _probe_statistics,
}
