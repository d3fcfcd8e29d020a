"""The schema after the last migration: the schema files, the migrations, and the differences between the two."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, TypeVar

from confiture.lint.engine.configuration import ActiveRule
from confiture.lint.engine.replay import LocatedViolation, MigrationReplay, SchemaReader
from confiture.lint.engine.rule import SchemaFilesRule, Violation
from confiture.models.catalog import Catalog, QualifiedName, Table, View
from confiture.models.records import replace
from confiture.sql.catalog.differences import SchemaDifference, find_differences

_Key = TypeVar("_Key")
_Object = TypeVar("_Object")
_NAMED = 10
"""The maximum number of objects that a finding names in full."""
_FILES, _MIGRATIONS = "the schema files", "the migrations"


def merge_catalogs(files: Catalog, migrations: Catalog, executed: Set[str] = frozenset()) -> Catalog:
    """Return the schema that the schema files describe, plus the objects that only the migrations create.

    `executed` are the paths of the schema files that the migrations run. Such a file is the text of a migration, so
    that later migrations can change or drop its objects: these objects come from the migrations, unless other files add
    to them. Temporary tables are omitted, because they do not outlive their migration.
    """
    lasting = {name: table for name, table in migrations.tables.items() if table.persistence != "temporary"}
    tables = _merge(files.tables, lasting, executed)
    views = _merge(files.views, migrations.views, executed)
    sequences = _merge(files.sequences, migrations.sequences, executed)
    types = _merge(files.types, migrations.types, executed)
    functions = _merge(files.functions, migrations.functions, executed)
    grants = {*migrations.grants, *(one for one in files.grants if not _is_executed(one, executed))}
    is_unchanged = (
        tables is files.tables
        and views is files.views
        and sequences is files.sequences
        and types is files.types
        and functions is files.functions
        and grants == files.grants
        and migrations.schemas.keys() <= files.schemas.keys()
        and migrations.extensions.keys() <= files.extensions.keys()
    )
    if is_unchanged:
        return files
    indexed: list[Table | View] = [*tables.values(), *views.values()]
    return replace(
        files,
        schemas={**migrations.schemas, **files.schemas},
        tables=tables,
        views=views,
        sequences=sequences,
        types=types,
        functions=functions,
        grants=grants,
        extensions={**migrations.extensions, **files.extensions},
        index_owners={
            QualifiedName(relation.name.schema, index.name): relation.name
            for relation in indexed
            for index in relation.indexes
        },
        dependents=_merge_dependents(files.dependents or {}, migrations.dependents or {}),
    )


def _merge(
    files: Mapping[_Key, _Object], migrations: Mapping[_Key, _Object], executed: Set[str]
) -> Mapping[_Key, _Object]:
    """Return the merged objects: `files` itself if the migrations change nothing."""
    changed: dict[_Key, _Object | None] = {
        name: migrations.get(name)
        for name, one in files.items()
        # an equal object from the files has its parse trees
        if _is_executed(one, executed) and one != migrations.get(name)
    }
    changed |= {name: one for name, one in migrations.items() if name not in files}
    if not changed:
        return files
    return {name: one for name, one in {**files, **changed}.items() if one is not None}


def _is_executed(one: Any, executed: Set[str]) -> bool:
    """Whether the migrations run the SQL that creates an object and its parts in the schema files."""
    if one.location is None:
        return False
    parts: list[Any] = [one]
    if isinstance(one, Table):
        parts += [*one.columns, *one.constraints, *one.indexes, *one.policies, *one.triggers]
    elif isinstance(one, View):
        parts += one.indexes
    locations = [part.location for part in parts if part.location is not None]
    return all(location.rendered.source.file.path in executed for location in locations)


def _merge_dependents(
    first: Mapping[QualifiedName, Collection[QualifiedName]], second: Mapping[QualifiedName, Collection[QualifiedName]]
) -> Mapping[QualifiedName, set[QualifiedName]]:
    return {name: {*first.get(name, ()), *second.get(name, ())} for name in first.keys() | second.keys()}


def check_schema_files(
    files: SchemaReader, migrations: MigrationReplay, actives: Iterable[ActiveRule]
) -> Iterator[LocatedViolation]:
    """Yield a violation that names the objects that differ between the schema files and the end of the migrations."""
    rules = [active for active in actives if isinstance(active.rule, SchemaFilesRule)]
    if not rules:
        return
    partial = files.partial_tables | migrations.partial_tables
    differences = find_differences(files.catalog, migrations.catalog, (_FILES, _MIGRATIONS), partial)
    for active in rules:
        selected = [one for one in differences if active.applies_to(one.name)]
        if selected:
            yield LocatedViolation(active_rule=active, violation=_to_violation(selected))


def _to_violation(differences: Sequence[SchemaDifference]) -> Violation:
    described = [*map(_describe, differences[:_NAMED])]
    more = len(differences) - len(described)
    described += [f"and {more} more"] if more else []
    labels = sorted(f"{one.kind} {one.name}" for one in differences)
    return Violation(
        location=next((one.location for one in differences if one.location), None),
        message=f"{_FILES} and {_MIGRATIONS} describe different schemas: {'; '.join(described)}",
        subject=", ".join(labels),
    )


def _describe(difference: SchemaDifference) -> str:
    label = f"{difference.kind} {difference.name}"
    if difference.details:
        return f"{label} ({', '.join(difference.details)})"
    return f"{label} only in {_FILES if difference.is_in_first else _MIGRATIONS}"
