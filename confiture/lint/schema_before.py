"""The schema that exists before the migrations that lint checks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from enum import StrEnum
from typing import Any

from confiture.errors import DiagnosticCollector, InputError
from confiture.lint.engine.context import DatabaseFacts, StatementCache
from confiture.lint.git import GitRepository
from confiture.lint.schema_files import build_schema
from confiture.models.catalog import Catalog, QualifiedName
from confiture.models.plan import PlannedMigration
from confiture.models.records import record
from confiture.models.settings import Settings
from confiture.models.source import SourceLocation
from confiture.plan.migration_order import version_key
from confiture.plan.schema_files import decode_schema_files
from confiture.sql.catalog.undo import created_relations
from confiture.sql.parse_tree import Parse, ParsedStatement, pb
from confiture.sql.parser import parse_sql
from confiture.sql.traversal import find_nodes
from confiture.text import pluralize

_CREATING = frozenset(
    {
        "alter_object_schema_stmt",
        "create_foreign_table_stmt",
        "create_seq_stmt",
        "create_stmt",
        "create_table_as_stmt",
        "do_stmt",
        "rename_stmt",
        "view_stmt",
    }
)
_WORD = re.compile(r"\w+")


class SchemaOrigin(StrEnum):
    """The origin of the schema before the first migration that lint replays."""

    EMPTY = "empty"
    """The migrations begin with an empty database."""
    FILES = "files"
    """The schema files, because the migrations use tables that no migration creates."""
    REVISION = "revision"
    """The schema files of a git revision."""
    DATABASE = "database"
    """A database."""


@record(frozen=True, kw_only=True, slots=True)
class SchemaBefore:
    """The schema before the migrations that lint replays, and these migrations.

    `name` is the revision or the label of the database; empty for the other sources. `undone` are migrations that the
    catalog may already contain; lint removes them from it. `reason` is the first statement that uses a relation that no
    migration creates, with the relation's name. `plans` are the migrations to replay on the schema, of which those
    whose version is in `checked` are checked.
    """

    source: SchemaOrigin = SchemaOrigin.EMPTY
    name: str = ""
    catalog: Catalog | None = None
    undone: tuple[PlannedMigration, ...] = ()
    reason: tuple[str, SourceLocation] | None = None
    plans: tuple[PlannedMigration, ...]
    checked: frozenset[str]

    def notes(self) -> Iterator[str]:
        """Yield a sentence about the schema for reports, unless it is empty or that of a database."""
        if self.source is SchemaOrigin.REVISION:
            count = pluralize(len(self.plans), "migration")
            yield f"checked {count} added or changed since {self.name}, on the schema of the schema files there"
        elif self.reason is not None:
            name, location = self.reason
            yield (
                f"no migration creates {name}, which {location.span} uses: the schema before the first migration is"
                " taken from the schema files, without what the migrations add"
            )


def find_schema_before(
    settings: Settings,
    overrides: Mapping[str, Any],
    plans: Sequence[PlannedMigration],
    files: Catalog,
    facts: DatabaseFacts | None,
    against: str | None,
    parse: Parse,
) -> SchemaBefore:
    """Return the schema before the migrations that lint replays, and these migrations.

    With a database, the schema is that of the database, and the migrations are those not yet applied to it. With
    `against`, a git revision, the schema is that of the schema files at the revision, and the migrations are those that
    are new or changed since then. Otherwise all migrations begin with an empty database, unless a statement uses a
    relation of the schema files that no migration creates. Raises InputError if the revision or its files cannot be
    read.
    """
    if against is not None:
        return _schema_at_revision(settings, overrides, plans, against)
    applied = {version_key(version) for version in facts.applied} if facts else set()
    pending = tuple(plan for plan in plans if version_key(plan.version) not in applied)
    checked = frozenset(plan.version for plan in pending)
    if facts is not None and facts.catalog is not None:
        return SchemaBefore(
            source=SchemaOrigin.DATABASE, name=facts.label, catalog=facts.catalog, plans=pending, checked=checked
        )
    candidates = _find_uncreated(files, plans, parse)
    use = _find_use(candidates, plans, parse) if candidates else None
    if use is None:
        return SchemaBefore(plans=tuple(plans), checked=checked)
    return SchemaBefore(
        source=SchemaOrigin.FILES, catalog=files, undone=tuple(plans), reason=use, plans=tuple(plans), checked=checked
    )


def _schema_at_revision(
    settings: Settings, overrides: Mapping[str, Any], plans: Sequence[PlannedMigration], revision: str
) -> SchemaBefore:
    repository = GitRepository(settings.root, "--against")
    commit = repository.merge_base(revision)
    problems = DiagnosticCollector()
    contents = repository.read_files(commit, settings.schemas)
    files = decode_schema_files(contents, settings, overrides, problems)
    schema = build_schema(files.texts, problems, parse_sql)
    if problems:
        raise InputError(*(replace(one, message=f"in {revision}: {one.message}") for one in problems))
    old_files = repository.read_files(commit, settings.migrations)
    new = tuple(plan for plan in plans if _is_new(plan, old_files))
    return SchemaBefore(
        source=SchemaOrigin.REVISION,
        name=revision,
        catalog=schema.catalog,
        undone=new,
        plans=new,
        checked=frozenset(plan.version for plan in new),
    )


def _is_new(plan: PlannedMigration, old_files: Mapping[str, bytes]) -> bool:
    """Whether the migration's file is new or changed, or a pinned file that it runs."""
    migration = plan.migration
    pins = (named.file for named in migration.named_files if named.is_pinned)
    return any(_old_text(old_files.get(file.path)) != file.text for file in (migration.file, *pins))


def _old_text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _statements(plans: Iterable[PlannedMigration], parse: Parse, kinds: Set[str] | None) -> Iterator[ParsedStatement]:
    cache = StatementCache(parse)
    for plan in plans:
        for step in plan.steps:
            for statement in step.statements:
                if kinds is None or statement.node_kind in kinds:
                    yield cache.statements_by_offset(step.rendered)[statement.offset]


def _find_uncreated(
    files: Catalog, plans: Sequence[PlannedMigration], parse: Parse
) -> Mapping[str, Set[QualifiedName]]:
    """Return the relations of the schema files that no migration creates, by name without schema."""
    created = {
        name
        for statement in _statements(plans, parse, _CREATING)
        for name in created_relations(statement.kind, statement.node)
    }
    uncreated: dict[str, set[QualifiedName]] = {}
    free_sequences = (name for name, sequence in files.sequences.items() if sequence.owner is None)
    for name in (*files.tables, *files.views, *free_sequences):
        if name not in created and (None, name.name) not in created:
            uncreated.setdefault(name.name, set()).add(name)
    return uncreated


def _find_use(
    candidates: Mapping[str, Set[QualifiedName]], plans: Sequence[PlannedMigration], parse: Parse
) -> tuple[str, SourceLocation] | None:
    """Return the first statement that names one of the relations, with the relation's name."""
    odd = [name for name in candidates if not _WORD.fullmatch(name)]
    cache = StatementCache(parse)
    for plan in plans:
        for step in plan.steps:
            text = step.rendered.text
            if candidates.keys().isdisjoint(_WORD.findall(text)) and not any(name in text for name in odd):
                continue
            for planned in step.statements:
                statement = cache.statements_by_offset(step.rendered)[planned.offset]
                for range_var in find_nodes(statement.node, pb.RangeVar):
                    for name in candidates.get(range_var.relname, ()):
                        if range_var.schemaname in ("", name.schema):
                            return str(name), statement.location_at(range_var.location)
    return None
