"""The schema of a database, copied by pg_dump to a server of another version, without losing what cannot be copied.

An object that cannot be loaded is missing in the copy. If the other schema has it, it cannot be compared; otherwise, it
is a difference. Facts that do not depend on the version of the server are those of the original.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from confiture.core.db.connection import ConnectionTarget
from confiture.core.diff.sides import read_facts
from confiture.core.diff.sources import PURPOSE
from confiture.core.dump.load import FailedEntry, load_dump
from confiture.core.dump.pg_dump import dump_schema
from confiture.core.schema_facts.comparison import without_quotes
from confiture.core.throwaway.server import ThrowawayServer
from confiture.models.records import record, replace
from confiture.models.schema_changes import UndecidedObject
from confiture.models.schema_facts import (
    COMMENT,
    NOT_READ,
    OWNER,
    PRIVILEGES,
    SECURITY_LABEL,
    SchemaFacts,
    SchemaObject,
)

_KINDS_OF_ORIGINAL = frozenset({"extension", "language", "subscription"})
"""Kinds that are compared by the original's facts: the copy's server can lack them."""
_ENTRIES_OF_ORIGINAL = frozenset({"ACL", "COMMENT", "SECURITY LABEL", "EXTENSION", "PROCEDURAL LANGUAGE"})
_FACTS_OF_ORIGINAL = (PRIVILEGES, SECURITY_LABEL, COMMENT, OWNER, NOT_READ)


@record(frozen=True, kw_only=True, slots=True)
class CopiedSchema:
    """The facts about a copy and the original, the entries that could not be loaded, and notes about the copy."""

    copy: SchemaFacts
    original: SchemaFacts
    failed: tuple[FailedEntry, ...]
    notes: tuple[str, ...]


@record(frozen=True, kw_only=True, slots=True)
class ComparableSchemas:
    """A copy and the other schema, without the objects that are in `undecided`."""

    copy: SchemaFacts
    other: SchemaFacts
    undecided: tuple[UndecidedObject, ...]


def copy_schema(
    database: ConnectionTarget, live: SchemaFacts, server: ThrowawayServer, salt: str | None
) -> CopiedSchema:
    """Load the schema of a database into a throwaway database, and read it there. Raise DatabaseUnavailable."""
    dump = dump_schema(database, live.server_version)
    schemas = names_of_kind(live, "schema")
    with server.database(
        PURPOSE, created_extensions=names_of_kind(live, "extension"), created_schemas=schemas
    ) as throwaway:
        failed = load_dump(dump, throwaway.target, schemas)
        facts = read_facts(throwaway.target, salt)
        notes = (*map(str, throwaway.missing_extensions), *throwaway.notes)
    return CopiedSchema(copy=_with_original_facts(facts, live), original=live, failed=failed, notes=notes)


def separate_lost(copied: CopiedSchema, other: SchemaFacts) -> ComparableSchemas:
    """Take out of both schemas what the copy lacks, except objects that only the original has: they are differences."""
    objects = dict(copied.copy.objects)
    present = {without_quotes(name) for name in objects}
    lost = {
        without_quotes(name): item
        for name, item in copied.original.objects.items()
        if without_quotes(name) not in present
    }
    others = {without_quotes(name): name for name in other.objects}
    reasons = {name: one.reason for one in copied.failed for name in _object_names(one)}
    undecided: list[UndecidedObject] = []
    removed: set[str] = set()
    for name, item in lost.items():
        if without_quotes(item.parent) in lost:
            continue
        if name in others:
            removed.add(others[name])
            undecided.append(
                UndecidedObject(
                    kind=item.kind,
                    identity=item.identity,
                    reason=_not_loaded(copied, reasons.get(without_quotes(item.identity), "")),
                )
            )
        else:
            objects[item.name] = item
    lost_identities = {without_quotes(item.identity) for item in lost.values()}
    undecided += (
        UndecidedObject(
            kind=one.entry.kind.lower(),
            identity=f"{one.entry.schema}.{one.entry.tag}" if one.entry.schema else one.entry.tag,
            reason=_not_loaded(copied, one.reason),
        )
        for one in copied.failed
        if one.entry.kind not in _ENTRIES_OF_ORIGINAL and not lost_identities.intersection(_object_names(one))
    )
    return ComparableSchemas(
        copy=replace(copied.copy, objects=objects),
        other=replace(other, objects=_without_parts(other.objects, removed)),
        undecided=tuple(undecided),
    )


def names_of_kind(facts: SchemaFacts, kind: str) -> list[str]:
    """Return the names, without quotes, of all objects of a kind whose names have no schema."""
    return [
        one.identity[1:-1].replace('""', '"') if one.identity.startswith('"') else one.identity
        for one in facts.objects.values()
        if one.kind == kind
    ]


def _not_loaded(copied: CopiedSchema, reason: str) -> str:
    text = f"the definition could not be loaded into PostgreSQL {copied.copy.major_version}"
    return f"{text}: {reason}" if reason else text


def _object_names(failed: FailedEntry) -> Iterator[str]:
    """Yield the identities that the object of an entry can have, without unneeded quotes."""
    entry = failed.entry
    yield f"{entry.schema}.{entry.tag}" if entry.schema else entry.tag
    words = entry.tag.split(" ")
    for position in range(1, len(words)):
        table, part = " ".join(words[:position]), " ".join(words[position:])
        yield f"{part} on {entry.schema}.{table}"


def _with_original_facts(copy: SchemaFacts, live: SchemaFacts) -> SchemaFacts:
    originals = {without_quotes(name): item for name, item in live.objects.items()}
    objects: dict[str, SchemaObject] = {}
    for name, item in copy.objects.items():
        original = originals.get(without_quotes(name))
        if original and item.kind not in _KINDS_OF_ORIGINAL:
            kept = {fact: value for fact, value in item.facts.items() if not fact.startswith(_FACTS_OF_ORIGINAL)}
            taken = {fact: value for fact, value in original.facts.items() if fact.startswith(_FACTS_OF_ORIGINAL)}
            objects[name] = replace(item, facts=kept | taken)
        elif item.kind not in _KINDS_OF_ORIGINAL:
            objects[name] = item
    objects |= {name: item for name, item in live.objects.items() if item.kind in _KINDS_OF_ORIGINAL}
    return replace(copy, objects=objects)


def _without_parts(objects: Mapping[str, SchemaObject], removed: Iterable[str]) -> dict[str, SchemaObject]:
    """Return objects without those in `removed`, and without their parts."""
    gone = {*removed}
    if not gone:
        return dict(objects)

    def is_gone(item: SchemaObject) -> bool:
        while item.name not in gone:
            parent = objects.get(item.parent)
            if parent is None:
                return False
            item = parent
        return True

    return {name: item for name, item in objects.items() if not is_gone(item)}
