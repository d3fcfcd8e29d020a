"""Collection of a statement's effects while its parse tree is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from confiture.models.catalog import PUBLIC, Catalog, QualifiedName, Table, TableKind, View
from confiture.models.records import record
from confiture.models.trace import LockMode


@record(frozen=True, kw_only=True, slots=True)
class Effects:
    """The effects on existing relations: the strongest lock on each, sequential scans, and rewrites.

    If the text and the catalog do not determine the effect, the worse effect is assumed: a default that calls an
    unknown function rewrites the table, and a query scans each of its tables unless it selects rows by a constant index
    key.
    """

    locks: Mapping[QualifiedName, LockMode] = field(default_factory=dict)
    scans: frozenset[QualifiedName] = frozenset()
    rewrites: frozenset[QualifiedName] = frozenset()


class EffectRecorder:
    """Collects the effects of one statement, given the catalog before the statement and the server's major version."""

    def __init__(self, catalog: Catalog, version: int) -> None:
        self.catalog = catalog
        self.version = version
        self._locks: dict[QualifiedName, LockMode] = {}
        self._scans: set[QualifiedName] = set()
        self._rewrites: set[QualifiedName] = set()

    @property
    def effects(self) -> Effects:
        """The effects recorded so far."""
        return Effects(locks=self._locks, scans=frozenset(self._scans), rewrites=frozenset(self._rewrites))

    def resolve_range_var(self, range_var: Any) -> QualifiedName:
        """Return the relation or index that a parse tree name refers to; assume `public` if the catalog does not
        contain it.
        """
        return self.resolve(range_var.schemaname or None, range_var.relname)

    def resolve(self, schema: str | None, name: str) -> QualifiedName:
        """Return the relation or index with that name; assume `public` if the catalog does not contain it."""
        relation = self.catalog.relation(schema, name)
        if relation:
            return relation.name
        indexed = self.catalog.find_index(schema, name)
        return QualifiedName(schema or (indexed[0].name.schema if indexed else PUBLIC), name)

    def lock(self, names: Iterable[QualifiedName], mode: LockMode) -> None:
        """Record a lock on each relation, unless a stronger lock is already recorded."""
        for name in names:
            current = self._locks.get(name)
            if current is None or current.strength < mode.strength:
                self._locks[name] = mode

    def scan(self, names: Iterable[QualifiedName]) -> None:
        """Record a sequential scan of the relations that store rows."""
        self._scans.update(name for name in names if self.has_own_rows(name))

    def rewrite(self, names: Iterable[QualifiedName]) -> None:
        """Record a rewrite, including indexes, of the relations that store rows."""
        for name in names:
            if self.has_own_rows(name):
                self._scans.add(name)
                self._rewrites.add(name)
                self.lock(self.find_indexes(name), LockMode.ACCESS_EXCLUSIVE)

    def rewrite_files(self, names: Iterable[QualifiedName]) -> None:
        """Record a file copy, without indexes, of the relations that store rows."""
        self._rewrites.update(name for name in names if self.has_own_rows(name))

    def find_table(self, name: QualifiedName) -> Table | None:
        """Return the table with that name, if the catalog contains it."""
        return self.catalog.tables.get(name)

    def find_view(self, name: QualifiedName) -> View | None:
        """Return the view with that name, if the catalog contains it."""
        return self.catalog.views.get(name)

    def has_own_rows(self, name: QualifiedName) -> bool:
        """Whether the relation itself stores rows, unlike partitioned tables, views, sequences, and foreign tables."""
        table, view = self.find_table(name), self.find_view(name)
        if table:
            return table.kind is TableKind.TABLE
        return view.materialized if view else name not in self.catalog.sequences

    def with_descendants(self, name: QualifiedName, *, only: bool = False) -> tuple[QualifiedName, ...]:
        """Return the table with all its partitions and inheritance children; if `only`, return just the table."""
        return (name,) if only else (name, *dict.fromkeys(self._iter_descendants(name)))

    def is_partitioned(self, name: QualifiedName) -> bool:
        """Whether the relation is a partitioned table according to the catalog."""
        table = self.find_table(name)
        return table is not None and table.kind is TableKind.PARTITIONED

    def find_ancestors(self, name: QualifiedName) -> tuple[QualifiedName, ...]:
        """Return the partitioned tables that a table is a partition of, nearest first."""
        table = self.find_table(name)
        if table is None or not table.is_partition:
            return ()
        return tuple(one for parent in table.parents for one in (parent, *self.find_ancestors(parent)))

    def with_partitions(self, name: QualifiedName) -> tuple[QualifiedName, ...]:
        """Return the table with its partitions but without inheritance children."""
        return self.with_descendants(name, only=not self.is_partitioned(name))

    def find_indexes(self, name: QualifiedName) -> tuple[QualifiedName, ...]:
        """Return the indexes of a table or materialized view."""
        relation = self.find_table(name) or self.find_view(name)
        return tuple(QualifiedName(name.schema, index.name) for index in relation.indexes) if relation else ()

    def find_default_partition(self, name: QualifiedName) -> tuple[QualifiedName, ...]:
        """Return the default partition, if any."""
        return tuple(child.name for child in self.catalog.partitions(name) if child.partition_bound == "DEFAULT")

    def _iter_descendants(self, name: QualifiedName) -> Iterator[QualifiedName]:
        for child in self.catalog.partitions(name):
            yield child.name
            yield from self._iter_descendants(child.name)
