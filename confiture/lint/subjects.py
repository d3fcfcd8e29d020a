"""What rules judge: a schema, or one statement of a migration in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from confiture.models.catalog import PUBLIC, Catalog, Name, Relation, Table
from confiture.models.plan import PlannedMigration, PlannedStep
from confiture.models.settings import Settings
from confiture.models.source import Place
from confiture.sql.effects import Effects, effects_of
from confiture.sql.tree import ParsedStatement


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is the same for all that is judged in one run of lint.

    `postgres_version` is the major version of the server that the migrations are meant for. `table_rows` are the
    row counts of its tables as the planner estimates them, empty where no database was asked.
    """

    settings: Settings
    postgres_version: int
    table_rows: Mapping[Name, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SchemaSubject:
    """A schema. `options` are those of the rule that judges it."""

    catalog: Catalog
    surroundings: Surroundings
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StatementSubject:
    """A statement of a migration, with the catalog as it is before it runs.

    `created` are the relations that the same migration made: nobody uses them yet. `earlier` are the statements that
    run before it in the same transaction.
    """

    statement: ParsedStatement
    catalog: Catalog
    surroundings: Surroundings
    migration: PlannedMigration
    step: PlannedStep
    created: frozenset[Name]
    earlier: Sequence[StatementSubject]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def node(self) -> Any:
        """The tree of the statement, of the kind that the rule asked for."""
        return self.statement.node

    @property
    def place(self) -> Place:
        """Where the statement begins."""
        return self.statement.place

    @property
    def version(self) -> int:
        """The major version of PostgreSQL that it is meant for."""
        return self.surroundings.postgres_version

    @cached_property
    def effects(self) -> Effects:
        """What the statement locks, scans and rewrites, as far as that is known without running it."""
        return effects_of(self.statement, self.catalog, self.version)

    def relation(self, range_var: Any) -> Relation | None:
        """What a name in the tree means, as far as the catalog knows it."""
        return self.catalog.relation(range_var.schemaname or None, range_var.relname)

    def table(self, range_var: Any) -> Table | None:
        """The table that a name in the tree means."""
        found = self.relation(range_var)
        return found if isinstance(found, Table) else None

    def name(self, range_var: Any) -> str:
        """How people are shown a name of the tree: with its schema unless that is `public`."""
        found = self.relation(range_var)
        return str(found.name if found else Name(range_var.schemaname or PUBLIC, range_var.relname))

    def is_new(self, range_var: Any) -> bool:
        """Whether the relation of that name is temporary, or was made by this migration: no one can wait for it."""
        found = self.relation(range_var)
        return found is not None and (found.name in self.created or _is_temporary(found))

    def rows(self, name: Name) -> int | None:
        """The number of rows of a table in the database that was asked, None where it is not known."""
        return self.surroundings.table_rows.get(name)


def _is_temporary(relation: Relation) -> bool:
    return isinstance(relation, Table) and relation.persistence == "temporary"
