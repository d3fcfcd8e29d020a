"""Compare schemas: files with a database, two databases, or files with the end of all migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from confiture.core.db.connection import ConnectionTarget, connect_for_query
from confiture.core.diff.definition_texts import compare_meanings, find_candidates, move_spelling_changes
from confiture.core.diff.locations import add_locations
from confiture.core.diff.sides import read_both, read_facts
from confiture.core.diff.sources import PURPOSE, SchemaFilesSource
from confiture.core.diff.throwaway_schema import ThrowawaySchema
from confiture.core.schema_facts.cache import SchemaFactsCache
from confiture.core.schema_facts.comparison import ComparisonOptions, compare_schemas
from confiture.core.throwaway.server import ThrowawayServer, open_throwaway_server
from confiture.errors import DatabaseUnavailable
from confiture.models.records import replace
from confiture.models.schema_changes import SchemaComparison
from confiture.models.schema_diff import SchemaDiff
from confiture.models.schema_facts import PRIVILEGES, SchemaFacts
from confiture.models.settings import DiffSettings, Settings
from confiture.text import pluralize

if TYPE_CHECKING:
    from confiture.plan.project import PlannedProject

Notify = Callable[[str], None]
"""A callback that receives messages for the user."""
_FIRST_WITH_NOT_NULL_NAMES, _FIRST_WITH_MAINTAIN = 18, 17


def diff_files(
    settings: Settings, overrides: Mapping[str, Any], database: ConnectionTarget, notify: Notify
) -> SchemaDiff:
    """Return the changes that turn the schema of a database into that of the schema files.

    The files are built in a throwaway database, unless the facts about the result are in the cache. The database itself
    is only read. Raise InputError or BuildFailed for errors in the files, and DatabaseUnavailable.
    """
    source = SchemaFilesSource(settings, overrides)
    with ExitStack() as stack:
        server = stack.enter_context(open_throwaway_server(settings, database, notify))
        cache = SchemaFactsCache(settings.root)
        built = ThrowawaySchema(source, server, cache, stack)
        options = comparison_options(settings.diff)
        with ThreadPoolExecutor(max_workers=1) as pool:
            live = pool.submit(read_facts, database, cache.salt)
            after = built.read()
        before, options, notes = _read_on_same_version(database, live.result(), after, server, cache.salt, options)
        comparison = built.separate_spellings(compare_schemas(before, after, options))
        notes += built.notes
    return SchemaDiff(
        environment=settings.environment,
        before=database.label,
        after=source.label,
        comparison=_with_notes(add_locations(comparison, source.files.texts), notes),
    )


def diff_migrations(
    project: PlannedProject, overrides: Mapping[str, Any], database: ConnectionTarget, notify: Notify
) -> SchemaDiff:
    """Return the changes that turn the schema at the end of all migrations into that of the schema files.

    Both are built in throwaway databases for `database`, unless the cache contains their facts. Raise InputError or
    BuildFailed for errors in the files, DatabaseUnavailable, and the errors of migrations that fail.
    """
    from confiture.core.diff.migrations_source import MigrationsSource

    settings = project.settings
    source = SchemaFilesSource(settings, overrides)
    migrations = MigrationsSource(project)
    with ExitStack() as stack:
        server = stack.enter_context(open_throwaway_server(settings, database, notify))
        cache = SchemaFactsCache(settings.root)
        built = ThrowawaySchema(source, server, cache, stack)
        replayed = ThrowawaySchema(migrations, server, cache, stack)
        before, after = replayed.read(), built.read()
        comparison = built.separate_spellings(compare_schemas(before, after, comparison_options(settings.diff)))
        notes = tuple(dict.fromkeys((*replayed.notes, *built.notes)))
    return SchemaDiff(
        environment=settings.environment,
        before=migrations.label,
        after=source.label,
        comparison=_with_notes(add_locations(comparison, source.files.texts), notes),
    )


def diff_databases(
    settings: Settings, database: ConnectionTarget, other: ConnectionTarget, notify: Notify
) -> SchemaDiff:
    """Return the changes that turn the schema of `database` into that of `other`. Both are only read.

    If definitions have different texts, or the servers have different versions, the schemas are also loaded into
    throwaway databases, if that is possible; otherwise, a note reports this. Raise DatabaseUnavailable.
    """
    before, after = read_both(database, other)
    options = comparison_options(settings.diff)
    comparison = compare_schemas(before, after, options)
    if before.major_version != after.major_version and not comparison.is_equal:
        comparison = _compare_on_newer_server(settings, (database, before), (other, after), options, notify)
    elif find_candidates(comparison):
        comparison = _separate_spellings(settings, other, after, comparison, notify)
    return SchemaDiff(environment=settings.environment, before=database.label, after=other.label, comparison=comparison)


def comparison_options(settings: DiffSettings) -> ComparisonOptions:
    """Return the options that the settings define."""
    return ComparisonOptions(
        owners=settings.owners, extension_versions=settings.extension_versions, ignore=settings.ignore
    )


def _read_on_same_version(
    database: ConnectionTarget,
    live: SchemaFacts,
    built: SchemaFacts,
    server: ThrowawayServer,
    salt: str,
    options: ComparisonOptions,
) -> tuple[SchemaFacts, ComparisonOptions, tuple[str, ...]]:
    """Return the facts about the live schema from a server with the version of the throwaway server, and notes."""
    if live.major_version == built.major_version:
        return live, options, ()
    try:
        facts, notes = _read_copy(database, live, server, salt)
    except DatabaseUnavailable as error:
        return live, options, (f"the servers have different versions, and {error.diagnostics[0].message}",)
    return facts, _without_new_names(options, live), notes


def _read_copy(
    database: ConnectionTarget, live: SchemaFacts, server: ThrowawayServer, salt: str | None
) -> tuple[SchemaFacts, tuple[str, ...]]:
    """Load the schema of a database into a throwaway database, and return the facts about the copy."""
    from confiture.core.dump.load import load_dump
    from confiture.core.dump.pg_dump import dump_schema

    dump = dump_schema(database, live.server_version)
    with server.database(PURPOSE, created_extensions=_extensions(live), created_schemas=_schemas(live)) as copy:
        notes = load_dump(dump, copy.target)
        facts = _with_privileges(read_facts(copy.target, salt), live)
        return facts, (*notes, *map(str, copy.missing_extensions), *copy.notes)


def _with_privileges(copy: SchemaFacts, live: SchemaFacts) -> SchemaFacts:
    """Return the facts about a copy with the privileges of the original: a role may not exist on the copy's server."""
    objects = dict(copy.objects)
    for name, item in copy.objects.items():
        original = live.objects.get(name)
        if original:
            kept = {fact: value for fact, value in item.facts.items() if not fact.startswith(PRIVILEGES)}
            privileges = {fact: value for fact, value in original.facts.items() if fact.startswith(PRIVILEGES)}
            objects[name] = replace(item, facts=kept | privileges)
    return replace(copy, objects=objects)


def _compare_on_newer_server(
    settings: Settings,
    before: tuple[ConnectionTarget, SchemaFacts],
    after: tuple[ConnectionTarget, SchemaFacts],
    options: ComparisonOptions,
    notify: Notify,
) -> SchemaComparison:
    """Compare schemas of servers with different versions by loading the older one's schema into the newer server."""
    is_before_older = before[1].major_version < after[1].major_version
    (older, older_facts), (newer, newer_facts) = (before, after) if is_before_older else (after, before)
    try:
        with open_throwaway_server(settings, newer, notify) as server:
            copy, notes = _read_copy(older, older_facts, server, None)
    except DatabaseUnavailable as error:
        reason = f"the servers have different versions, and {error.diagnostics[0].message}"
        return _with_notes(compare_schemas(before[1], after[1], options), (reason,))
    sides = (copy, newer_facts) if is_before_older else (newer_facts, copy)
    comparison = compare_schemas(*sides, _without_new_names(options, older_facts))
    notes = (
        f"the schema of {older.label} was loaded into PostgreSQL {newer_facts.major_version} for the comparison",
        *notes,
    )
    if find_candidates(comparison):
        comparison = _separate_spellings(settings, newer, newer_facts, comparison, notify)
    return _with_notes(comparison, notes)


def _without_new_names(options: ComparisonOptions, facts: SchemaFacts) -> ComparisonOptions:
    """Return options without what the server that the schema comes from does not have."""
    version = facts.major_version
    return replace(
        options, not_null_names=version >= _FIRST_WITH_NOT_NULL_NAMES, maintain=version >= _FIRST_WITH_MAINTAIN
    )


def _separate_spellings(
    settings: Settings, database: ConnectionTarget, facts: SchemaFacts, comparison: SchemaComparison, notify: Notify
) -> SchemaComparison:
    """Find differences in texts only, with a copy of a database's schema in a throwaway database."""
    from confiture.core.dump.load import load_dump
    from confiture.core.dump.pg_dump import dump_schema

    candidates = find_candidates(comparison)
    try:
        with (
            open_throwaway_server(settings, database, notify) as server,
            server.database(PURPOSE, created_extensions=_extensions(facts), created_schemas=_schemas(facts)) as copy,
        ):
            load_dump(dump_schema(database, facts.server_version), copy.target)
            with connect_for_query(copy.target, PURPOSE, "the definitions cannot be compared") as connection:
                verdicts = compare_meanings(connection, candidates)
    except DatabaseUnavailable as error:
        number = pluralize(len(candidates), "definition")
        reason = f"{number} could mean the same in other words, but {error.diagnostics[0].message}"
        return _with_notes(comparison, (reason,))
    return move_spelling_changes(comparison, candidates, verdicts)


def _extensions(facts: SchemaFacts) -> Iterable[str]:
    return [one.identity.strip('"') for one in facts.objects.values() if one.kind == "extension"]


def _schemas(facts: SchemaFacts) -> Iterable[str]:
    return [one.identity.strip('"') for one in facts.objects.values() if one.kind == "schema"]


def _with_notes(comparison: SchemaComparison, notes: Iterable[str]) -> SchemaComparison:
    return replace(comparison, notes=(*comparison.notes, *notes))
