"""Compare schemas: files with a database, two databases, or files with the end of all migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from confiture.core.db.connection import ConnectionTarget, connect_for_query
from confiture.core.diff.definition_texts import (
    compare_meanings,
    find_candidates,
    leave_undecided,
    move_spelling_changes,
)
from confiture.core.diff.locations import add_locations
from confiture.core.diff.sides import read_both, read_facts
from confiture.core.diff.sources import PURPOSE, SchemaFilesSource
from confiture.core.diff.throwaway_schema import ThrowawaySchema
from confiture.core.schema_facts.cache import SchemaFactsCache
from confiture.core.schema_facts.comparison import ComparisonOptions, compare_schemas
from confiture.core.throwaway.server import ThrowawayServer, open_throwaway_server
from confiture.errors import DatabaseUnavailable
from confiture.models.records import record, replace
from confiture.models.schema_changes import SchemaComparison, UndecidedObject
from confiture.models.schema_diff import SchemaDiff
from confiture.models.schema_facts import SchemaFacts
from confiture.models.settings import DiffSettings, Settings

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
        side = _read_on_same_version(database, live.result(), after, server, cache.salt, options)
        comparison = compare_schemas(side.before, side.after, side.options)
        if side.failure:
            comparison = leave_undecided(comparison, f"the servers have different versions, and {side.failure}")
        else:
            comparison = built.separate_spellings(comparison)
        comparison = _with_undecided(comparison, side.undecided, options)
        notes = (*side.notes, *built.notes)
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


@record(frozen=True, kw_only=True, slots=True)
class _LiveSide:
    """The live schema and the built one, as they are compared, and what is known before.

    `failure` is the reason if the servers have different versions and the live schema cannot be copied.
    """

    before: SchemaFacts
    after: SchemaFacts
    options: ComparisonOptions
    undecided: tuple[UndecidedObject, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""


def _read_on_same_version(
    database: ConnectionTarget,
    live: SchemaFacts,
    built: SchemaFacts,
    server: ThrowawayServer,
    salt: str,
    options: ComparisonOptions,
) -> _LiveSide:
    """Return the facts about the live schema from a server with the version of the throwaway server."""
    if live.major_version == built.major_version:
        return _LiveSide(before=live, after=built, options=options)
    from confiture.core.diff.copied_schema import copy_schema, separate_lost

    try:
        copied = copy_schema(database, live, server, salt)
    except DatabaseUnavailable as error:
        return _LiveSide(before=live, after=built, options=options, failure=_describe(error))
    schemas = separate_lost(copied, built)
    return _LiveSide(
        before=schemas.copy,
        after=schemas.other,
        options=_without_new_names(options, live),
        undecided=schemas.undecided,
        notes=copied.notes,
    )


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
    from confiture.core.diff.copied_schema import copy_schema, separate_lost

    try:
        with open_throwaway_server(settings, newer, notify) as server:
            copied = copy_schema(older, older_facts, server, None)
    except DatabaseUnavailable as error:
        reason = f"the servers have different versions, and {_describe(error)}"
        return leave_undecided(compare_schemas(before[1], after[1], options), reason)
    schemas = separate_lost(copied, newer_facts)
    sides = (schemas.copy, schemas.other) if is_before_older else (schemas.other, schemas.copy)
    comparison = compare_schemas(*sides, _without_new_names(options, older_facts))
    notes = (
        f"the schema of {older.label} was loaded into PostgreSQL {newer_facts.major_version} for the comparison",
        *copied.notes,
    )
    if find_candidates(comparison):
        comparison = _separate_spellings(settings, newer, newer_facts, comparison, notify)
    return _with_notes(_with_undecided(comparison, schemas.undecided, options), notes)


def _with_undecided(
    comparison: SchemaComparison, undecided: Iterable[UndecidedObject], options: ComparisonOptions
) -> SchemaComparison:
    """Return the comparison with more undecided objects, except those that settings leave out."""
    every = [*undecided]
    kept = [
        one
        for one in every
        if not any(rule.fact == "*" and rule.matches_object(one.kind, one.identity) for rule in options.ignore)
    ]
    return replace(
        comparison,
        undecided=(*comparison.undecided, *kept),
        ignored=comparison.ignored + len(every) - len(kept),
    )


def _describe(error: DatabaseUnavailable) -> str:
    """Return the first problem in one sentence: what failed, the server's reason, and the next step."""
    diagnostic = error.diagnostics[0]
    parts = (f"{diagnostic.message}", *diagnostic.detail[:1], *([diagnostic.hint] if diagnostic.hint else []))
    return "; ".join(parts)


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
    from confiture.core.diff.copied_schema import names_of_kind
    from confiture.core.dump.load import load_dump
    from confiture.core.dump.pg_dump import dump_schema

    candidates = find_candidates(comparison)
    schemas = names_of_kind(facts, "schema")
    try:
        with (
            open_throwaway_server(settings, database, notify) as server,
            server.database(
                PURPOSE, created_extensions=names_of_kind(facts, "extension"), created_schemas=schemas
            ) as copy,
        ):
            load_dump(dump_schema(database, facts.server_version), copy.target, schemas)
            with connect_for_query(copy.target, PURPOSE, "the definitions cannot be compared") as connection:
                verdicts = compare_meanings(connection, candidates)
    except DatabaseUnavailable as error:
        return leave_undecided(comparison, _describe(error))
    return move_spelling_changes(comparison, candidates, verdicts)


def _with_notes(comparison: SchemaComparison, notes: Iterable[str]) -> SchemaComparison:
    return replace(comparison, notes=(*comparison.notes, *notes))
