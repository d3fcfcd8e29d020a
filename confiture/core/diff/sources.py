"""Schemas that can be built in a throwaway database, and the schema of the schema files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from confiture.core.schema_facts.cache import cache_key
from confiture.core.throwaway.server import ThrowawayDatabase, ThrowawayServer
from confiture.errors import DiagnosticCollector
from confiture.models.settings import Settings
from confiture.plan.schema_files import SchemaFiles, read_schema_files

PURPOSE = "diff"
"""The word in the names of throwaway databases."""


class SchemaSource(Protocol):
    """A schema that can be built. `label` is its name for users."""

    label: str

    def key(self, server: ThrowawayServer) -> str | None:
        """Return the key of the built schema's facts in the cache; None if they cannot be stored."""

    def build(self, server: ThrowawayServer) -> Any:
        """Return a context manager that yields a throwaway database with the schema."""


class SchemaFilesSource:
    """The schema that the schema files create. Raise InputError if they cannot be read."""

    label = "the schema files"

    def __init__(self, settings: Settings, overrides: Mapping[str, Any]) -> None:
        self._settings = settings
        self._overrides = overrides
        problems = DiagnosticCollector()
        self.files: SchemaFiles = read_schema_files(settings, overrides, problems)
        problems.extend(self.files.missing_variables)
        problems.raise_if_any()

    def key(self, server: ThrowawayServer) -> str | None:
        """Return the key: of the texts in order, and the server with its extensions."""
        texts = (text for file in self.files.texts for text in (file.source.file.path, file.text))
        return cache_key("schema files", texts, server.version_number, installed_extensions(server))

    @contextmanager
    def build(self, server: ThrowawayServer) -> Iterator[ThrowawayDatabase]:
        """Build the schema files; drop the database on exit. Raise the same errors as `built_database`."""
        # a cached schema needs neither the parser nor the runner
        from confiture.core.build.schema_build import built_database
        from confiture.plan.schema_script import load_schema_script

        script = load_schema_script(self._settings, self._overrides)
        with built_database(server, script, purpose=PURPOSE, checks_bodies=False) as database:
            yield database


def installed_extensions(server: ThrowawayServer) -> list[tuple[str, str, str]]:
    """Return the name, version and schema of each extension of the target database."""
    return [(one.name, one.version, one.schema) for one in server.profile.extensions]
