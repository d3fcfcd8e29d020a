"""Facts about schemas that files describe, stored by the content of the files and the server that built them.

The facts of a live database are never stored. The documents are a wire form: `format`, `version`, and their keys must
not change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confiture.core.schema_facts.reader import PROCESS_SALT, READER_VERSION
from confiture.files.cache import CacheFiles
from confiture.models.schema_changes import FactChange, SchemaChange
from confiture.models.schema_facts import SchemaFacts, SchemaObject

_FORMAT, _VERSION = "confiture.schema_facts", 1


@dataclass(kw_only=True, slots=True)
class CachedSchema:
    """Facts with the results of comparing texts that may mean the same, by a digest of both texts."""

    facts: SchemaFacts
    verdicts: dict[str, bool] = field(default_factory=dict)


class SchemaFactsCache:
    """The cache of the project at `root`."""

    def __init__(self, root: Path) -> None:
        self._folder = CacheFiles(root)
        self.salt = self._folder.salt() or PROCESS_SALT

    def load(self, key: str) -> CachedSchema | None:
        """Return what is stored for a key; None if there is nothing, or if it cannot be read."""
        content = self._folder.load(f"{key}.json")
        if content is None:
            return None
        try:
            return _from_document(json.loads(content))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def save(self, key: str, schema: CachedSchema) -> None:
        """Store facts and verdicts. Errors are ignored."""
        document = json.dumps(_to_document(schema), separators=(",", ":"))
        self._folder.save(f"{key}.json", document.encode("utf-8", "surrogatepass"))


def cache_key(side: str, texts: Iterable[str], server_version: int, extensions: Iterable[tuple[str, str, str]]) -> str:
    """Return the key of the facts that texts create on a server with these extensions (name, version, schema)."""
    digest = hashlib.sha256()
    parts = [side, str(READER_VERSION), str(server_version)]
    parts += [part for extension in sorted(extensions) for part in extension]
    for text in (*parts, "", *texts):
        content = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(content))
        digest.update(content)
    return digest.hexdigest()


def text_pair_key(change: SchemaChange, fact: FactChange) -> str:
    """Return the digest of two texts of an object."""
    parts = (change.kind, change.identity, change.parent, fact.fact, fact.before or "", fact.after or "")
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _to_document(schema: CachedSchema) -> dict[str, Any]:
    facts = schema.facts
    objects = [[one.kind, one.identity, one.parent, dict(one.facts)] for one in facts.objects.values()]
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "server_version": facts.server_version,
        "objects": objects,
        "verdicts": schema.verdicts,
    }


def _from_document(document: Mapping[str, Any]) -> CachedSchema | None:
    if (document["format"], document["version"]) != (_FORMAT, _VERSION):
        return None
    objects = [
        SchemaObject(kind=kind, identity=identity, parent=parent, facts=facts)
        for kind, identity, parent, facts in document["objects"]
    ]
    facts = SchemaFacts(objects={one.name: one for one in objects}, server_version=document["server_version"])
    return CachedSchema(facts=facts, verdicts=dict(document["verdicts"]))
