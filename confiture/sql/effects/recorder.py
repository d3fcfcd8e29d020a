"""What is noted of a statement's effects while its tree is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from confiture.models.catalog import PUBLIC, Catalog, QualifiedName, Table, TableKind, View
from confiture.models.records import record
from confiture.models.trace import LockMode


@record(frozen=True, kw_only=True, slots=True)
class Effects:
    """Of relations that existed before: the strongest lock on each, those read from end to end, those rewritten.

    Where text and catalog do not tell, the worse is taken: a default whose function nobody knows rewrites, and a query
    reads each of its tables from end to end unless it picks rows by a constant key of an index.
    """

    locks: Mapping[QualifiedName, LockMode] = field(default_factory=dict)
    scans: frozenset[QualifiedName] = frozenset()
    rewrites: frozenset[QualifiedName] = frozenset()


class EffectRecorder:
    """Collects the effects of one statement. `catalog` is as it is before, `version` the server's major version."""

    def __init__(self, catalog: Catalog, version: int) -> None:
        self.catalog = catalog
        self.version = version
        self._locks: dict[QualifiedName, LockMode] = {}
        self._scans: set[QualifiedName] = set()
        self._rewrites: set[QualifiedName] = set()

    @property
    def effects(self) -> Effects:
        """All that was noted so far."""
        return Effects(locks=self._locks, scans=frozenset(self._scans), rewrites=frozenset(self._rewrites))

    def resolve_range_var(self, range_var: Any) -> QualifiedName:
        """The relation or index that a name in the tree means; one that the catalog lacks is in `public`."""
        return self.resolve(range_var.schemaname or None, range_var.relname)

    def resolve(self, schema: str | None, name: str) -> QualifiedName:
        """The relation or index of that name; one that the catalog lacks is in `public`."""
        found = self.catalog.relation(schema, name)
        if found:
            return found.name
        indexed = self.catalog.find_index(schema, name)
        return QualifiedName(schema or (indexed[0].name.schema if indexed else PUBLIC), name)

    def lock(self, names: Iterable[QualifiedName], mode: LockMode) -> None:
        """Notes a lock on each, unless a stronger one is known."""
        for name in names:
            known = self._locks.get(name)
            if known is None or known.strength < mode.strength:
                self._locks[name] = mode

    def scan(self, names: Iterable[QualifiedName]) -> None:
        """Notes that those which have rows of their own are read from end to end."""
        self._scans.update(name for name in names if self.has_own_rows(name))

    def rewrite(self, names: Iterable[QualifiedName]) -> None:
        """Notes that those which have rows of their own are written anew, with their indexes."""
        for name in names:
            if self.has_own_rows(name):
                self._scans.add(name)
                self._rewrites.add(name)
                self.lock(self.find_indexes(name), LockMode.ACCESS_EXCLUSIVE)

    def rewrite_files(self, names: Iterable[QualifiedName]) -> None:
        """Notes that the files of those which have rows of their own are copied, without their indexes."""
        self._rewrites.update(name for name in names if self.has_own_rows(name))

    def find_table(self, name: QualifiedName) -> Table | None:
        """The table of that name, where the catalog has it."""
        return self.catalog.tables.get(name)

    def find_view(self, name: QualifiedName) -> View | None:
        """The view of that name, where the catalog has it."""
        return self.catalog.views.get(name)

    def has_own_rows(self, name: QualifiedName) -> bool:
        """Whether rows lie in the relation itself: not so of partitioned tables, views, sequences, foreign tables."""
        table, view = self.find_table(name), self.find_view(name)
        if table:
            return table.kind is TableKind.TABLE
        return view.materialized if view else name not in self.catalog.sequences

    def with_descendants(self, name: QualifiedName, *, only: bool = False) -> tuple[QualifiedName, ...]:
        """The table with all its partitions and what inherits from it; itself alone where the statement says ONLY."""
        return (name,) if only else (name, *dict.fromkeys(self._iter_descendants(name)))

    def is_partitioned(self, name: QualifiedName) -> bool:
        """Whether the catalog knows that it is a partitioned table."""
        table = self.find_table(name)
        return table is not None and table.kind is TableKind.PARTITIONED

    def find_ancestors(self, name: QualifiedName) -> tuple[QualifiedName, ...]:
        """The partitioned tables that a table is a part of, the nearest first."""
        table = self.find_table(name)
        if table is None or not table.is_partition:
            return ()
        return tuple(one for parent in table.parents for one in (parent, *self.find_ancestors(parent)))

    def with_partitions(self, name: QualifiedName) -> tuple[QualifiedName, ...]:
        """The table with its partitions, but without what inherits from it."""
        return self.with_descendants(name, only=not self.is_partitioned(name))

    def find_indexes(self, name: QualifiedName) -> tuple[QualifiedName, ...]:
        """The indexes of a table or materialized view."""
        relation = self.find_table(name) or self.find_view(name)
        return tuple(QualifiedName(name.schema, index.name) for index in relation.indexes) if relation else ()

    def find_default_partition(self, name: QualifiedName) -> tuple[QualifiedName, ...]:
        """The partition that takes the rows that fit no other; nothing where there is none."""
        return tuple(child.name for child in self.catalog.partitions(name) if child.partition_bound == "DEFAULT")

    def _iter_descendants(self, name: QualifiedName) -> Iterator[QualifiedName]:
        for child in self.catalog.partitions(name):
            yield child.name
            yield from self._iter_descendants(child.name)
