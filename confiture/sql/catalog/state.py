"""The catalog under construction: its mutable objects, and bookkeeping about the statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confiture.models.catalog import PUBLIC, Catalog, QualifiedName, Table, TableKind, UserType, View
from confiture.models.source import SourceLocation
from confiture.sql.catalog.grants import GrantRegistry
from confiture.sql.catalog.issues import IssueLog
from confiture.sql.catalog.registries import (
    ConstraintRegistry,
    Dependencies,
    FunctionRegistry,
    IndexRegistry,
    SequenceRegistry,
)
from confiture.sql.catalog.relation_names import RelationNames
from confiture.sql.catalog.table_builder import TableBuilder

Apply = Callable[["CatalogState", str, Any], None]


class CatalogState:
    """The catalog under construction, by concern: objects, names, constraints, indexes, grants, dependencies, and
    issues. While a statement is applied, `issues.statement` refers to it.
    """

    def __init__(self, apply: Apply) -> None:
        self._apply = apply
        self.schemas: dict[str, SourceLocation | None] = {PUBLIC: None}
        self.tables: dict[QualifiedName, Table] = {}
        self.views: dict[QualifiedName, View] = {}
        self.types: dict[QualifiedName, UserType] = {}
        self.extensions: dict[str, SourceLocation | None] = {}
        self.search_path: list[str] = [PUBLIC]

        self.other_types: set[QualifiedName] = set()
        """Types whose definition is not in the catalog: base types, shell types, and extension types."""
        self.view_types: dict[QualifiedName, tuple[str, ...]] = {}
        """The types of view columns, empty if unknown."""
        self.extension_types: dict[str, QualifiedName] = {}
        """Extension types. They are found in any schema, since a role can have its own search path."""
        self.created: set[QualifiedName] = set()
        """The relations that the current statement created."""

        self.issues = IssueLog()
        self.dependencies = Dependencies()
        self.sequences = SequenceRegistry()
        self.functions = FunctionRegistry()
        self.indexes = IndexRegistry()
        self.grants = GrantRegistry(self.issues)
        self.catalog = Catalog(
            schemas=self.schemas,
            tables=self.tables,
            views=self.views,
            sequences=self.sequences.all,
            types=self.types,
            functions=self.functions.all,
            grants=self.grants.all,
            extensions=self.extensions,
            index_owners=self.indexes.owners,
            search_path=self.search_path,
            dependents=self.dependencies.dependents,
        )
        self.names = RelationNames(self.catalog, self.issues)
        self.constraints = ConstraintRegistry(self.names, self.indexes, self.dependencies)

    def nested(self, kind: str, node: Any) -> None:
        """Apply a statement that is part of the current statement."""
        self._apply(self, kind, node)

    def put_table(self, table: TableBuilder) -> None:
        """Store a changed or new table in the catalog."""
        self.tables[table.name] = table.to_table()

    def require_partitioned(self, table: Table, location: int = -1) -> None:
        """Report a table that gets a partition but is not partitioned."""
        if table.kind is not TableKind.PARTITIONED and not self.issues.has_unknown_objects:
            message = f"table {table.name} is not partitioned"
            self.issues.report("not-partitioned", message, table.name, location)
