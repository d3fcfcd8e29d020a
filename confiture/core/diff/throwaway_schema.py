"""A schema in a throwaway database, which is built only if its facts are not in the cache."""

from __future__ import annotations

from contextlib import ExitStack

from confiture.core.db.connection import ConnectionTarget, connect_for_query
from confiture.core.diff.definition_texts import compare_meanings, find_candidates, move_spelling_changes
from confiture.core.diff.sides import read_facts
from confiture.core.diff.sources import SchemaSource
from confiture.core.schema_facts.cache import CachedSchema, SchemaFactsCache, text_pair_key
from confiture.core.throwaway.server import ThrowawayDatabase, ThrowawayServer
from confiture.models.schema_changes import SchemaComparison
from confiture.models.schema_facts import SchemaFacts


class ThrowawaySchema:
    """The schema of a source on a server. The database that is built exists until the stack closes."""

    def __init__(
        self, source: SchemaSource, server: ThrowawayServer, cache: SchemaFactsCache, stack: ExitStack
    ) -> None:
        self._source = source
        self._server = server
        self._cache = cache
        self._stack = stack
        self._key = source.key(server)
        self._stored = cache.load(self._key) if self._key else None
        self._database: ThrowawayDatabase | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about differences between the throwaway database and the target, if it was built."""
        if self._database is None:
            return ()
        return (*map(str, self._database.missing_extensions), *self._database.notes)

    def read(self) -> SchemaFacts:
        """Return the facts about the schema. Raise the same errors as the source."""
        if self._stored is None:
            self._stored = CachedSchema(facts=read_facts(self._build(), self._cache.salt))
            self._save()
        return self._stored.facts

    def separate_spellings(self, comparison: SchemaComparison) -> SchemaComparison:
        """Return the comparison with differences in texts only in `spelling_changes`.

        The throwaway database is built only if the cache does not contain the results for the same texts.
        """
        candidates = find_candidates(comparison)
        keys = [text_pair_key(*candidate) for candidate in candidates]
        verdicts = self._stored.verdicts if self._stored else {}
        unknown = [number for number, key in enumerate(keys) if key not in verdicts]
        if unknown:
            with connect_for_query(self._build(), "diff", "the definitions cannot be compared") as connection:
                found = compare_meanings(connection, [candidates[number] for number in unknown])
            verdicts |= {keys[number]: verdict for number, verdict in zip(unknown, found, strict=True)}
            self._save()
        return move_spelling_changes(comparison, candidates, [verdicts[key] for key in keys])

    def _build(self) -> ConnectionTarget:
        if self._database is None:
            self._database = self._stack.enter_context(self._source.build(self._server))
        return self._database.target

    def _save(self) -> None:
        # without all extensions, the facts are incomplete
        if self._key and self._stored and not self.notes:
            self._cache.save(self._key, self._stored)
