"""The part of a saved plan that follows from the database: the target, the history, and the objects of the schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.queries import query
from confiture.core.review.activity import read_activity
from confiture.core.schema_facts.reader import read_schema_facts
from confiture.lint.plan_effects import MigrationEffects
from confiture.models.catalog import QualifiedName
from confiture.models.history import AppliedMigration
from confiture.models.records import replace
from confiture.models.schema_facts import SchemaFacts
from confiture.plan.checksums import CHAIN_START, digest
from confiture.sql.parse_tree import quote_identifier

_DIGEST_LENGTH = 16
_GLOBAL_KINDS = frozenset({"event trigger", "extension", "default acl", "publication", "language"})
"""The kinds of objects that can change any migration."""
_ROUTINES = frozenset({"function", "procedure", "aggregate"})


def describe_target(connection: Connection) -> dict[str, Any]:
    """Return what identifies the server, the database, and the role."""
    return fetch_named_row(connection, "plan_target")


def describe_server_settings(connection: Connection) -> dict[str, str]:
    """Return the settings of new sessions that are not the default. Values of custom settings are digests."""
    rows = connection.execute(query("server_settings")).fetchall()
    return {row["name"]: digest(row["value"]) if "." in row["name"] else row["value"] for row in rows}


def describe_history(history: Sequence[AppliedMigration]) -> dict[str, Any]:
    """Return the end of the history's chain, and the state of each row."""
    applied = [row.chain for row in history if row.applied_at is not None]
    return {
        "chain_end": applied[-1] if applied else CHAIN_START,
        "rows": {row.version: f"{row.state.value} {row.attempt}" for row in history},
    }


def describe_emptiness(connection: Connection, effects: Iterable[MigrationEffects]) -> dict[str, bool]:
    """Return whether each table that loses data is empty. A table that is filled later would lose its rows."""
    lost = {loss.relation for effect in effects for loss in effect.losses}
    names = {name for effect in effects for name in (*effect.touched, *effect.locks) if str(name) in lost}
    return {str(name): one.rows == 0 for name, one in read_activity(connection, names, 0).items()}


class ObjectDigests:
    """The digests of the objects that migrations touch, or that these objects depend on, and of their dependents.

    If the effects of a migration are not known, it includes all objects.
    """

    def __init__(self, facts: SchemaFacts) -> None:
        self._facts = facts
        self._parts: dict[str, list[str]] = {}
        self._dependents: dict[str, set[str]] = {}
        for name, one in facts.objects.items():
            self._parts.setdefault(one.parent, []).append(name)
        for name, targets in facts.dependencies.items():
            for target in targets:
                self._dependents.setdefault(target, set()).add(name)

    @classmethod
    def read(cls, connection: Connection, salt: str) -> ObjectDigests:
        """Read the schema. `salt` makes the digests of options comparable, which can contain passwords."""
        return cls(read_schema_facts(connection, salt=salt, with_dependencies=True))

    def of(self, effect: MigrationEffects) -> dict[str, str]:
        """Return the digests for one migration, by the object's name."""
        names = set(self._facts.objects) if effect.opaque else self._related(effect)
        return {name: self._digest(name) for name in sorted(names)}

    def of_all(self, effects: Iterable[MigrationEffects]) -> dict[str, str]:
        """Return the digests for several migrations."""
        return dict(sorted({name: text for effect in effects for name, text in self.of(effect).items()}.items()))

    def select(self, names: Iterable[str]) -> dict[str, str]:
        """Return the digests of the objects that exist, by name."""
        return {name: self._digest(name) for name in names if name in self._facts.objects}

    def with_changes(self, now: ObjectDigests, effect: MigrationEffects) -> ObjectDigests:
        """Return the digests, with those that a migration has changed taken from `now`."""
        own = {*self.of(effect), *now.of(effect)}
        objects = {name: one for name, one in self._facts.objects.items() if name not in own}
        objects |= {name: one for name, one in now._facts.objects.items() if name in own}
        dependencies = {**self._facts.dependencies, **now._facts.dependencies}
        return ObjectDigests(replace(now._facts, objects=objects, dependencies=dependencies))

    def _related(self, effect: MigrationEffects) -> set[str]:
        named = set(self._named(effect))
        # everything depends on its schema
        start = {name for name in named if self._facts.objects[name].kind not in (*_GLOBAL_KINDS, "schema")}
        touched = self._closure(start, lambda name: (*self._parts.get(name, ()), *self._dependents.get(name, ())))
        return self._closure(
            touched | named, lambda name: (*self._facts.dependencies.get(name, ()), *self._parent(name))
        )

    def _parent(self, name: str) -> tuple[str, ...]:
        parent = self._facts.objects[name].parent
        return (parent,) if parent in self._facts.objects else ()

    def _named(self, effect: MigrationEffects) -> Iterator[str]:
        identities = {_identity(name) for name in (*effect.touched, *effect.locks, *effect.rewrites)}
        schemas = {name.schema for name in effect.touched}
        for name, one in self._facts.objects.items():
            is_named = one.identity in (schemas if one.kind == "schema" else identities)
            is_routine = one.kind in _ROUTINES and _routine_name(one.identity) in effect.functions
            if is_named or is_routine or one.kind in _GLOBAL_KINDS:
                yield name

    def _closure(self, start: set[str], neighbors: Any) -> set[str]:
        found, waiting = set(start), list(start)
        while waiting:
            for name in neighbors(waiting.pop()):
                if name not in found and name in self._facts.objects:
                    found.add(name)
                    waiting.append(name)
        return found

    def _digest(self, name: str) -> str:
        return digest(sorted(self._facts.objects[name].facts.items()))[:_DIGEST_LENGTH]


def changed_objects(planned: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each object that differs."""
    return tuple(
        f"{name} {'is gone' if name not in now else 'is new' if name not in planned else 'has changed'}"
        for name in sorted({*planned, *now})
        if planned.get(name) != now.get(name)
    )


def _identity(name: QualifiedName) -> str:
    return f"{quote_identifier(name.schema)}.{quote_identifier(name.name)}"


def _routine_name(identity: str) -> str:
    return identity.partition("(")[0].rpartition(".")[2].strip('"')
