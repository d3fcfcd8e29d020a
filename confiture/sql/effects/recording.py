"""What is noted of a statement's effects while its tree is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from confiture.models.catalog import PUBLIC, Catalog, Name, Table, TableKind, View
from confiture.models.trace import LockMode
from confiture.models.values import value


@value(frozen=True, kw_only=True, slots=True)
class Effects:
    """Of relations that existed before: the strongest lock on each, those read from end to end, those rewritten.

    Where text and catalog do not tell, the worse is taken: a default whose function nobody knows rewrites, and a query
    reads each of its tables from end to end unless it picks rows by a constant key of an index.
    """

    locks: Mapping[Name, LockMode] = field(default_factory=dict)
    scans: frozenset[Name] = frozenset()
    rewrites: frozenset[Name] = frozenset()


class Recorder:
    """Collects the effects of one statement. `catalog` is as it is before, `version` the server's major version."""

    def __init__(self, catalog: Catalog, version: int) -> None:
        self.catalog = catalog
        self.version = version
        self._locks: dict[Name, LockMode] = {}
        self._scans: set[Name] = set()
        self._rewrites: set[Name] = set()

    @property
    def effects(self) -> Effects:
        """All that was noted so far."""
        return Effects(locks=self._locks, scans=frozenset(self._scans), rewrites=frozenset(self._rewrites))

    def name(self, range_var: Any) -> Name:
        """The relation or index that a name in the tree means; one that the catalog lacks is in `public`."""
        return self.named(range_var.schemaname or None, range_var.relname)

    def named(self, schema: str | None, name: str) -> Name:
        """The relation or index of that name; one that the catalog lacks is in `public`."""
        found = self.catalog.relation(schema, name)
        if found:
            return found.name
        indexed = self.catalog.indexed(schema, name)
        return Name(schema or (indexed[0].name.schema if indexed else PUBLIC), name)

    def lock(self, names: Iterable[Name], mode: LockMode) -> None:
        """Notes a lock on each, unless a stronger one is known."""
        for name in names:
            known = self._locks.get(name)
            if known is None or known.strength < mode.strength:
                self._locks[name] = mode

    def scan(self, names: Iterable[Name]) -> None:
        """Notes that those which have rows of their own are read from end to end."""
        self._scans.update(name for name in names if self.holds_rows(name))

    def rewrite(self, names: Iterable[Name]) -> None:
        """Notes that those which have rows of their own are written anew, with their indexes."""
        for name in names:
            if self.holds_rows(name):
                self._scans.add(name)
                self._rewrites.add(name)
                self.lock(self.indexes(name), LockMode.ACCESS_EXCLUSIVE)

    def copy(self, names: Iterable[Name]) -> None:
        """Notes that the files of those which have rows of their own are copied, without their indexes."""
        self._rewrites.update(name for name in names if self.holds_rows(name))

    def table(self, name: Name) -> Table | None:
        """The table of that name, where the catalog has it."""
        return self.catalog.tables.get(name)

    def view(self, name: Name) -> View | None:
        """The view of that name, where the catalog has it."""
        return self.catalog.views.get(name)

    def holds_rows(self, name: Name) -> bool:
        """Whether rows lie in the relation itself: not so of partitioned tables, views, sequences, foreign tables."""
        table, view = self.table(name), self.view(name)
        if table:
            return table.kind is TableKind.TABLE
        return view.materialized if view else name not in self.catalog.sequences

    def family(self, name: Name, *, only: bool = False) -> tuple[Name, ...]:
        """The table with all its partitions and what inherits from it; itself alone where the statement says ONLY."""
        return (name,) if only else (name, *dict.fromkeys(self._below(name)))

    def is_partitioned(self, name: Name) -> bool:
        """Whether the catalog knows that it is a partitioned table."""
        table = self.table(name)
        return table is not None and table.kind is TableKind.PARTITIONED

    def ancestors(self, name: Name) -> tuple[Name, ...]:
        """The partitioned tables that a table is a part of, the nearest first."""
        table = self.table(name)
        if table is None or not table.is_partition:
            return ()
        return tuple(one for parent in table.parents for one in (parent, *self.ancestors(parent)))

    def whole(self, name: Name) -> tuple[Name, ...]:
        """The table with its partitions, but without what inherits from it."""
        return self.family(name, only=not self.is_partitioned(name))

    def indexes(self, name: Name) -> tuple[Name, ...]:
        """The indexes of a table or materialized view."""
        relation = self.table(name) or self.view(name)
        return tuple(Name(name.schema, index.name) for index in relation.indexes) if relation else ()

    def default_partition(self, name: Name) -> tuple[Name, ...]:
        """The partition that takes the rows that fit no other; nothing where there is none."""
        return tuple(child.name for child in self.catalog.partitions(name) if child.partition_bound == "DEFAULT")

    def _below(self, name: Name) -> Iterator[Name]:
        for child in self.catalog.partitions(name):
            yield child.name
            yield from self._below(child.name)
