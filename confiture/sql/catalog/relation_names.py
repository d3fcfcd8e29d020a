"""Relation names: resolution, definitions, and availability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confiture.models.catalog import PUBLIC, TEMPORARY, Catalog, Index, QualifiedName, Relation, Table
from confiture.models.source import SourceLocation
from confiture.sql.catalog.issues import IssueLog
from confiture.sql.search_paths import SYSTEM


class RelationNames:
    """The names in a catalog under construction. Tables, views, sequences and indexes share a namespace."""

    def __init__(self, catalog: Catalog, issues: IssueLog) -> None:
        self._catalog = catalog
        self._issues = issues

    def relation(self, node: Any) -> Relation | None:
        """Return the table, view, or sequence that a RangeVar names."""
        return self._catalog.relation(node.schemaname or None, node.relname)

    def table(self, node: Any, *, missing_ok: bool = False) -> Table | None:
        """Return the table that a RangeVar names; report a missing table if no relation has that name."""
        relation = self.relation(node)
        if relation is None and not missing_ok:
            self.report_missing(node)
        return relation if isinstance(relation, Table) else None

    def report_missing(self, node: Any, what: str = "relation") -> None:
        """Report that the relation that a RangeVar names does not exist, unless the system or an extension may define
        it.
        """
        schema, name = node.schemaname, node.relname
        if schema in SYSTEM or (not schema and name.startswith("pg_")) or self._issues.has_unknown_extension:
            return
        self._issues.report_missing(what, QualifiedName(schema or self.creation_schema, name), node.location)

    def new_name(self, node: Any) -> QualifiedName:
        """Return the qualified name of a relation that a RangeVar creates."""
        if node.relpersistence == "t":
            return QualifiedName(TEMPORARY, node.relname)
        return QualifiedName(node.schemaname or self.creation_schema, node.relname)

    @property
    def creation_schema(self) -> str:
        """The schema in which objects with unqualified names are created."""
        schemas: Mapping[str, SourceLocation | None] = self._catalog.schemas
        return next((schema for schema in self._catalog.search_path if schema in schemas), PUBLIC)

    def require_schema(self, schema: str, location: int = -1) -> None:
        """Report a schema that does not exist."""
        if schema not in self._catalog.schemas and schema not in SYSTEM and not schema.startswith("pg_"):
            self._issues.report_missing("schema", schema, location, once=True)

    def is_taken(self, name: QualifiedName) -> bool:
        """Whether a relation or index has that name."""
        catalog = self._catalog
        return (
            name in catalog.tables or name in catalog.views or name in catalog.sequences or name in catalog.index_owners
        )

    def find_definition(self, name: QualifiedName) -> SourceLocation | bool | None:
        """Return where the relation or index with that name was created: None if unknown, False if there is none."""
        catalog = self._catalog
        relation = catalog.tables.get(name) or catalog.views.get(name) or catalog.sequences.get(name)
        if relation:
            return relation.location
        owner = catalog.index_owners.get(name)
        if owner:
            return next(index.location for index in self._indexes_of(owner) if index.name == name.name)
        return False

    def _indexes_of(self, owner: QualifiedName) -> tuple[Index, ...]:
        relation = self._catalog.tables.get(owner) or self._catalog.views.get(owner)
        return relation.indexes if relation else ()
